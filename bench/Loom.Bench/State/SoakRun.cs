using System.Diagnostics;
using System.Globalization;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using HdrHistogram;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.State;

/// <summary>
/// Overwrites at half of the rate that the cluster reaches, for a long time, with automatic compaction: memory, disk and latency must stay flat. An open loop: a call that is late delays no other.
/// Writes one row per interval as CSV, and a plot of them.
/// </summary>
internal static class SoakRun
{
    private const int Keys = 100_000;
    private const int ValueSize = 256;
    private const int MaxInFlight = 512;
    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    public static async Task<int> RunAsync(int minutes, string root, string output, string commandLine, CancellationToken token)
    {
        await using LoomNodePeer peer = new(Path.Combine(root, "loom"), extra: ["--auto-compaction-mode", "revision", "--auto-compaction-retention", "10000"]);
        await peer.StartAsync(token);
        await peer.LoadKeysAsync(Keys, ValueSize, token);
        LoadResult most = await peer.RunAsync(new LoadSpec("put", 64, 10, 3, ValueSize, Keys), token);
        double rate = most.OpsPerSecond / 2;
        Console.Error.WriteLine($"most {most.OpsPerSecond:N0}/s, so {rate:N0}/s for {minutes} minutes");
        List<SoakSample> samples = await DriveAsync(peer, rate, TimeSpan.FromMinutes(minutes), token);
        await WriteAsync(output, commandLine, most.OpsPerSecond, rate, samples, token);
        return 0;
    }

    private static async Task<List<SoakSample>> DriveAsync(LoomNodePeer peer, double rate, TimeSpan length, CancellationToken token)
    {
        GrpcChannel[] channels = [.. Enumerable.Range(0, 12).Select(i => EtcdApiPeer.Open(peer.Endpoints[i % 3]))];
        KV.KVClient[] clients = [.. channels.Select(c => new KV.KVClient(c))];
        using SemaphoreSlim places = new(MaxInFlight);
        Window window = new();
        List<SoakSample> samples = [];
        Stopwatch clock = Stopwatch.StartNew();
        TimeSpan nextSample = Interval;
        ByteString value = ByteString.CopyFrom(new byte[ValueSize]);
        for (long sent = 0; clock.Elapsed < length; sent++)
        {
            TimeSpan due = TimeSpan.FromSeconds(sent / rate);
            if (due > clock.Elapsed + TimeSpan.FromMilliseconds(1))
            {
                await Task.Delay(due - clock.Elapsed, token);
            }

            await places.WaitAsync(token);
            _ = PutAsync(clients[sent % clients.Length], (int)(sent * 7919 % Keys), value, due, clock, window, places);
            if (clock.Elapsed >= nextSample)
            {
                samples.Add(window.Take(clock.Elapsed, [.. peer.Nodes.Select(n => n.ResidentBytes())], [.. Enumerable.Range(0, 3).Select(n => DiskUse.Bytes(peer.DirectoryOf(n)))]));
                Console.Error.WriteLine(samples[^1].ToCsv());
                nextSample += Interval;
            }
        }

        Array.ForEach(channels, c => c.Dispose());
        return samples;
    }

    /// <summary>Timed from when it was due, so that a stall is seen by every call that it held up.</summary>
    private static async Task PutAsync(KV.KVClient client, int key, ByteString value, TimeSpan due, Stopwatch clock, Window window, SemaphoreSlim places)
    {
        try
        {
            await client.PutAsync(new PutRequest { Key = EtcdApiPeer.Key(key), Value = value }, deadline: DateTime.UtcNow.AddSeconds(20));
            window.Record(clock.Elapsed - due);
        }
        catch (RpcException)
        {
            window.Fail();
        }
        finally
        {
            places.Release();
        }
    }

    private static async Task WriteAsync(string output, string commandLine, double most, double rate, List<SoakSample> samples, CancellationToken token)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(output) ?? ".");
        await File.WriteAllLinesAsync(output + ".csv", [SoakSample.CsvHead, .. samples.Select(s => s.ToCsv())], token);
        await File.WriteAllTextAsync(output + ".svg", SoakPlot.Draw(samples), token);
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{commandLine}`").AppendLine()
            .AppendLine(CultureInfo.InvariantCulture, $"Commit {Report.Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Report.Machine()}. {Keys:N0} keys of {ValueSize} B, overwritten at {rate:N0}/s (half of {most:N0}/s), automatic compaction of all but 10,000 revisions.").AppendLine()
            .AppendLine("| minutes | puts/s | p50 ms | p99 ms | p99.9 ms | errors | largest RSS MiB | largest directory MiB |").AppendLine("|---|---|---|---|---|---|---|---|");
        int sixth = Math.Max(1, samples.Count / 6);
        foreach (SoakSample[] part in samples.Chunk(sixth))
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"| {part[0].At.TotalMinutes:0.0}–{part[^1].At.TotalMinutes:0.0} | {part.Average(s => s.Rate):N0} | {part.Average(s => s.P50):0.0} | {part.Max(s => s.P99):0.0} (worst 10 s) | {part.Max(s => s.P999):0.0} | {part.Sum(s => s.Errors)} | {part.Max(s => s.Resident.Max()) >> 20} | {part.Max(s => s.Disk.Max()) >> 20} |");
        }

        await File.WriteAllTextAsync(output + ".md", text.ToString(), token);
        Console.WriteLine(text.ToString());
    }

    private sealed class Window
    {
        private readonly Lock gate = new();
        private LongHistogram latency = ClosedLoop.NewHistogram();
        private long errors;

        public void Record(TimeSpan took)
        {
            lock (gate)
            {
                latency.RecordValue(Math.Max(1, took.Ticks * 100));
            }
        }

        public void Fail()
        {
            lock (gate)
            {
                errors++;
            }
        }

        public SoakSample Take(TimeSpan at, long[] resident, long[] disk)
        {
            lock (gate)
            {
                SoakSample sample = new(at, latency.TotalCount / Interval.TotalSeconds, latency.GetValueAtPercentile(50) / 1e6, latency.GetValueAtPercentile(99) / 1e6, latency.GetValueAtPercentile(99.9) / 1e6, errors, resident, disk);
                latency = ClosedLoop.NewHistogram();
                errors = 0;
                return sample;
            }
        }
    }
}

/// <summary>One interval of a soak.</summary>
internal sealed record SoakSample(TimeSpan At, double Rate, double P50, double P99, double P999, long Errors, long[] Resident, long[] Disk)
{
    public const string CsvHead = "seconds,puts_per_s,p50_ms,p99_ms,p999_ms,errors,rss1,rss2,rss3,disk1,disk2,disk3";

    public string ToCsv() => string.Create(CultureInfo.InvariantCulture, $"{At.TotalSeconds:0},{Rate:0},{P50:0.00},{P99:0.00},{P999:0.00},{Errors},{string.Join(',', Resident)},{string.Join(',', Disk)}");
}
