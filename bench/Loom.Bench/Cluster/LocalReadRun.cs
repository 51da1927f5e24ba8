using System.Diagnostics;
using System.Globalization;
using System.Text;
using Loom.Store;

namespace Loom.Bench.Cluster;

/// <summary>Local get in process: one thread, values in memory, no network. Median of a get, and gets per second on one core.</summary>
internal static class LocalReadRun
{
    public static async Task<int> RunAsync(int keys, int valueSize, string root, string output, string commandLine, CancellationToken token)
    {
        await using LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = Path.Combine(root, "data") }, token);
        byte[][] names = [.. Enumerable.Range(0, keys).Select(k => Encoding.ASCII.GetBytes($"key-{k:D11}"))];
        byte[] value = new byte[valueSize];
        await Parallel.ForEachAsync(names, new ParallelOptions { MaxDegreeOfParallelism = 256, CancellationToken = token }, async (name, t) => await store.PutAsync(name, value, cancellationToken: t));

        List<(double Rate, double Median, double P99)> rounds = [];
        for (int round = 0; round < 5; round++)
        {
            rounds.Add(Round(store, names));
        }

        var best = rounds.OrderBy(r => r.Rate).ElementAt(rounds.Count / 2);
        string text = string.Create(CultureInfo.InvariantCulture, $"`{commandLine}`\n\nCommit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. {keys:N0} keys of {valueSize} B, one thread, random keys; median of 5 rounds.\n\n| gets/s | median µs | p99 µs |\n|---|---|---|\n| {best.Rate:N0} | {best.Median:0.00} | {best.P99:0.00} |\n");
        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text, token);
        Console.WriteLine(text);
        return 0;
    }

    private static (double Rate, double Median, double P99) Round(LoomStore store, byte[][] names)
    {
        Random random = new(1);
        const int Count = 1_000_000;
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < Count; i++)
        {
            if (store.Get(names[random.Next(names.Length)]) is null)
            {
                throw new InvalidOperationException("a key that was put is not there");
            }
        }

        double rate = Count / Stopwatch.GetElapsedTime(start).TotalSeconds;
        HdrHistogram.LongHistogram latency = ClosedLoop.NewHistogram();
        for (int i = 0; i < Count / 4; i++)
        {
            byte[] name = names[random.Next(names.Length)];
            long before = Stopwatch.GetTimestamp();
            _ = store.Get(name);
            latency.RecordValue(Math.Max(1, (long)Stopwatch.GetElapsedTime(before).TotalNanoseconds));
        }

        return (rate, latency.GetValueAtPercentile(50) / 1e3, latency.GetValueAtPercentile(99) / 1e3);
    }
}
