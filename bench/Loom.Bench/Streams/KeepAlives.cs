using System.Diagnostics;
using Grpc.Core;
using Grpc.Net.Client;
using HdrHistogram;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Streams;

internal sealed record KeepAliveResult(string Peer, int Streams, int InFlight, double PerSecond, double P50Milliseconds, double P99Milliseconds, double ServerMicros, double LogEntriesPerSecond);

/// <summary>Streams of renewals over all members, as clients enter them: each has so many requests unanswered, and sends the next when one is answered.</summary>
internal static class KeepAlives
{
    public const int Leases = 1_000;
    private const double WarmUp = 1;

    public static async Task<KeepAliveResult> RunAsync(EtcdApiPeer peer, int streams, int inFlight, double seconds, CancellationToken token)
    {
        GrpcChannel[] channels = [.. Enumerable.Range(0, 12).Select(i => EtcdApiPeer.Open(peer.Endpoints[i % 3]))];
        var client = new Lease.LeaseClient(channels[0]);
        List<long> leases = [];
        for (int i = 0; i < Leases; i++)
        {
            leases.Add((await client.LeaseGrantAsync(new LeaseGrantRequest { TTL = 600 }, cancellationToken: token)).ID);
        }

        long from = Stopwatch.GetTimestamp() + (long)(WarmUp * Stopwatch.Frequency);
        long until = from + (long)(seconds * Stopwatch.Frequency);
        Task<LongHistogram>[] running = [.. Enumerable.Range(0, streams).Select(s => Task.Run(() => StreamAsync(channels[s % channels.Length], leases, s * 31, inFlight, from, until, token), token))];
        await Task.Delay(TimeSpan.FromSeconds(WarmUp), token);
        double cpu = peer.Nodes.Sum(n => n.CpuSeconds());
        ulong index = await IndexAsync(channels[0], token);
        LongHistogram all = ClosedLoop.NewHistogram();
        foreach (LongHistogram one in await Task.WhenAll(running))
        {
            all.Add(one);
        }

        cpu = peer.Nodes.Sum(n => n.CpuSeconds()) - cpu;
        index = await IndexAsync(channels[0], token) - index;
        foreach (long lease in leases)
        {
            await client.LeaseRevokeAsync(new LeaseRevokeRequest { ID = lease }, cancellationToken: token);
        }

        Array.ForEach(channels, c => c.Dispose());
        return new KeepAliveResult(
            peer.Name, streams, inFlight, all.TotalCount / seconds, all.GetValueAtPercentile(50) / 1e6, all.GetValueAtPercentile(99) / 1e6, cpu * 1e6 / Math.Max(1, all.TotalCount), index / seconds);
    }

    private static async Task<ulong> IndexAsync(GrpcChannel channel, CancellationToken token) =>
        (await new Maintenance.MaintenanceClient(channel).StatusAsync(new StatusRequest(), cancellationToken: token)).RaftIndex;

    private static async Task<LongHistogram> StreamAsync(GrpcChannel channel, List<long> leases, int first, int inFlight, long from, long until, CancellationToken token)
    {
        LongHistogram latency = ClosedLoop.NewHistogram();
        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = new Lease.LeaseClient(channel).LeaseKeepAlive(cancellationToken: token);
        var sent = new Queue<long>();
        int next = first;
        for (int i = 0; i < inFlight; i++)
        {
            await SendAsync();
        }

        while (sent.Count > 0 && await call.ResponseStream.MoveNext(token))
        {
            if (call.ResponseStream.Current.TTL <= 0)
            {
                throw new InvalidOperationException("a lease that lives was not renewed");
            }

            long at = sent.Dequeue(), now = Stopwatch.GetTimestamp();
            if (now >= from && now <= until)
            {
                latency.RecordValue(Math.Max(1, (long)Stopwatch.GetElapsedTime(at, now).TotalNanoseconds));
            }

            if (now < until)
            {
                await SendAsync();
            }
        }

        await call.RequestStream.CompleteAsync();
        return latency;

        Task SendAsync()
        {
            sent.Enqueue(Stopwatch.GetTimestamp());
            return call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = leases[next++ % leases.Count] }, token);
        }
    }
}
