using System.Diagnostics;
using System.Globalization;
using System.Text;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.State;

/// <summary>
/// Put throughput and latency while the store works on its own state: undisturbed, while history is compacted and disk space given back, and while an emptied member is filled from a neighbour.
/// The cases take turns within one run, so that the machine's moods meet all of them. Clients enter at the two members that stay.
/// </summary>
internal static class DisturbanceRun
{
    private const int ValueSize = 256;
    private const int Clients = 32;
    private const double Seconds = 10;

    public static async Task<int> RunAsync(int keys, int rounds, string root, string output, string commandLine, CancellationToken token)
    {
        await using LoomNodePeer peer = new(Path.Combine(root, "loom"), extra: ["--quota-backend-bytes", "8589934592"]);
        await peer.StartAsync(token);
        await peer.LoadKeysAsync(keys, ValueSize, token);
        List<(string Case, LoadResult Result)> results = [];
        List<double> fills = [];
        for (int round = 0; round <= rounds; round++)
        {
            int victim = (await peer.LeaderAsync() + 1) % 3;
            peer.Entrances = [(victim + 1) % 3, (victim + 2) % 3];
            Note(await LoadAsync(peer, keys, token), "undisturbed");
            using (CancellationTokenSource end = CancellationTokenSource.CreateLinkedTokenSource(token))
            {
                Task compacting = CompactAsync(peer, end.Token);
                Note(await LoadAsync(peer, keys, token), "compaction");
                await end.CancelAsync();
                await compacting;
            }

            Task<double> filling = FillAsync(peer, victim, token);
            Note(await LoadAsync(peer, keys, token), "a member is filled");
            double filled = await filling;
            if (round > 0)
            {
                fills.Add(filled);
            }

            void Note(LoadResult result, string name)
            {
                Console.Error.WriteLine($"round {round}: {name}: {result.OpsPerSecond:N0}/s, p99 {result.P99Milliseconds:0.0}, p99.9 {result.P999Milliseconds:0.0} ms, {result.Errors} errors");
                if (round > 0)
                {
                    results.Add((name, result));
                }
            }
        }

        await WriteAsync(output, commandLine, keys, results, fills, token);
        return 0;
    }

    private static async Task<LoadResult> LoadAsync(LoomNodePeer peer, int keys, CancellationToken token) =>
        await peer.RunAsync(new LoadSpec("put", Clients, Seconds, 1, ValueSize, keys), token);

    /// <summary>Compacts to the newest revision each second: every overwritten record becomes garbage at once.</summary>
    private static async Task CompactAsync(LoomNodePeer peer, CancellationToken token)
    {
        using GrpcChannel channel = EtcdApiPeer.Open(peer.Endpoints[0]);
        KV.KVClient client = new(channel);
        while (!token.IsCancellationRequested)
        {
            try
            {
                RangeResponse now = await client.RangeAsync(new RangeRequest { Key = EtcdApiPeer.Key(0), CountOnly = true }, deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: token);
                await client.CompactAsync(new CompactionRequest { Revision = now.Header.Revision }, deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: token);
                await Task.Delay(1000, token);
            }
            catch (Exception e) when (e is RpcException or OperationCanceledException)
            {
                // The next second tries again, or the load is over.
            }
        }
    }

    /// <summary>Empties a follower and waits until it answers a linearizable read again.</summary>
    private static async Task<double> FillAsync(LoomNodePeer peer, int victim, CancellationToken token)
    {
        Stopwatch clock = Stopwatch.StartNew();
        peer.RestartNode(victim, () => Directory.Delete(peer.DirectoryOf(victim), recursive: true));
        using GrpcChannel channel = EtcdApiPeer.Open(peer.Endpoints[victim]);
        KV.KVClient client = new(channel);
        while (clock.Elapsed < TimeSpan.FromMinutes(3))
        {
            try
            {
                await client.RangeAsync(new RangeRequest { Key = EtcdApiPeer.Key(0) }, deadline: DateTime.UtcNow.AddSeconds(3), cancellationToken: token);
                return clock.Elapsed.TotalSeconds;
            }
            catch (RpcException)
            {
                await Task.Delay(100, token);
            }
        }

        throw new InvalidOperationException($"n{victim + 1} was not whole again after {clock.Elapsed}");
    }

    private static async Task WriteAsync(string output, string commandLine, int keys, List<(string Case, LoadResult Result)> results, List<double> fills, CancellationToken token)
    {
        double calm = Median(results, "undisturbed", r => r.OpsPerSecond);
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine()
            .AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. {keys:N0} keys of {ValueSize} B, {Clients} clients in a closed loop, medians of {fills.Count} interleaved rounds; checkpoints are taken all the time, in every case. An emptied member was whole again after {string.Join(", ", fills.Select(f => f.ToString("0.0", CultureInfo.InvariantCulture)))} s.").AppendLine()
            .AppendLine("| while | puts/s | of undisturbed | p99 ms | p99.9 ms | errors |").AppendLine("|---|---|---|---|---|---|");
        foreach (string name in results.Select(r => r.Case).Distinct())
        {
            double rate = Median(results, name, r => r.OpsPerSecond);
            text.AppendLine(CultureInfo.InvariantCulture, $"| {name} | {rate:N0} | {rate / calm:0.00} | {Median(results, name, r => r.P99Milliseconds):0.0} | {Median(results, name, r => r.P999Milliseconds):0.0} | {results.Where(r => r.Case == name).Sum(r => r.Result.Errors)} |");
        }

        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
    }

    private static double Median(List<(string Case, LoadResult Result)> results, string name, Func<LoadResult, double> of)
    {
        double[] sorted = [.. results.Where(r => r.Case == name).Select(r => of(r.Result)).Order()];
        return sorted[sorted.Length / 2];
    }
}
