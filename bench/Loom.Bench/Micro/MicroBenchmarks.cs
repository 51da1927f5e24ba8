using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Diagnosers;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace Loom.Bench.Micro;

/// <summary>
/// <c>micro</c>: all micros; <c>micro FILTER</c>: those whose name matches, for example <c>micro *LocalGet*</c>; <c>micro memory [KEYS]</c>: resident memory of an index and a record store.
/// They run inside this process: the settings of the published node are this process's settings, and no project is built per benchmark.
/// </summary>
internal static class MicroBenchmarks
{
    private static readonly Type[] All = [typeof(KeyIndexBenchmarks), typeof(RecordBenchmarks), typeof(LocalGetBenchmarks), typeof(LogAppendBenchmarks), typeof(CodecBenchmarks), typeof(ApplyBenchmarks)];

    public static int Run(string[] args)
    {
        if (args is ["memory", ..])
        {
            return StoreMemory.Run(args.Length > 1 ? int.Parse(args[1], System.Globalization.CultureInfo.InvariantCulture) : 100_000);
        }

        Job job = Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(3).WithIterationCount(8).WithIterationTime(Perfolizer.Horology.TimeInterval.FromMilliseconds(400));
        IConfig config = ManualConfig.Create(DefaultConfig.Instance)
            .WithOptions(ConfigOptions.JoinSummary | ConfigOptions.DisableOptimizationsValidator)
            .AddJob(job)
            .AddDiagnoser(MemoryDiagnoser.Default)
            .AddColumn(StatisticColumn.Median, StatisticColumn.OperationsPerSecond)
            .WithArtifactsPath(Path.Combine(Path.GetTempPath(), "loom-bench"));
        string[] filter = args.Length == 0 ? ["--filter", "*"] : args[0].StartsWith('-') ? args : ["--filter", .. args];
        BenchmarkSwitcher.FromTypes(All).Run(filter, config);
        return 0;
    }
}
