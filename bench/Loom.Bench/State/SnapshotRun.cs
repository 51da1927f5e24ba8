using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.State;

/// <summary>
/// How fast a member that has nothing of the state is filled from a neighbour (S4), idle and under puts, and what that costs the puts. The member forms the cluster with the others, is killed before
/// anything is loaded, and comes back when the log no longer reaches back to it. Rates are those of the source's own account: bytes of state from the request to the receiver's word that all is there.
/// Puts are measured three times: with two members, while the third is filled, and with three: the last is what the second is to be compared with, for a third member costs the machine something by itself.
/// </summary>
internal static partial class SnapshotRun
{
    private const int ValueSize = 1024;
    private const int Clients = 32;
    private const double Seconds = 10;
    private const int Empty = 2;

    public static async Task<int> RunAsync(int keys, int rounds, string root, string output, string commandLine, CancellationToken token)
    {
        List<(string Case, Fill Fill, Puts? Puts)> rows = [];
        for (int round = 0; round < rounds; round++)
        {
            (Fill idle, _) = await RoundAsync(Path.Combine(root, $"idle{round}"), keys, loaded: false, token);
            rows.Add(("idle", idle, null));
            (Fill fill, Puts? puts) = await RoundAsync(Path.Combine(root, $"load{round}"), keys, loaded: true, token);
            rows.Add(($"{Clients} clients put", fill, puts));
        }

        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine()
            .AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. {keys:N0} keys of {ValueSize} B; three processes on one machine. \"Whole\" is from the start of the process to its first linearizable read.").AppendLine()
            .AppendLine("| while | state, MB | sent in, s | MB/s | whole after, s | puts/s: two members → during → three members | p99, ms | p99.9, ms | p99 during / with three |").AppendLine("|---|---|---|---|---|---|---|---|---|");
        foreach ((string name, Fill fill, Puts? puts) in rows)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"| {name} | {fill.Megabytes:N0} | {fill.SentSeconds:0.0} | {fill.Megabytes / fill.SentSeconds:N0} | {fill.WholeSeconds:0.0} {puts?.ToRow() ?? "| | | | |"}");
        }

        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
        return 0;
    }

    private static async Task<(Fill Fill, Puts? Puts)> RoundAsync(string root, int keys, bool loaded, CancellationToken token)
    {
        await using LoomNodePeer peer = new(root, extra: ["--quota-backend-bytes", "8589934592"]) { Entrances = [0, 1] };
        await peer.StartAsync(token);
        await WholeAsync(peer, token);
        peer.Nodes[Empty].Kill();
        await peer.LoadKeysAsync(keys, ValueSize, token);
        // Two checkpoint intervals, so that the log behind them is gone; who is silent is waited for ten seconds.
        await Task.Delay(TimeSpan.FromSeconds(25), token);
        LoadResult? before = loaded ? await PutAsync(peer, keys, token) : null;
        Task<LoadResult>? during = loaded ? PutAsync(peer, keys, token) : null;
        if (loaded)
        {
            await Task.Delay(1500, token);
        }

        Stopwatch clock = Stopwatch.StartNew();
        peer.RestartNode(Empty);
        await WholeAsync(peer, token);
        double whole = clock.Elapsed.TotalSeconds;
        Puts? puts = during is null ? null : new Puts(before!, await during, await AfterAsync(peer, keys, token));
        await Task.Delay(500, token);
        Match sent = Enumerable.Range(0, Empty).Select(n => Sent().Match(ReadShared(Path.Combine(root, $"n{n + 1}.log")))).FirstOrDefault(m => m.Success)
            ?? throw new InvalidOperationException($"nobody gave n{Empty + 1} a snapshot; see {root}");
        Fill fill = new(double.Parse(sent.Groups[1].Value, CultureInfo.InvariantCulture) / 1e6, double.Parse(sent.Groups[2].Value, CultureInfo.InvariantCulture), whole);
        Console.Error.WriteLine($"{(loaded ? "load" : "idle")}: {fill.Megabytes:N0} MB in {fill.SentSeconds:0.0} s, whole after {fill.WholeSeconds:0.0} s; {puts?.ToRow()}");
        return (fill, puts);
    }

    private static async Task<LoadResult> PutAsync(LoomNodePeer peer, int keys, CancellationToken token) =>
        await peer.RunAsync(new LoadSpec("put", Clients, Seconds, 1, ValueSize, keys), token);

    private static async Task<LoadResult> AfterAsync(LoomNodePeer peer, int keys, CancellationToken token)
    {
        await Task.Delay(TimeSpan.FromSeconds(5), token);
        return await PutAsync(peer, keys, token);
    }

    /// <summary>Until the member in question answers a linearizable read.</summary>
    private static async Task WholeAsync(LoomNodePeer peer, CancellationToken token)
    {
        using GrpcChannel channel = EtcdApiPeer.Open(peer.Endpoints[Empty]);
        KV.KVClient client = new(channel);
        for (Stopwatch clock = Stopwatch.StartNew(); clock.Elapsed < TimeSpan.FromMinutes(5);)
        {
            try
            {
                await client.RangeAsync(new RangeRequest { Key = EtcdApiPeer.Key(0) }, deadline: DateTime.UtcNow.AddSeconds(3), cancellationToken: token);
                return;
            }
            catch (RpcException)
            {
                await Task.Delay(50, token);
            }
        }

        throw new InvalidOperationException($"n{Empty + 1} is not whole");
    }

    private static string ReadShared(string path)
    {
        using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using StreamReader reader = new(stream);
        return reader.ReadToEnd();
    }

    [GeneratedRegex(@"has the whole snapshot: \d+ chunks, (\d+) bytes in ([\d.]+) s")]
    private static partial Regex Sent();

    private sealed record Puts(LoadResult Two, LoadResult During, LoadResult Three)
    {
        public string ToRow() => string.Create(CultureInfo.InvariantCulture,
            $"| {Two.OpsPerSecond:N0} → {During.OpsPerSecond:N0} → {Three.OpsPerSecond:N0} | {Two.P99Milliseconds:0.0} → {During.P99Milliseconds:0.0} → {Three.P99Milliseconds:0.0} | {Two.P999Milliseconds:0.0} → {During.P999Milliseconds:0.0} → {Three.P999Milliseconds:0.0} | {During.P99Milliseconds / Three.P99Milliseconds:0.00} |");
    }

    private readonly record struct Fill(double Megabytes, double SentSeconds, double WholeSeconds);
}
