using System.Globalization;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Cluster;

/// <summary>Commit latency over held frames (<c>serve --test-peer-delay</c>): entry at the leader's datacenter, whose nearest majority is one round trip to the nearest other datacenter.</summary>
internal static class WanRun
{
    public static async Task<int> RunAsync(int[] wan, string root, string output, string commandLine, CancellationToken token)
    {
        await using LoomNodePeer peer = new(root, wan);
        await peer.StartAsync(token);
        int leader = await peer.LeaderAsync();
        int[,] rtt = { { 0, wan[0], wan[2] }, { wan[0], 0, wan[1] }, { wan[2], wan[1], 0 } };
        int nearest = Enumerable.Range(0, 3).Where(i => i != leader).Min(i => rtt[leader, i]);
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. Puts of 256 B at the leader ({"east west south".Split(' ')[leader]}); nearest majority {nearest} ms away.").AppendLine();
        text.AppendLine("| clients | puts/s | p50 ms | p99 ms | p50 / round trip |").AppendLine("|---|---|---|---|---|");
        using GrpcChannel channel = EtcdApiPeer.Open(peer.Endpoints[leader]);
        KV.KVClient kv = new(channel);
        ByteString value = ByteString.CopyFrom(new byte[256]);
        // The first is not counted: a just-in-time compiler needs it.
        foreach ((int clients, bool counts) in new[] { (256, false), (1, true), (32, true), (256, true) })
        {
            LoadSpec spec = new("put", clients, 5, 1, 256, 10_000);
            var (rate, latency, errors, _, _) = await ClosedLoop.RunAsync(spec, async (client, sequence) =>
            {
                try
                {
                    await kv.PutAsync(new PutRequest { Key = EtcdApiPeer.Key((int)(((client * 7919L) + sequence) % spec.Keys)), Value = value }, deadline: DateTime.UtcNow.AddSeconds(20), cancellationToken: token);
                    return true;
                }
                catch (RpcException)
                {
                    return false;
                }
            }, token);
            if (!counts)
            {
                continue;
            }

            double p50 = latency.GetValueAtPercentile(50) / 1e6;
            text.AppendLine(CultureInfo.InvariantCulture, $"| {clients} | {rate:N0} | {p50:0.0} | {latency.GetValueAtPercentile(99) / 1e6:0.0} | {p50 / nearest:0.00} |");
            Console.Error.WriteLine($"{clients} clients: {rate:N0}/s, p50 {p50:0.0} ms, {errors} errors");
        }

        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
        return 0;
    }
}
