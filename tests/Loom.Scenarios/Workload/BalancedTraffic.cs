using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using NUnit.Framework;

namespace Loom.Scenarios.Workload;

/// <summary>
/// Clients that know one address, a load balancer's: each puts key after key, and reads each back as soon as it is acknowledged. One more watches all of them and goes on after the last revision that it
/// saw whenever its stream ends. What each was told is kept, with the member that said it.
/// </summary>
internal sealed class BalancedTraffic : IDisposable
{
    private const int Clients = 6;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(3);

    private readonly GrpcChannel[] channels;
    private readonly CancellationTokenSource stop = new();
    private readonly ConcurrentDictionary<string, long> acknowledged = new(StringComparer.Ordinal);
    private readonly ConcurrentQueue<(long At, ulong Member)> answers = new();
    private readonly ConcurrentQueue<string> faults = new();
    private readonly List<(string Key, long Revision)> watched = [];
    private readonly Task running;
    private readonly Task watching;

    public BalancedTraffic(string endpoint)
    {
        channels = [.. Enumerable.Range(0, Clients + 1).Select(_ => GrpcChannel.ForAddress(endpoint, new GrpcChannelOptions
        {
            HttpHandler = new SocketsHttpHandler { UseProxy = false, ConnectTimeout = TimeSpan.FromSeconds(1) },
            InitialReconnectBackoff = TimeSpan.FromMilliseconds(100),
            MaxReconnectBackoff = TimeSpan.FromMilliseconds(300),
        }))];
        running = Task.WhenAll(Enumerable.Range(0, Clients).Select(WriteAsync));
        watching = WatchAsync(channels[Clients]);
    }

    public int Acknowledged => acknowledged.Count;

    /// <summary>The members that answered a put since then.</summary>
    public ulong[] AnsweredSince(long timestamp) => [.. answers.Where(a => a.At >= timestamp).Select(a => a.Member).Distinct()];

    /// <summary>The longest time in which no put was acknowledged, of whoever.</summary>
    public TimeSpan LongestGapSince(long timestamp)
    {
        long[] times = [timestamp, .. answers.Select(a => a.At).Where(at => at >= timestamp).Order(), Stopwatch.GetTimestamp()];
        return times.Zip(times.Skip(1), Stopwatch.GetElapsedTime).Max();
    }

    /// <summary>Until the next put is acknowledged, of whoever.</summary>
    public async Task<TimeSpan> UntilNextAsync(TimeSpan limit)
    {
        long from = Stopwatch.GetTimestamp();
        int before = Acknowledged;
        while (Acknowledged == before)
        {
            Assert.That(Stopwatch.GetElapsedTime(from), Is.LessThan(limit), "no put went through the balancer");
            await Task.Delay(20);
        }

        return Stopwatch.GetElapsedTime(from);
    }

    /// <summary>Ends the writers, and the watch once it has seen all of theirs.</summary>
    public async Task StopAsync()
    {
        await stop.CancelAsync();
        await running;
        await watching.WaitAsync(TimeSpan.FromSeconds(20));
        Assert.That(faults, Is.Empty);
    }

    /// <summary>Every put that was acknowledged is there, at its revision.</summary>
    public async Task CheckAsync(KV.KVClient kv)
    {
        RangeResponse all = await kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("b/"), RangeEnd = ByteString.CopyFromUtf8("b0"), KeysOnly = true }, deadline: DateTime.UtcNow.AddSeconds(20));
        Dictionary<string, long> found = all.Kvs.ToDictionary(pair => pair.Key.ToStringUtf8(), pair => pair.ModRevision, StringComparer.Ordinal);
        string[] lost = [.. acknowledged.Where(put => found.GetValueOrDefault(put.Key) != put.Value).Select(put => put.Key)];
        Assert.That(lost, Is.Empty, "acknowledged, and not there");
    }

    /// <summary>The watch saw every put that was acknowledged, once, in the order of revisions.</summary>
    public void CheckWatch()
    {
        Assert.That(watched.Select(e => e.Revision), Is.Ordered.Ascending.And.Unique);
        Dictionary<string, long> seen = watched.ToDictionary(e => e.Key, e => e.Revision, StringComparer.Ordinal);
        Assert.That(acknowledged.Where(put => seen.GetValueOrDefault(put.Key) != put.Value).Select(put => put.Key), Is.Empty, "acknowledged, and not seen by the watch");
    }

    public void Dispose()
    {
        stop.Dispose();
        foreach (GrpcChannel channel in channels)
        {
            channel.Dispose();
        }
    }

    private async Task WriteAsync(int client)
    {
        var kv = new KV.KVClient(channels[client]);
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            string key = string.Create(CultureInfo.InvariantCulture, $"b/{client}/{i}");
            try
            {
                PutResponse put = await kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8("v") }, deadline: DateTime.UtcNow + Patience);
                acknowledged[key] = put.Header.Revision;
                answers.Enqueue((Stopwatch.GetTimestamp(), put.Header.MemberId));
                await ReadBackAsync(kv, key, put.Header.Revision);
            }
            catch (RpcException)
            {
                // Its outcome is not known, or nothing answers at the moment: the next key.
                await Task.Delay(50);
            }

            await Task.Delay(5);
        }
    }

    private async Task ReadBackAsync(KV.KVClient kv, string key, long revision)
    {
        RangeResponse read = await kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8(key) }, deadline: DateTime.UtcNow + Patience);
        if (read.Kvs.Count != 1 || read.Kvs[0].ModRevision != revision)
        {
            faults.Enqueue($"{key} was acknowledged at revision {revision}, and {read.Header.MemberId:x} at {read.Header.Revision} answers {read}");
        }
    }

    private async Task WatchAsync(GrpcChannel channel)
    {
        long next = 1;
        while (!SeesAll())
        {
            try
            {
                using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call = new Watch.WatchClient(channel).Watch(new Metadata { { "hasleader", "true" } });
                var query = new WatchCreateRequest { Key = ByteString.CopyFromUtf8("b/"), RangeEnd = ByteString.CopyFromUtf8("b0"), StartRevision = next };
                await call.RequestStream.WriteAsync(new WatchRequest { CreateRequest = query });
                while (!SeesAll())
                {
                    using var silence = new CancellationTokenSource(TimeSpan.FromSeconds(1));
                    if (!await call.ResponseStream.MoveNext(silence.Token))
                    {
                        break;
                    }

                    foreach (Event change in call.ResponseStream.Current.Events)
                    {
                        watched.Add((change.Kv.Key.ToStringUtf8(), change.Kv.ModRevision));
                        next = change.Kv.ModRevision + 1;
                    }
                }
            }
            catch (Exception exception) when (exception is RpcException or OperationCanceledException or IOException or HttpRequestException)
            {
                // Writing a request to a connection that the balancer closes is an error of HTTP, not of gRPC.
                await Task.Delay(100);
            }
        }
    }

    private bool SeesAll() => running is { IsCompleted: true } && (acknowledged.IsEmpty || (watched.Count > 0 && watched[^1].Revision >= acknowledged.Values.Max()));
}
