using System.Globalization;
using System.Text;
using Loom.Bench.Cluster;

namespace Loom.Bench.Streams;

/// <summary>What lives on streams, etcd and Loom in turn, each with three members of its own: watch fan-out, idle watches, renewals of leases.</summary>
internal static class StreamsRun
{
    public sealed record Options(int Rounds, double Seconds, string[] Parts, string Root, string Output, string CommandLine);

    public static async Task<int> RunAsync(Options options, CancellationToken token)
    {
        List<FanOutResult> fanOut = [];
        List<KeepAliveResult> renewals = [];
        List<IdleResult> idle = [];

        // On members of their own: what a load leaves in a garbage collector's heap is not the idle ones'.
        for (int round = 1; round <= options.Rounds && options.Parts.Contains("idle"); round++)
        {
            await using Peers fresh = await Peers.StartAsync(Path.Combine(options.Root, $"idle-{round}"), token);
            foreach (EtcdApiPeer peer in fresh.All)
            {
                Add(idle, round, await IdleWatches.RunAsync(peer, token));
            }
        }

        await using Peers loaded = await Peers.StartAsync(Path.Combine(options.Root, "load"), token);
        for (int round = 0; round <= options.Rounds; round++)
        {
            foreach (EtcdApiPeer peer in options.Parts.Contains("fanout") ? loaded.All : [])
            {
                Add(fanOut, round, await FanOut.RunAsync(peer, options.Seconds, token));
            }

            foreach ((int inFlight, EtcdApiPeer peer) in options.Parts.Contains("renewals") ? Cells(loaded) : [])
            {
                Add(renewals, round, await KeepAlives.RunAsync(peer, 32, inFlight, options.Seconds, token));
            }
        }

        string text = Text(options.CommandLine, fanOut, idle, renewals);
        Directory.CreateDirectory(Path.GetDirectoryName(options.Output) ?? ".");
        await File.WriteAllTextAsync(options.Output + ".md", text, token);
        Console.WriteLine(text);
        return 0;
    }

    private static IEnumerable<(int InFlight, EtcdApiPeer Peer)> Cells(Peers peers) => new[] { 1, 32 }.SelectMany(n => peers.All.Select(p => (n, p)));

    private static void Add<T>(List<T> results, int round, T result)
    {
        Console.Error.WriteLine($"round {round}: {result}");
        if (round > 0)
        {
            results.Add(result);
        }
    }

    private static string Text(string commandLine, List<FanOutResult> fanOut, List<IdleResult> idle, List<KeepAliveResult> renewals)
    {
        CultureInfo c = CultureInfo.InvariantCulture;
        StringBuilder text = new();
        text.AppendLine(c, $"`{commandLine}`").AppendLine()
            .AppendLine(c, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. Three members each, only one cluster is loaded at a time; rounds in turn, loads after one round that is not counted.").AppendLine();
        text.AppendLine(c, $"{FanOut.Watchers} watchers on streams of their own over all members, {FanOut.Writers} writers in a closed loop, values of {FanOut.ValueSize} B; latency from the put's start to the watcher's receipt.").AppendLine()
            .AppendLine("| peer | events delivered/s | puts/s | p50 ms | p99 ms | missing | server µs/event |").AppendLine("|---|---|---|---|---|---|---|");
        foreach (FanOutResult r in fanOut.OrderBy(r => r.Peer, StringComparer.Ordinal))
        {
            text.AppendLine(c, $"| {r.Peer} | {r.EventsPerSecond:N0} | {r.PutsPerSecond:N0} | {r.P50Milliseconds:0.0} | {r.P99Milliseconds:0.0} | {r.Missing} | {r.ServerMicrosPerEvent:0.0} |");
        }

        text.AppendLine().AppendLine(c, $"{IdleWatches.Watches:N0} idle watches on keys of their own, all on one member over one connection, after {IdleWatches.First:N0} that are not counted; growth of VmRSS, and the events that each of them is sent afterwards.").AppendLine()
            .AppendLine("| peer | on | B a watch | told of their put |").AppendLine("|---|---|---|---|");
        foreach (IdleResult r in idle.OrderBy(r => r.Peer, StringComparer.Ordinal))
        {
            text.AppendLine(c, $"| {r.Peer} | one stream | {r.BytesOnOneStream:N0} | {r.Told} of {IdleWatches.Probes} |").AppendLine(c, $"| {r.Peer} | {IdleWatches.Streams:N0} streams | {r.BytesOnOwnStreams:N0} | |");
        }

        text.AppendLine().AppendLine(c, $"Renewals of {KeepAlives.Leases:N0} leases over all members, closed loop.").AppendLine()
            .AppendLine("| peer | streams | in flight on each | renewals/s | p50 ms | p99 ms | server µs/renewal | log entries/s |").AppendLine("|---|---|---|---|---|---|---|---|");
        foreach (KeepAliveResult r in renewals.OrderBy(r => r.InFlight).ThenBy(r => r.Peer, StringComparer.Ordinal))
        {
            text.AppendLine(c, $"| {r.Peer} | {r.Streams} | {r.InFlight} | {r.PerSecond:N0} | {r.P50Milliseconds:0.0} | {r.P99Milliseconds:0.0} | {r.ServerMicros:0} | {r.LogEntriesPerSecond:N0} |");
        }

        return text.ToString();
    }

    /// <summary>Both clusters, at once: only one of them is loaded at a time.</summary>
    private sealed class Peers(EtcdApiPeer[] all) : IAsyncDisposable
    {
        public EtcdApiPeer[] All => all;

        public static async Task<Peers> StartAsync(string root, CancellationToken token)
        {
            var peers = new Peers([new EtcdPeer(Path.Combine(root, "etcd")), new LoomNodePeer(Path.Combine(root, "loom"))]);
            foreach (EtcdApiPeer peer in peers.All)
            {
                await peer.StartAsync(token);
            }

            return peers;
        }

        public async ValueTask DisposeAsync()
        {
            foreach (EtcdApiPeer peer in all)
            {
                await peer.DisposeAsync();
            }
        }
    }
}
