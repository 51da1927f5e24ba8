using System.Diagnostics;
using System.Globalization;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Cluster;

/// <summary>
/// Longest gap without an acknowledged write when the leader is killed: open loop, 200 puts/s round robin over all endpoints, <c>kill -9</c> of the leader after 3 s of 9,
/// deadline 8 s; then every acknowledged key is read back on every survivor. etcd and Loom take turns.
/// </summary>
internal static class FailoverRun
{
    public static async Task<int> RunAsync(int trials, string root, string output, string commandLine, CancellationToken token)
    {
        SortedDictionary<string, List<(double Gap, long Acknowledged, long Lost)>> results = new(StringComparer.Ordinal);
        for (int trial = 1; trial <= trials; trial++)
        {
            foreach (EtcdApiPeer peer in new EtcdApiPeer[] { new EtcdPeer(Path.Combine(root, $"etcd-{trial}")), new LoomNodePeer(Path.Combine(root, $"loom-{trial}")) })
            {
                await using (peer)
                {
                    await peer.StartAsync(token);
                    var result = await TrialAsync(peer, token);
                    Console.Error.WriteLine($"trial {trial}: {peer.Name}: longest gap {result.Gap:0} ms, {result.Lost} of {result.Acknowledged} acknowledged writes lost");
                    results.TryAdd(peer.Name, []);
                    results[peer.Name].Add(result);
                }
            }
        }

        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine().AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. kill -9 of the leader, default timings (100 / 1000 ms), open loop 200 puts/s.").AppendLine();
        text.AppendLine("| peer | longest gap without an acknowledged write, ms | median | lost |").AppendLine("|---|---|---|---|");
        foreach (var (name, list) in results)
        {
            double[] gaps = [.. list.Select(r => r.Gap).Order()];
            text.AppendLine(CultureInfo.InvariantCulture, $"| {name} | {string.Join(" · ", gaps.Select(g => g.ToString("0", CultureInfo.InvariantCulture)))} | {gaps[gaps.Length / 2]:0} | {list.Sum(r => r.Lost)} of {list.Sum(r => r.Acknowledged):N0} |");
        }

        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
        return results.Where(r => r.Key.StartsWith("Loom", StringComparison.Ordinal)).Sum(r => r.Value.Sum(x => x.Lost)) == 0 ? 0 : 1;
    }

    private static async Task<(double Gap, long Acknowledged, long Lost)> TrialAsync(EtcdApiPeer peer, CancellationToken token)
    {
        GrpcChannel[] channels = [.. peer.Endpoints.Select(EtcdApiPeer.Open)];
        KV.KVClient[] clients = [.. channels.Select(c => new KV.KVClient(c))];
        ByteString value = ByteString.CopyFrom(new byte[256]);
        List<(int Key, long At)> acknowledged = [];
        List<Task> calls = [];
        long start = Stopwatch.GetTimestamp();
        int leader = await peer.LeaderAsync();
        bool killed = false;
        for (int n = 0; n < 1800; n++)
        {
            int key = n;
            calls.Add(Task.Run(async () =>
            {
                try
                {
                    await clients[key % 3].PutAsync(new PutRequest { Key = EtcdApiPeer.Key(key), Value = value }, deadline: DateTime.UtcNow.AddSeconds(8), cancellationToken: token);
                    lock (acknowledged)
                    {
                        acknowledged.Add((key, Stopwatch.GetTimestamp()));
                    }
                }
                catch (RpcException)
                {
                    // No answer, or an error: not acknowledged, and not counted as lost.
                }
            }, token));
            if (!killed && Stopwatch.GetElapsedTime(start) > TimeSpan.FromSeconds(3))
            {
                peer.Nodes[leader].Kill();
                killed = true;
            }

            TimeSpan due = TimeSpan.FromMilliseconds(5.0 * (n + 1)) - Stopwatch.GetElapsedTime(start);
            if (due > TimeSpan.Zero)
            {
                await Task.Delay(due, token);
            }
        }

        long end = Stopwatch.GetTimestamp();
        await Task.WhenAll(calls);
        long[] times = [.. acknowledged.Select(a => a.At).Where(t => t <= end).Order(), end];
        double gap = times.Zip(times.Skip(1), (a, b) => Stopwatch.GetElapsedTime(a, b).TotalMilliseconds).Max();
        long lost = 0;
        foreach (int survivor in Enumerable.Range(0, 3).Where(i => i != leader))
        {
            lost += await CountMissingAsync(clients[survivor], acknowledged, token);
        }

        foreach (GrpcChannel channel in channels)
        {
            channel.Dispose();
        }

        return (gap, acknowledged.Count, lost);
    }

    private static async Task<long> CountMissingAsync(KV.KVClient client, List<(int Key, long At)> acknowledged, CancellationToken token)
    {
        RangeResponse everything = await client.RangeAsync(new RangeRequest { Key = ByteString.CopyFrom(0), RangeEnd = ByteString.CopyFrom(0), KeysOnly = true }, deadline: DateTime.UtcNow.AddSeconds(20), cancellationToken: token);
        HashSet<ByteString> present = [.. everything.Kvs.Select(kv => kv.Key)];
        return acknowledged.Count(a => !present.Contains(EtcdApiPeer.Key(a.Key)));
    }
}
