using System.Diagnostics;
using System.Globalization;
using Loom.Simulation.Cluster;
using Loom.Simulation.Engine;

namespace Loom.Simulation;

/// <summary>
/// The long runs. <c>--seeds N [--from S] [--threads T] [--emit-hash]</c>, <c>--seed S [--verbose] [--mutation NAME]</c>, <c>--mutations [--only TEXT] [--limit SEEDS] [--threads T]</c>.
/// </summary>
internal static class Program
{
    public static int Main(string[] arguments)
    {
        CultureInfo.DefaultThreadCurrentCulture = CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
        string? Option(string name) => Array.IndexOf(arguments, name) is int at and >= 0 && at + 1 < arguments.Length ? arguments[at + 1] : null;
        bool Has(string name) => Array.IndexOf(arguments, name) >= 0;
        ulong Number(string name, ulong otherwise) => Option(name) is { } text ? ulong.Parse(text, CultureInfo.InvariantCulture) : otherwise;

        int threads = (int)Number("--threads", 1);
        if (Has("--mutations"))
        {
            return MutationTable.Search(Option("--only"), threads, Number("--limit", MutationTable.SearchedSeeds));
        }

        if (Option("--seed") is not null)
        {
            return RunOne(Number("--seed", 0), Option("--mutation"), Has("--verbose"));
        }

        if (Option("--seeds") is not null)
        {
            return RunMany(Number("--from", 1), Number("--seeds", 1), threads, Has("--emit-hash"));
        }

        Console.Error.WriteLine("usage: --seeds N [--from S] [--threads T] [--emit-hash] | --seed S [--verbose] [--mutation NAME] | --mutations [--only TEXT] [--limit SEEDS] [--threads T]");
        return 2;
    }

    private static int RunOne(ulong seed, string? mutation, bool verbose)
    {
        Loom.Raft.Diagnostics.Mutations.Active = mutation;
        SeedReport report = Simulation.Run(seed, verbose ? Console.Out : null);
        Console.WriteLine(
            $"seed {seed}: {report.SimulatedSeconds:F1} s simulated, {report.Steps} steps, {report.Operations} operations ({report.Acknowledged} acknowledged, {report.Unknown} unknown, "
            + $"{report.NotApplied} not applied), {report.Elections} elections, trace hash {report.TraceHash:x16}");
        if (report.Failure is not null)
        {
            Console.WriteLine(Describe(report));
        }

        return report.Failure is null ? 0 : 1;
    }

    private static int RunMany(ulong from, ulong count, int threads, bool emitHash)
    {
        Stopwatch watch = Stopwatch.StartNew();
        SeedReport[] reports = new SeedReport[count];
        int failures = 0, done = 0;
        Parallel.For(0, (int)count, new ParallelOptions { MaxDegreeOfParallelism = threads }, i =>
        {
            long start = Stopwatch.GetTimestamp();
            SeedReport report = Simulation.Run(from + (ulong)i);
            reports[i] = report with { LastLines = [], Seconds = Stopwatch.GetElapsedTime(start).TotalSeconds };
            if (report.Failure is not null && Interlocked.Increment(ref failures) <= 10)
            {
                lock (watch)
                {
                    Console.WriteLine(Describe(report));
                }
            }

            if (Interlocked.Increment(ref done) % 1000 == 0)
            {
                Console.Error.WriteLine($"{done} seeds, {failures} failed, {watch.Elapsed.TotalSeconds:F0} s");
            }
        });

        if (emitHash)
        {
            foreach (SeedReport report in reports)
            {
                Console.WriteLine($"hash {report.Seed} {report.TraceHash:x16}");
            }
        }

        Console.Write(Summary(reports, watch.Elapsed.TotalSeconds));
        return failures == 0 ? 0 : 1;
    }

    public static string Describe(SeedReport report) =>
        $"{string.Join("\n", report.LastLines)}\nseed {report.Seed} failed after {report.SimulatedSeconds:F3} simulated seconds. {report.Failure!.Message}\n"
        + $"replay: dotnet run -c Release --project tests/Loom.Simulation -- --seed {report.Seed} --verbose\n";

    private static string Summary(SeedReport[] reports, double seconds)
    {
        Coverage total = new();
        foreach (SeedReport report in reports)
        {
            total.Add(report.Coverage);
        }

        double simulated = reports.Sum(r => r.SimulatedSeconds);
        return
            $"""
            seeds                        {reports.Length} ({reports[0].Seed} to {reports[^1].Seed}), failed {reports.Count(r => r.Failure is not null)}
            simulated seconds            {simulated:F0} in {seconds:F1} s: {simulated / seconds:F0} per second
            steps                        {reports.Sum(r => r.Steps)}: {reports.Sum(r => r.Steps) / seconds / 1000:F0} thousand per second
            operations                   {reports.Sum(r => (long)r.Operations)}: acknowledged {reports.Sum(r => (long)r.Acknowledged)}, unknown {reports.Sum(r => (long)r.Unknown)}, not applied {reports.Sum(r => (long)r.NotApplied)}
            keys searched                {reports.Sum(r => (long)r.SearchDecided)} decided, {reports.Sum(r => (long)r.SearchUndecided)} undecided
            elections, conflicts         {reports.Sum(r => (long)r.Elections)}, {reports.Sum(r => r.Conflicts)}
            crashes                      {total.Crashes} (power {total.PowerCuts}, inside of a file operation {total.CrashesInside})
            partitions, pauses           {total.Partitions}, {total.Pauses}
            flush errors, empty disks    {total.FlushErrors}, {total.Wiped}
            full disks, pauses           {total.FullDisks}, {total.LogPauses} logs, {total.ApplyPauses} appliers
            damaged logs, old copies     {total.Refused}, {total.OldCopies}
            joined again, whole again    {total.Joined}, {total.Replaced}
            transfers                    {total.Transfers}
            two leaders at once          {total.TwoLeaders}
            checkpoints                  {total.Checkpoints}
            starts from a checkpoint     {total.Restored}
            log truncations              {total.Truncated}
            states from another member   {total.Installed} (transfers resumed {total.Resumed}, switches made up for {total.Finished}, of members without a state {total.StatesLost})
            leases ended by time         {total.LeasesEnded} (asked for too early, and spared: {total.LeasesSpared})
            slowest seed                 {reports.MaxBy(r => r.Seconds)!.Seed}: {reports.Max(r => r.Seconds):F1} s

            """;
    }
}
