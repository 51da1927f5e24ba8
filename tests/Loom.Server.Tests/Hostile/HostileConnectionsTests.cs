using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Hostile;

/// <summary>Clients that open and go, say half of something, say nothing, or do not read: they delay nobody, and nothing of them stays.</summary>
[TestFixture]
internal sealed class HostileConnectionsTests
{
    private const int Many = 2_000;

    [Test]
    public async Task Streams_that_are_opened_and_abandoned_leave_nothing()
    {
        await using TestNode node = await TestNode.StartAsync();
        var abandoned = new Watch.WatchClient(node.Channel);
        var leases = new Lease.LeaseClient(node.Channel);
        for (int i = 0; i < Many; i += 100)
        {
            await Task.WhenAll(Enumerable.Range(i, 100).Select(async n =>
            {
                using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> watch = abandoned.Watch();
                using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> renewal = leases.LeaseKeepAlive();
                await watch.RequestStream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = ByteString.CopyFromUtf8("k" + n) } });
                await renewal.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = n });

                // Half of them go before they are answered.
                if (n % 2 == 0)
                {
                    await watch.ResponseStream.MoveNext(CancellationToken.None);
                }
            }));
        }

        await UntilAsync(() => node.Store.Status.Watches == 0);
        await ServesAsync(node);
    }

    [Test]
    public async Task Half_open_connections_delay_nobody()
    {
        await using TestNode node = await TestNode.StartAsync();
        string[] beginnings = ["", "P", "PRI * HTTP/2.0\r\n", "POST /v3/kv/range HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n{", "GET /health HTTP/1.1\r\nX-Slow: ", "\u0016\u0003\u0001", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0"];
        List<TcpClient> clients = [];
        for (int i = 0; i < 700; i++)
        {
            var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", int.Parse(node.Endpoint.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture));
            await client.GetStream().WriteAsync(Encoding.Latin1.GetBytes(beginnings[i % beginnings.Length]));
            clients.Add(client);
        }

        await ServesAsync(node);
        using (var fresh = GrpcChannel.ForAddress("http://" + node.Endpoint))
        {
            await new KV.KVClient(fresh).PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("a") }, deadline: DateTime.UtcNow.AddSeconds(5));
        }

        clients.ForEach(client => client.Dispose());
        await ServesAsync(node);
    }

    /// <summary>A watcher that never reads: its events wait in bounded buffers and in the history, and writers do not notice.</summary>
    [Test]
    public async Task A_client_that_does_not_read_holds_up_nobody()
    {
        await using TestNode node = await TestNode.StartAsync();
        using GrpcChannel own = GrpcChannel.ForAddress("http://" + node.Endpoint);
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> deaf = new Watch.WatchClient(own).Watch();
        await deaf.RequestStream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = ByteString.CopyFromUtf8("k") } });
        await deaf.ResponseStream.MoveNext(CancellationToken.None);
        ByteString value = ByteString.CopyFrom(new byte[100_000]);
        long revision = 0;
        for (int i = 0; i < 300; i++)
        {
            revision = (await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = value }, deadline: DateTime.UtcNow.AddSeconds(5))).Header.Revision;
        }

        // When it reads at last, nothing is missing.
        long last = 1;
        while (last < revision && await deaf.ResponseStream.MoveNext(CancellationToken.None))
        {
            foreach (Event change in deaf.ResponseStream.Current.Events)
            {
                Assert.That(change.Kv.ModRevision, Is.EqualTo(++last));
            }
        }
    }

    [Test]
    public async Task What_is_too_large_is_refused_before_it_is_held()
    {
        await using TestNode node = await TestNode.StartAsync();
        ByteString large = ByteString.CopyFrom(new byte[3 << 20]);
        RpcException refused = (await Assert.ThrowsAsync<RpcException>(async () => await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("a"), Value = large })))!;
        Assert.That(refused.StatusCode, Is.EqualTo(StatusCode.ResourceExhausted));
        await ServesAsync(node);
    }

    private static async Task ServesAsync(TestNode node) =>
        await node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") }, deadline: DateTime.UtcNow.AddSeconds(5));

    private static async Task UntilAsync(Func<bool> condition)
    {
        for (int i = 0; i < 200 && !condition(); i++)
        {
            await Task.Delay(50);
        }

        Assert.That(condition());
    }
}
