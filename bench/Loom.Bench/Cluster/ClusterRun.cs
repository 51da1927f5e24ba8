using Loom.Bench.Baseline;

namespace Loom.Bench.Cluster;

/// <summary>
/// The side-by-side load: every peer runs at once but only one is loaded at a time, interleaved in rounds, and each cell is the median of its rounds.
/// A round 0 is driven and not counted, for every peer alike: a just-in-time compiler needs it.
/// </summary>
internal static class ClusterRun
{
    public sealed record Options(string[] Operations, int[] Clients, double Seconds, int ValueSize, int Keys, int Rounds, string[] Peers, string Output, string Root, string CommandLine);

    public static async Task<int> RunAsync(Options options, CancellationToken token)
    {
        List<IPeer> peers = [.. options.Peers.Select(p => Create(p, Path.Combine(options.Root, p)))];
        List<LoadResult> all = [];
        try
        {
            foreach (IPeer peer in peers)
            {
                Console.Error.WriteLine($"starting {peer.Name}");
                await peer.StartAsync(token);
                if (peer is EtcdApiPeer api)
                {
                    await api.LoadKeysAsync(options.Keys, options.ValueSize, token);
                }
            }

            for (int round = 0; round <= options.Rounds; round++)
            {
                foreach (string operation in options.Operations)
                {
                    foreach (int clients in options.Clients)
                    {
                        foreach (IPeer peer in peers.Where(p => p.Supports(operation)))
                        {
                            LoadResult result = await peer.RunAsync(new LoadSpec(operation, clients, options.Seconds, 0.8, options.ValueSize, options.Keys), token);
                            if (round > 0)
                            {
                                all.Add(result);
                            }

                            Console.Error.WriteLine($"round {round}: {operation}/{clients} {peer.Name}: {result.OpsPerSecond:N0}/s p50 {result.P50Milliseconds:0.00} p99 {result.P99Milliseconds:0.00} ms, {result.Errors} errors");
                        }
                    }
                }
            }
        }
        finally
        {
            foreach (IPeer peer in peers)
            {
                await peer.DisposeAsync();
            }
        }

        LoadResult[] medians = [.. all.GroupBy(r => (r.Peer, r.Operation, r.Clients)).Select(g => g.OrderBy(r => r.OpsPerSecond).ElementAt(g.Count() / 2))];
        await Report.WriteAsync(Path.GetDirectoryName(options.Output) ?? ".", Path.GetFileName(options.Output), options.CommandLine, "etcd 3.4 gRPC", medians, peers.Select(p => (p.Name, p.Meaning)));
        return 0;
    }

    private static IPeer Create(string name, string root) => name switch
    {
        "etcd" => new EtcdPeer(root),
        "loom" => new LoomNodePeer(root),
        "library" => new LibraryPeer(root),
        "dotnext" => new StockPeer(safe: false, root),
        "dotnext-safe" => new StockPeer(safe: true, root),
        _ => throw new ArgumentException($"no peer '{name}': etcd, loom, library, dotnext, dotnext-safe"),
    };
}
