using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Bench.Cluster;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Streams;

internal sealed record IdleResult(string Peer, double BytesOnOneStream, double BytesOnOwnStreams, int Told);

/// <summary>What a watch costs that nothing happens to. Some are opened before, so that code that is compiled and pools that are filled once are not counted; a put to some of the keys shows that they are alive.</summary>
internal static class IdleWatches
{
    public const int Watches = 10_000, First = 1_000, Streams = 1_000, Probes = 100;
    private static readonly TimeSpan Settling = TimeSpan.FromSeconds(5);

    public static async Task<IdleResult> RunAsync(EtcdApiPeer peer, CancellationToken token)
    {
        using GrpcChannel channel = EtcdApiPeer.Open(peer.Endpoints[0]);
        var client = new Watch.WatchClient(channel);
        double one, own;
        int told = 0;
        using (AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call = client.Watch(cancellationToken: token))
        {
            await OpenAsync(call, 0, First, token);
            long before = await ResidentAsync(peer, token);
            await OpenAsync(call, First, Watches, token);
            one = (await ResidentAsync(peer, token) - before) / (double)Watches;
            var kv = new KV.KVClient(channel);
            for (int i = 0; i < Probes; i++)
            {
                await kv.PutAsync(new PutRequest { Key = Key(i * (Watches / Probes)), Value = ByteString.CopyFromUtf8("x") }, cancellationToken: token);
                told += await call.ResponseStream.MoveNext(token) ? call.ResponseStream.Current.Events.Count : 0;
            }
        }

        List<AsyncDuplexStreamingCall<WatchRequest, WatchResponse>> streams = [];
        await AddAsync(First / 10);
        long atFirst = await ResidentAsync(peer, token);
        await AddAsync(Streams);
        own = (await ResidentAsync(peer, token) - atFirst) / (double)Streams;
        streams.ForEach(s => s.Dispose());
        return new IdleResult(peer.Name, one, own, told);

        async Task AddAsync(int count)
        {
            for (int i = 0; i < count; i++)
            {
                streams.Add(client.Watch(cancellationToken: token));
                await OpenAsync(streams[^1], streams.Count, 1, token);
            }
        }
    }

    private static async Task OpenAsync(AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call, int first, int count, CancellationToken token)
    {
        Task reading = Task.Run(async () =>
        {
            for (int i = 0; i < count; i++)
            {
                if (!await call.ResponseStream.MoveNext(token) || !call.ResponseStream.Current.Created)
                {
                    throw new InvalidOperationException("a watch was not created");
                }
            }
        }, token);
        for (int i = 0; i < count; i++)
        {
            await call.RequestStream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = Key(first + i) } }, token);
        }

        await reading;
    }

    private static async Task<long> ResidentAsync(EtcdApiPeer peer, CancellationToken token)
    {
        await Task.Delay(Settling, token);
        return peer.Nodes[0].ResidentBytes();
    }

    private static ByteString Key(int number) => ByteString.CopyFromUtf8("idle/" + number.ToString("D6", CultureInfo.InvariantCulture));
}
