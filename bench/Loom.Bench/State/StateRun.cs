using System.Diagnostics;
using System.Globalization;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.State;

/// <summary>
/// What a large state costs: bytes on disk and in memory after a load, and how long a member takes from the start of its process, after <c>kill -9</c>, to its first served write; etcd beside it.
/// </summary>
internal static class StateRun
{
    private const int ValueSize = 256;

    /// <summary>etcd's own measure of raw bytes: key and value.</summary>
    private const int KeySize = 15;

    public static async Task<int> RunAsync(int keys, int restarts, string root, string output, string commandLine, CancellationToken token)
    {
        StringBuilder text = new();
        double raw = (double)keys * (KeySize + ValueSize);
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine()
            .AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. Three members, {keys:N0} keys of {ValueSize} B ({raw / 1e6:N0} MB raw). A restart is timed from the start of the process, after kill -9, to the first write that this member answers.").AppendLine()
            .AppendLine("| peer | disk of each member, MB (of raw) | RSS after the load, MiB | restarts, s | RSS after each restart, MiB |").AppendLine("|---|---|---|---|---|");
        foreach (EtcdApiPeer peer in new EtcdApiPeer[] { new EtcdPeer(Path.Combine(root, "etcd")), new LoomNodePeer(Path.Combine(root, "loom")) })
        {
            await using (peer)
            {
                text.AppendLine(await RowAsync(peer, keys, restarts, raw, token));
            }
        }

        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
        return 0;
    }

    private static async Task<string> RowAsync(EtcdApiPeer peer, int keys, int restarts, double raw, CancellationToken token)
    {
        await peer.StartAsync(token);
        await peer.LoadKeysAsync(keys, ValueSize, token);
        // Two checkpoint intervals, so that the log behind them is gone.
        await Task.Delay(TimeSpan.FromSeconds(25), token);
        string disk = string.Join(" · ", Enumerable.Range(0, 3).Select(n => DiskUse.Bytes(peer.DirectoryOf(n))).Select(b => string.Create(CultureInfo.InvariantCulture, $"{b / 1e6:N0} ({b / raw:0.00})")));
        string loaded = string.Join(" · ", peer.Nodes.Select(n => n.ResidentBytes() >> 20));
        List<double> times = [];
        List<long> resident = [];
        for (int i = 0; i < restarts; i++)
        {
            int victim = (await peer.LeaderAsync() + 1) % 3;
            times.Add(await RestartAsync(peer, victim, token));
            await Task.Delay(TimeSpan.FromSeconds(3), token);
            resident.Add(peer.Nodes[victim].ResidentBytes() >> 20);
            Console.Error.WriteLine($"{peer.Name}: restart {times[^1]:0.00} s, {resident[^1]} MiB");
        }

        return string.Create(CultureInfo.InvariantCulture, $"| {peer.Name} | {disk} | {loaded} | {string.Join(" · ", times.Select(t => t.ToString("0.0", CultureInfo.InvariantCulture)))} | {string.Join(" · ", resident)} |");
    }

    private static async Task<double> RestartAsync(EtcdApiPeer peer, int index, CancellationToken token)
    {
        Stopwatch clock = new();
        peer.RestartNode(index, clock.Start);
        using GrpcChannel channel = EtcdApiPeer.Open(peer.Endpoints[index]);
        KV.KVClient client = new(channel);
        while (true)
        {
            try
            {
                await client.PutAsync(new PutRequest { Key = EtcdApiPeer.Key(0), Value = ByteString.CopyFrom(new byte[ValueSize]) }, deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: token);
                return clock.Elapsed.TotalSeconds;
            }
            catch (RpcException) when (clock.Elapsed < TimeSpan.FromMinutes(2))
            {
                await Task.Delay(20, token);
            }
        }
    }
}
