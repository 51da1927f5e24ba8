using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Raft.Consensus;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Watch = Loom.Server.Etcd.Protos.Watch;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Goal: <c>hasleader: true</c> means what it means to etcd. A call is refused while no leader is known; a stream lives through an election, and is cut when there has been none for three election
/// timeouts: its watches would be silent, its leases would run out. Streams that did not ask go on.
/// </summary>
[TestFixture]
internal sealed class HasLeaderTests
{
    private static readonly Metadata Asking = new() { { "hasleader", "true" } };

    [Test]
    public async Task Streams_live_through_an_election_and_are_cut_when_there_is_no_leader_for_long()
    {
        await using TestNode node = await TestNode.StartAsync();
        LeaseGrantResponse lease = await new Lease.LeaseClient(node.Channel).LeaseGrantAsync(new LeaseGrantRequest { TTL = 60 });
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> watch = await WatchAsync(node.Channel, Asking);
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> patient = await WatchAsync(node.Channel, null);
        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> alive = new Lease.LeaseClient(node.Channel).LeaseKeepAlive(Asking);
        using AsyncServerStreamingCall<LeaderResponse> observed = new Election.ElectionClient(node.Channel).Observe(new LeaderRequest { Name = Key("e") }, Asking);
        await alive.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = lease.ID });
        Assert.That(await alive.ResponseStream.MoveNext(default), Is.True);

        MemberId leader = node.Node.Leader;
        node.Node.Leader = MemberId.None;
        await Task.Delay(700);
        await node.Kv.PutAsync(new PutRequest { Key = Key("a") });
        Assert.That(await watch.ResponseStream.MoveNext(default), Is.True, "an election is no reason");
        await alive.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = lease.ID });
        Assert.That(await alive.ResponseStream.MoveNext(default), Is.True);
        Assert.That(await FaultAsync(async () => await node.Kv.RangeAsync(new RangeRequest { Key = Key("a") }, Asking)), Is.EqualTo(NoLeader), "a call waits for nobody");
        Assert.That(await FaultAsync(async () => (await WatchAsync(node.Channel, Asking)).Dispose()), Is.EqualTo(NoLeader), "nor does the beginning of a stream");

        node.Node.NoQuorum = true;
        Task<bool>[] asking = [watch.ResponseStream.MoveNext(default), alive.ResponseStream.MoveNext(default), observed.ResponseStream.MoveNext(default)];
        foreach (Task<bool> stream in asking)
        {
            Assert.That(await FaultAsync(() => stream.WaitAsync(TimeSpan.FromSeconds(5))), Is.EqualTo(NoLeader));
        }

        await node.Kv.PutAsync(new PutRequest { Key = Key("a") });
        Assert.That(await patient.ResponseStream.MoveNext(default), Is.True, "who did not ask goes on");

        node.Node.Leader = leader;
        node.Node.NoQuorum = false;
        await Task.Delay(50);
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> again = await WatchAsync(node.Channel, Asking);
        await Task.Delay(600);
        await node.Kv.PutAsync(new PutRequest { Key = Key("a") });
        Assert.That(await again.ResponseStream.MoveNext(default), Is.True);
    }

    /// <summary>etcd refuses before it looks which call it is: a member's own state, too.</summary>
    [Test]
    public async Task No_call_that_asks_is_answered_without_a_leader()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Node.Leader = MemberId.None;
        var maintenance = new Maintenance.MaintenanceClient(node.Channel);
        Assert.That(await FaultAsync(async () => await maintenance.StatusAsync(new StatusRequest(), Asking)), Is.EqualTo(NoLeader));
        Assert.That(await FaultAsync(async () => await maintenance.HashKVAsync(new HashKVRequest(), Asking)), Is.EqualTo(NoLeader));
        Assert.That(await FaultAsync(async () => await new Auth.AuthClient(node.Channel).AuthStatusAsync(new AuthStatusRequest(), Asking)), Is.EqualTo(NoLeader));
        Assert.That(await FaultAsync(async () => await new Cluster.ClusterClient(node.Channel).MemberListAsync(new MemberListRequest(), Asking)), Is.EqualTo(NoLeader));
        Assert.That(await FaultAsync(async () => await new Election.ElectionClient(node.Channel).CampaignAsync(new CampaignRequest { Name = Key("e") }, Asking)), Is.EqualTo(NoLeader));
        using AsyncServerStreamingCall<SnapshotResponse> snapshot = maintenance.Snapshot(new SnapshotRequest(), Asking);
        Assert.That(await FaultAsync(async () => await snapshot.ResponseStream.MoveNext(default)), Is.EqualTo(NoLeader));
        Assert.That(await FaultAsync(async () => await maintenance.StatusAsync(new StatusRequest())), Is.Empty, "who does not ask is answered");
    }

    /// <summary>etcd looks at the value.</summary>
    [Test]
    public async Task Another_value_asks_for_nothing()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Node.Leader = MemberId.None;
        Assert.That((await node.Kv.RangeAsync(new RangeRequest { Key = Key("a"), Serializable = true }, new Metadata { { "hasleader", "false" } })).Count, Is.Zero);
    }

    /// <summary>Three real members: the leader stops, which cuts nobody; then one more does, and the last one tells its clients three election timeouts later.</summary>
    [Test]
    public async Task The_last_member_of_three_cuts_its_streams()
    {
        const double ElectionSeconds = 0.5;
        await using var cluster = new ServedCluster();
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            cluster.Start(i, "--heartbeat-interval=50", $"--election-timeout={ElectionSeconds * 1000}");
        }

        await cluster.ReadyAsync();
        GrpcChannel[] channels = [.. Enumerable.Range(0, ServedCluster.Count).Select(i => GrpcChannel.ForAddress(cluster.ClientUrl(i)))];
        StatusResponse status = await new Maintenance.MaintenanceClient(channels[0]).StatusAsync(new StatusRequest());
        int leader = -1;
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            leader = (await new Maintenance.MaintenanceClient(channels[i]).StatusAsync(new StatusRequest())).Header.MemberId == status.Leader ? i : leader;
        }

        int last = (leader + 1) % ServedCluster.Count;
        int second = (leader + 2) % ServedCluster.Count;
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> watch = await WatchAsync(channels[last], Asking);
        Task<bool> next = watch.ResponseStream.MoveNext(default);
        await cluster.StopAsync(leader);
        await ServedCluster.UntilAsync(
            async () => await FaultAsync(async () => await new KV.KVClient(channels[last]).PutAsync(new PutRequest { Key = Key("a") })), fault => fault.Length == 0, () => cluster.Errors);
        Assert.That(await next, Is.True, "the stream went through the change of leader");
        Task<bool> cut = watch.ResponseStream.MoveNext(default);
        await cluster.StopAsync(second);
        var time = Stopwatch.StartNew();
        Assert.That(await FaultAsync(() => cut.WaitAsync(TimeSpan.FromSeconds(10))), Is.EqualTo(NoLeader));
        Assert.That(time.Elapsed.TotalSeconds, Is.LessThan((3 * ElectionSeconds) + 2));
        foreach (GrpcChannel channel in channels)
        {
            channel.Dispose();
        }
    }

    private const string NoLeader = "Unavailable etcdserver: no leader";

    private static async Task<AsyncDuplexStreamingCall<WatchRequest, WatchResponse>> WatchAsync(GrpcChannel channel, Metadata? headers)
    {
        AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call = new Watch.WatchClient(channel).Watch(headers);
        await call.RequestStream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = Key("a") } });
        Assert.That(await call.ResponseStream.MoveNext(default), Is.True);
        Assert.That(call.ResponseStream.Current.Created, Is.True);
        return call;
    }

    /// <summary>Empty: none.</summary>
    private static async Task<string> FaultAsync(Func<Task> call)
    {
        try
        {
            await call();
            return "";
        }
        catch (RpcException exception)
        {
            return $"{exception.StatusCode} {exception.Status.Detail}";
        }
    }

    private static ByteString Key(string text) => ByteString.CopyFromUtf8(text);
}
