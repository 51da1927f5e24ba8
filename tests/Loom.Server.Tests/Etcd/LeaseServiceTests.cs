using Google.Protobuf;
using Grpc.Core;
using Loom.Raft;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>What the recorded transcript cannot show of leases: streams, time, and a store that fails.</summary>
[TestFixture]
internal sealed class LeaseServiceTests
{
    private const long Second = 1_000_000_000;

    [Test]
    public async Task An_id_is_chosen_where_none_is_given()
    {
        await using TestNode node = await TestNode.StartAsync();
        var leases = new Lease.LeaseClient(node.Channel);
        LeaseGrantResponse first = await leases.LeaseGrantAsync(new LeaseGrantRequest { TTL = 60 });
        LeaseGrantResponse second = await leases.LeaseGrantAsync(new LeaseGrantRequest { TTL = 60 });
        Assert.That((first.ID > 0, second.ID > 0, first.ID != second.ID, first.TTL), Is.EqualTo((true, true, true, 60)));
    }

    /// <summary>Go's client keeps one stream for all its leases, and sends without waiting for answers.</summary>
    [Test]
    public async Task Many_renewals_on_one_stream_are_answered_in_their_order()
    {
        await using TestNode node = await TestNode.StartAsync();
        var leases = new Lease.LeaseClient(node.Channel);
        for (int id = 1; id <= 3; id++)
        {
            await leases.LeaseGrantAsync(new LeaseGrantRequest { ID = id, TTL = id * 10 });
        }

        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = leases.LeaseKeepAlive();
        const int Count = 3000;
        Task sending = Task.Run(async () =>
        {
            for (int i = 0; i < Count; i++)
            {
                await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = i % 4 });
            }

            await call.RequestStream.CompleteAsync();
        });
        int received = 0;
        await foreach (LeaseKeepAliveResponse answer in call.ResponseStream.ReadAllAsync())
        {
            Assert.That((answer.ID, answer.TTL), Is.EqualTo((received % 4, received % 4 * 10)), "lease 0 is none");
            received++;
        }

        await sending;
        Assert.That(received, Is.EqualTo(Count), "a half-close ends the stream, but not before everything is answered");
    }

    /// <summary>Clients keep their stream for as long as they live: a node that stops must not wait for them, and says that it stops.</summary>
    [Test]
    [Repeat(5)]
    public async Task A_node_that_stops_ends_a_stream_of_renewals()
    {
        await using TestNode node = await TestNode.StartAsync();
        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = new Lease.LeaseClient(node.Channel).LeaseKeepAlive();
        await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = 1 });
        Assert.That(await call.ResponseStream.MoveNext(CancellationToken.None));
        Task<bool> next = call.ResponseStream.MoveNext(CancellationToken.None);
        long began = Environment.TickCount64;
        await node.Server.StopAsync(CancellationToken.None);
        Assert.That(Environment.TickCount64 - began, Is.LessThan(1200));
        RpcException? ended = await Assert.ThrowsAsync<RpcException>(async () => await next);
        Assert.That(ended!.StatusCode, Is.EqualTo(StatusCode.Unavailable));
    }

    /// <summary>A lost quorum must not look like a lease that lives, nor like one that is gone.</summary>
    [Test]
    public async Task A_renewal_that_fails_ends_the_stream_with_its_error()
    {
        await using TestNode node = await TestNode.StartAsync();
        var leases = new Lease.LeaseClient(node.Channel);
        await leases.LeaseGrantAsync(new LeaseGrantRequest { ID = 1, TTL = 60 });
        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = leases.LeaseKeepAlive();
        await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = 1 });
        Assert.That(await call.ResponseStream.MoveNext(CancellationToken.None), Is.True);
        node.Node.Fault = write => write ? new RaftException(RaftErrorCode.NoQuorum, "no quorum") : null;
        await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = 1 });
        RpcException error = (await Assert.ThrowsAsync<RpcException>(async () => await call.ResponseStream.MoveNext(CancellationToken.None)))!;
        Assert.That((error.StatusCode, error.Status.Detail), Is.EqualTo((StatusCode.Unavailable, "etcdserver: no leader")));
        node.Node.Fault = null;
        Assert.That((await leases.LeaseTimeToLiveAsync(new LeaseTimeToLiveRequest { ID = 1 })).TTL, Is.InRange(58, 60));
    }

    [Test]
    public async Task Streams_that_are_abandoned_leave_nothing_behind()
    {
        await using TestNode node = await TestNode.StartAsync();
        var leases = new Lease.LeaseClient(node.Channel);
        await leases.LeaseGrantAsync(new LeaseGrantRequest { ID = 1, TTL = 60 });
        for (int i = 0; i < 300; i++)
        {
            AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = leases.LeaseKeepAlive();
            await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = 1 });
            if (i % 2 == 0)
            {
                await call.ResponseStream.MoveNext(CancellationToken.None);
            }

            call.Dispose();
        }

        Assert.That((await leases.LeaseLeasesAsync(new LeaseLeasesRequest())).Leases, Has.Count.EqualTo(1));
    }

    [Test]
    public async Task A_lease_ends_by_time_and_takes_its_keys()
    {
        await using TestNode node = await TestNode.StartAsync();
        var leases = new Lease.LeaseClient(node.Channel);
        await leases.LeaseGrantAsync(new LeaseGrantRequest { ID = 1, TTL = 60 });
        await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("a"), Lease = 1 });
        node.Node.ClusterTime += 59 * Second;
        await Task.Delay(1000);
        Assert.That((await leases.LeaseTimeToLiveAsync(new LeaseTimeToLiveRequest { ID = 1 })).TTL, Is.Zero.Or.EqualTo(1));
        Assert.That((await leases.LeaseTimeToLiveAsync(new LeaseTimeToLiveRequest { ID = 1 })).GrantedTTL, Is.EqualTo(60));
        node.Node.ClusterTime += 2 * Second;
        DateTime until = DateTime.UtcNow.AddSeconds(20);
        while ((await leases.LeaseTimeToLiveAsync(new LeaseTimeToLiveRequest { ID = 1 })).TTL != -1 && DateTime.UtcNow < until)
        {
            await Task.Delay(50);
        }

        Assert.That((await leases.LeaseLeasesAsync(new LeaseLeasesRequest())).Leases, Is.Empty);
        Assert.That((await node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") })).Count, Is.Zero);
        Assert.That((await node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") })).Header.Revision, Is.EqualTo(3));
    }
}
