using System.Globalization;
using System.Text;
using Loom.Bench.Cluster;

namespace Loom.Bench.Streams;

/// <summary>What lives on streams, etcd and Loom in turn, each with three members of its own: watch fan-out, idle watches, renewals of leases.</summary>
internal static class StreamsRun
{
    public static async Task<int> RunAsync(int rounds, string root, string output, string commandLine, CancellationToken token)
    {
        List<FanOutResult> fanOut = [];
        List<KeepAliveResult> renewals = [];
        List<IdleResult> idle = [];
        for (int round = 0; round <= rounds; round++)
        {
            foreach (EtcdApiPeer peer in new EtcdApiPeer[] { new EtcdPeer(Path.Combine(root, $"etcd-{round}")), new LoomNodePeer(Path.Combine(root, $"loom-{round}")) })
            {
                await using (peer)
                {
                    await peer.StartAsync(token);

                    // Idle ones first: what the load leaves in a garbage collector's heap is not theirs.
                    IdleResult watches = await IdleWatches.RunAsync(peer, token);
                    FanOutResult events = await FanOut.RunAsync(peer, token);
                    KeepAliveResult[] rates = [await KeepAlives.RunAsync(peer, 32, 1, token), await KeepAlives.RunAsync(peer, 32, 32, token)];
                    Console.Error.WriteLine($"round {round}: {watches}\nround {round}: {events}\nround {round}: {rates[0]}\nround {round}: {rates[1]}");
                    if (round > 0)
                    {
                        idle.Add(watches);
                        fanOut.Add(events);
                        renewals.AddRange(rates);
                    }
                }
            }
        }

        string text = Text(commandLine, fanOut, idle, renewals);
        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text, token);
        Console.WriteLine(text);
        return 0;
    }

    private static string Text(string commandLine, List<FanOutResult> fanOut, List<IdleResult> idle, List<KeepAliveResult> renewals)
    {
        CultureInfo c = CultureInfo.InvariantCulture;
        StringBuilder text = new();
        text.AppendLine(c, $"`{commandLine}`").AppendLine()
            .AppendLine(c, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. Three members each; rounds in turn, after one that is not counted.").AppendLine();
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
            .AppendLine("| peer | streams | in flight on each | renewals/s | p50 ms | p99 ms | server µs/renewal |").AppendLine("|---|---|---|---|---|---|---|");
        foreach (KeepAliveResult r in renewals.OrderBy(r => r.InFlight).ThenBy(r => r.Peer, StringComparer.Ordinal))
        {
            text.AppendLine(c, $"| {r.Peer} | {r.Streams} | {r.InFlight} | {r.PerSecond:N0} | {r.P50Milliseconds:0.0} | {r.P99Milliseconds:0.0} | {r.ServerMicros:0} |");
        }

        return text.ToString();
    }
}
