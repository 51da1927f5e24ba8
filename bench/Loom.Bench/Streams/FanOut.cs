using System.Buffers.Binary;
using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using HdrHistogram;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Streams;

internal sealed record FanOutResult(string Peer, double EventsPerSecond, double PutsPerSecond, double P50Milliseconds, double P99Milliseconds, long Missing, double ServerMicrosPerEvent);

/// <summary>
/// Watchers of one prefix and writers below it. A value begins with the moment of its put, so each receipt is a latency. The receiver decodes only as much of an event as it needs
/// (<see cref="ReceivedEvents"/>), for on a machine that it shares with the servers a heavier client would be what is measured.
/// </summary>
internal static class FanOut
{
    public const int Watchers = 100, Writers = 32, ValueSize = 64;
    private const double WarmUp = 1;

    public static async Task<FanOutResult> RunAsync(EtcdApiPeer peer, double forSeconds, CancellationToken token)
    {
        GrpcChannel[] channels = [.. Enumerable.Range(0, 12).Select(i => EtcdApiPeer.Open(peer.Endpoints[i % 3]))];
        LongHistogram[] latencies = [.. Enumerable.Range(0, Watchers).Select(_ => ClosedLoop.NewHistogram())];
        long[] received = new long[Watchers];
        bool[] counts = [false];
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(token);
        Task[] watching = [.. Enumerable.Range(0, Watchers).Select(i => Task.CompletedTask)];
        for (int i = 0; i < Watchers; i++)
        {
            watching[i] = await WatchAsync(channels[i % channels.Length], latencies[i], received, i, counts, ending.Token);
        }

        KV.KVClient[] clients = [.. channels.Select(c => new KV.KVClient(c))];
        long puts = 0;
        Task Writer(int writer) => Task.Run(async () =>
        {
            long end = Stopwatch.GetTimestamp() + (long)((WarmUp + forSeconds) * Stopwatch.Frequency);
            for (int i = 0; Stopwatch.GetTimestamp() < end; i++)
            {
                byte[] value = new byte[ValueSize];
                BinaryPrimitives.WriteInt64LittleEndian(value, Stopwatch.GetTimestamp());
                await clients[writer % clients.Length].PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8($"w/{writer}/{i % 100}"), Value = UnsafeByteOperations.UnsafeWrap(value) }, cancellationToken: token);
                Interlocked.Increment(ref puts);
            }
        }, token);

        Task[] writing = [.. Enumerable.Range(0, Writers).Select(Writer)];
        await Task.Delay(TimeSpan.FromSeconds(WarmUp), token);
        double cpu = peer.Nodes.Sum(n => n.CpuSeconds());
        (long before, long putsBefore) = (Total(received), Volatile.Read(ref puts));
        Volatile.Write(ref counts[0], true);
        long began = Stopwatch.GetTimestamp();
        await Task.Delay(TimeSpan.FromSeconds(forSeconds), token);
        double seconds = Stopwatch.GetElapsedTime(began).TotalSeconds;
        Volatile.Write(ref counts[0], false);
        (long events, long written) = (Total(received) - before, Volatile.Read(ref puts) - putsBefore);
        cpu = peer.Nodes.Sum(n => n.CpuSeconds()) - cpu;
        await Task.WhenAll(writing);
        long missing = await MissingAsync(received, puts, token);
        await ending.CancelAsync();
        await Task.WhenAll(watching);
        Array.ForEach(channels, c => c.Dispose());
        LongHistogram all = ClosedLoop.NewHistogram();
        Array.ForEach(latencies, all.Add);
        return new FanOutResult(peer.Name, events / seconds, written / seconds, all.GetValueAtPercentile(50) / 1e6, all.GetValueAtPercentile(99) / 1e6, missing, cpu * 1e6 / Math.Max(1, events));
    }

    private static long Total(long[] received) => received.Sum(r => Interlocked.Read(ref r));

    /// <summary>Events that have not come to each of the watchers when nothing has come for a second.</summary>
    private static async Task<long> MissingAsync(long[] received, long puts, CancellationToken token)
    {
        for (long last = -1, now = Total(received); now != last && now < puts * Watchers; now = Total(received))
        {
            last = now;
            await Task.Delay(1000, token);
        }

        return (puts * Watchers) - Total(received);
    }

    /// <summary>Opens a watch; gives the task that reads it once it is created.</summary>
    private static async Task<Task> WatchAsync(GrpcChannel channel, LongHistogram latency, long[] received, int index, bool[] counts, CancellationToken token)
    {
        AsyncDuplexStreamingCall<WatchRequest, ReceivedEvents> call = channel.CreateCallInvoker().AsyncDuplexStreamingCall(ReceivedEvents.Watch, null, new CallOptions(cancellationToken: token));
        await call.RequestStream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = ByteString.CopyFromUtf8("w/"), RangeEnd = ByteString.CopyFromUtf8("w0") } }, token);
        await call.ResponseStream.MoveNext(token);
        return Task.Run(async () =>
        {
            try
            {
                while (await call.ResponseStream.MoveNext(token))
                {
                    long now = Stopwatch.GetTimestamp();
                    ReceivedEvents events = call.ResponseStream.Current;
                    Interlocked.Add(ref received[index], events.Count);
                    foreach (long put in Volatile.Read(ref counts[0]) ? events.Puts : [])
                    {
                        latency.RecordValue(Math.Max(1, (long)Stopwatch.GetElapsedTime(put, now).TotalNanoseconds));
                    }
                }
            }
            catch (Exception exception) when (token.IsCancellationRequested && exception is RpcException or OperationCanceledException)
            {
            }
            finally
            {
                call.Dispose();
            }
        }, CancellationToken.None);
    }
}
