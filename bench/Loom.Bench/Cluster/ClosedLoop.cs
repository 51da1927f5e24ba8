using System.Diagnostics;
using HdrHistogram;

namespace Loom.Bench.Cluster;

/// <summary>Runs N clients in a closed loop and collects their latencies.</summary>
internal static class ClosedLoop
{
    /// <remarks><c>call</c>: Given (client, sequence), does one operation; false = an error that is counted, not timed.</remarks>
    public static async Task<(double OpsPerSecond, LongHistogram Latency, long Errors, double ClientCpuSeconds, double WallSeconds)> RunAsync(
        LoadSpec spec, Func<int, long, ValueTask<bool>> call, CancellationToken cancellationToken)
    {
        long start = Stopwatch.GetTimestamp();
        long measureFrom = start + (long)(spec.WarmupSeconds * Stopwatch.Frequency);
        long until = measureFrom + (long)(spec.Seconds * Stopwatch.Frequency);
        Task<(LongHistogram, long)>[] clients = new Task<(LongHistogram, long)>[spec.Clients];
        for (int c = 0; c < clients.Length; c++)
        {
            int client = c;
            clients[c] = Task.Run(() => ClientAsync(client, measureFrom, until, call, cancellationToken), cancellationToken);
        }

        await Task.Delay(TimeSpan.FromSeconds(spec.WarmupSeconds), cancellationToken);
        TimeSpan cpuBefore = Process.GetCurrentProcess().TotalProcessorTime;
        LongHistogram all = NewHistogram();
        long errors = 0;
        foreach (Task<(LongHistogram Latency, long Errors)> task in clients)
        {
            var (latency, failed) = await task;
            all.Add(latency);
            errors += failed;
        }

        double cpu = (Process.GetCurrentProcess().TotalProcessorTime - cpuBefore).TotalSeconds;
        return (all.TotalCount / spec.Seconds, all, errors, cpu, spec.Seconds);
    }

    public static LongHistogram NewHistogram() => new(1, TimeSpan.FromSeconds(60).Ticks * 100, 3);

    private static async Task<(LongHistogram, long)> ClientAsync(int client, long measureFrom, long until, Func<int, long, ValueTask<bool>> call, CancellationToken cancellationToken)
    {
        LongHistogram latency = NewHistogram();
        long errors = 0;
        for (long sequence = 0; !cancellationToken.IsCancellationRequested; sequence++)
        {
            long before = Stopwatch.GetTimestamp();
            if (before >= until)
            {
                break;
            }

            bool ok = await call(client, sequence);
            long after = Stopwatch.GetTimestamp();
            if (after < measureFrom || after > until)
            {
                continue;
            }

            if (ok)
            {
                latency.RecordValue(Math.Max(1, (long)Stopwatch.GetElapsedTime(before, after).TotalNanoseconds));
            }
            else
            {
                errors++;
            }
        }

        return (latency, errors);
    }

    public static LoadResult ToResult(string peer, LoadSpec spec, double opsPerSecond, LongHistogram latency, long errors, double serverCpuSeconds, double clientCpuSeconds)
    {
        double operations = Math.Max(1, opsPerSecond * spec.Seconds);
        return new LoadResult
        {
            Peer = peer,
            Operation = spec.Operation,
            Clients = spec.Clients,
            OpsPerSecond = opsPerSecond,
            P50Milliseconds = latency.GetValueAtPercentile(50) / 1e6,
            P99Milliseconds = latency.GetValueAtPercentile(99) / 1e6,
            P999Milliseconds = latency.GetValueAtPercentile(99.9) / 1e6,
            ServerMicrosPerOp = serverCpuSeconds * 1e6 / operations,
            ClientMicrosPerOp = clientCpuSeconds * 1e6 / operations,
            Errors = errors,
        };
    }
}
