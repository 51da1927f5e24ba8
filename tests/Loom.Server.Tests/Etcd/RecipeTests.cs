using System.Diagnostics;
using System.Globalization;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Etcd.Gateway;
using Loom.Server.Tests.Hosting;
using Loom.Store;
using Loom.Store.Collections;
using Locks = Loom.Server.Etcd.Protos.Locks;

namespace Loom.Server.Tests.Etcd;

/// <summary>Locks and elections whose calls wait: the same story on the node and on a real etcd, told in the same words; and the node's own.</summary>
[TestFixture]
internal sealed class RecipeTests
{
    private static readonly CallOptions Patience = new(deadline: DateTime.UtcNow.AddMinutes(5));

    [Test]
    public async Task Calls_that_wait_have_the_same_story_as_on_etcd()
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        await using TestNode node = await TestNode.StartAsync();
        Assert.That(await StoryAsync(node.Channel), Is.EqualTo(await StoryAsync(etcd.Channel)));
    }

    [Test]
    public async Task Without_a_lease_one_of_sixty_seconds_is_granted_and_taken_back_when_the_call_is_cancelled()
    {
        await using TestNode node = await TestNode.StartAsync();
        Locks.Lock.LockClient locks = new(node.Channel);
        Locks.LockResponse held = await locks.LockAsync(new Locks.LockRequest { Name = B("a") }, Patience);
        long lease = (await node.Store.Leases.ListAsync()).Ids.Single();
        Assert.That(held.Key.ToStringUtf8(), Is.EqualTo($"a/{lease:x}"));
        Assert.That((await node.Store.Leases.TimeToLiveAsync(lease)).Granted, Is.EqualTo(TimeSpan.FromSeconds(60)));
        using var cancel = new CancellationTokenSource();
        Task waiting = locks.LockAsync(new Locks.LockRequest { Name = B("a") }, cancellationToken: cancel.Token).ResponseAsync;
        await UntilAsync(async () => (await node.Store.Leases.ListAsync()).Ids.Count == 2);
        await cancel.CancelAsync();
        Assert.That((await Assert.ThrowsAsync<RpcException>(() => waiting))!.StatusCode, Is.EqualTo(StatusCode.Cancelled));
        await UntilAsync(async () => (await node.Store.Leases.ListAsync()).Ids.Count == 1);
        Assert.That((await node.Kv.RangeAsync(Prefix("a/"))).Count, Is.EqualTo(1));
    }

    /// <summary>A client whose first call's answer was lost asks again: whichever of the two is given up, the other one's claim stays.</summary>
    [Test]
    public async Task Calls_that_share_a_claim_do_not_take_it_from_each_other([Values] bool firstGivesUp)
    {
        await using TestNode node = await TestNode.StartAsync();
        await GrantAsync(node.Channel, 1, 2);
        Locks.Lock.LockClient locks = new(node.Channel);
        await locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 1 }, Patience);
        using var cancel = new CancellationTokenSource();
        CancellationToken[] tokens = firstGivesUp ? [cancel.Token, CancellationToken.None] : [CancellationToken.None, cancel.Token];
        Task<Locks.LockResponse> first = locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 2 }, cancellationToken: tokens[0]).ResponseAsync;
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("a/"))).Count == 2);
        Task<Locks.LockResponse> second = locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 2 }, cancellationToken: tokens[1]).ResponseAsync;
        await Task.Delay(200);
        await cancel.CancelAsync();
        Assert.That((await Assert.ThrowsAsync<RpcException>(() => firstGivesUp ? first : second))!.StatusCode, Is.EqualTo(StatusCode.Cancelled));
        await Task.Delay(200);
        Assert.That((await node.Kv.RangeAsync(Prefix("a/"))).Count, Is.EqualTo(2), "the other one waits");
        await locks.UnlockAsync(new Locks.UnlockRequest { Key = B("a/1") }, Patience);
        Assert.That((await (firstGivesUp ? second : first)).Key, Is.EqualTo(B("a/2")));
        Assert.That((await node.Kv.RangeAsync(Prefix("a/"))).Count, Is.EqualTo(1), "and has it");
    }

    [Test]
    public async Task Waiting_calls_end_when_the_node_stops_and_a_deadline_takes_the_key_back()
    {
        await using TestNode node = await TestNode.StartAsync();
        Locks.Lock.LockClient locks = new(node.Channel);
        await GrantAsync(node.Channel, 1, 2, 3);
        await locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 1 }, Patience);
        RpcException late = (await Assert.ThrowsAsync<RpcException>(async () => await locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 2 }, deadline: DateTime.UtcNow.AddMilliseconds(300))))!;
        Assert.That(late.StatusCode, Is.EqualTo(StatusCode.DeadlineExceeded));
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("a/"))).Count == 1);
        Task waiting = locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 3 }, Patience).ResponseAsync;
        AsyncServerStreamingCall<LeaderResponse> observing = new Election.ElectionClient(node.Channel).Observe(new LeaderRequest { Name = B("e") }, Patience);
        Task<bool> observed = observing.ResponseStream.MoveNext(CancellationToken.None);
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("a/"))).Count == 2);
        await node.Server.StopAsync(CancellationToken.None);
        Assert.That((await Assert.ThrowsAsync<RpcException>(() => waiting))!.StatusCode, Is.EqualTo(StatusCode.Unavailable));
        Assert.That((await Assert.ThrowsAsync<RpcException>(() => observed))!.StatusCode, Is.EqualTo(StatusCode.Unavailable));
        Assert.That(node.Store.Status.Keys, Is.EqualTo(1), "the key was taken back");
    }

    /// <summary>etcd lets it wait on, and says so when its turn comes; a candidate even wins with a key that is gone.</summary>
    [Test]
    public async Task A_waiting_claim_whose_lease_ends_is_told_at_once()
    {
        await using TestNode node = await TestNode.StartAsync();
        await GrantAsync(node.Channel, 1, 2, 3);
        Locks.Lock.LockClient locks = new(node.Channel);
        Election.ElectionClient elections = new(node.Channel);
        await locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 1 }, Patience);
        Task locking = locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 2 }, Patience).ResponseAsync;
        Task campaigning = elections.CampaignAsync(new CampaignRequest { Name = B("a"), Lease = 3, Value = B("x") }, Patience).ResponseAsync;
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("a/"))).Count == 3);
        await node.Store.Leases.RevokeAsync(2);
        await node.Store.Leases.RevokeAsync(3);
        Assert.That((await Assert.ThrowsAsync<RpcException>(() => locking))!.Status, Is.EqualTo(new Status(StatusCode.Unknown, "mutex: session is expired")).Using<Status>(SameStatus));
        Assert.That((await Assert.ThrowsAsync<RpcException>(() => campaigning))!.Status, Is.EqualTo(new Status(StatusCode.Unknown, "election: not leader")).Using<Status>(SameStatus));
    }

    /// <summary>One line: etcdctl's recipes run in the client, v3lock in the node, LoomLock in the process that embeds the store.</summary>
    [Test]
    public async Task Etcdctl_the_service_and_the_library_exclude_each_other()
    {
        Interop.Require("etcdctl");
        await using TestNode node = await TestNode.StartAsync();
        LoomHold library = await new LoomLock(node.Store, "shared").AcquireAsync();
        using Process ctl = Start(node.Endpoint, "lock", "shared");
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("shared/"))).Count == 2);
        await GrantAsync(node.Channel, 5);
        Task<Locks.LockResponse> service = new Locks.Lock.LockClient(node.Channel).LockAsync(new Locks.LockRequest { Name = B("shared"), Lease = 5 }, Patience).ResponseAsync;
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("shared/"))).Count == 3);
        Task<LoomHold> again = new LoomLock(node.Store, "shared").AcquireAsync().AsTask();
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("shared/"))).Count == 4);
        Assert.That(service.IsCompleted, Is.False);
        await library.DisposeAsync();
        Assert.That(await ctl.StandardOutput.ReadLineAsync(), Does.StartWith("shared/"), "etcdctl says the key that it holds");
        Assert.That((service.IsCompleted, again.IsCompleted), Is.EqualTo((false, false)));
        Interrupt(ctl);
        Locks.LockResponse held = await service;
        Assert.That(again.IsCompleted, Is.False);
        await new Locks.Lock.LockClient(node.Channel).UnlockAsync(new Locks.UnlockRequest { Key = held.Key }, Patience);
        await (await again).DisposeAsync();
        Assert.That((await node.Kv.RangeAsync(Prefix("shared/"))).Count, Is.Zero);
    }

    [Test]
    public async Task Etcdctl_elect_leads_and_follows_beside_the_library()
    {
        Interop.Require("etcdctl");
        await using TestNode node = await TestNode.StartAsync();
        LoomElection election = new(node.Store, "boss");
        LoomHold library = await election.CampaignAsync("library"u8.ToArray());
        using Process follower = Start(node.Endpoint, "elect", "-l", "boss");
        Assert.That(await follower.StandardOutput.ReadLineAsync(), Does.StartWith("boss/"));
        Assert.That(await follower.StandardOutput.ReadLineAsync(), Is.EqualTo("library"));
        using Process candidate = Start(node.Endpoint, "elect", "boss", "ctl");
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("boss/"))).Count == 2);
        await library.DisposeAsync();
        Assert.That(await candidate.StandardOutput.ReadLineAsync(), Does.StartWith("boss/"));
        Assert.That(await follower.StandardOutput.ReadLineAsync(), Does.StartWith("boss/"));
        Assert.That(await follower.StandardOutput.ReadLineAsync(), Is.EqualTo("ctl"));
        Assert.That((await election.GetLeaderAsync())!.Leader.Value.ToArray(), Is.EqualTo("ctl"u8.ToArray()));
        Interrupt(candidate);
        follower.Kill();
    }

    [Test]
    public async Task The_gateway_answers_as_etcds()
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        await using TestNode node = await TestNode.StartAsync();
        GatewayRequest[] requests =
        [
            new("a lease", "/v3/lease/grant", """{"TTL":60,"ID":"77"}"""),
            new("lock", "/v3/lock/lock", """{"name":"YQ==","lease":"77"}"""),
            new("lock without such a lease", "/v3/lock/lock", """{"name":"Yg==","lease":78}"""),
            new("unlock", "/v3/lock/unlock", """{"key":"YS80ZA=="}"""),
            new("unlock nothing", "/v3/lock/unlock", "{}"),
            new("nobody leads", "/v3/election/leader", """{"name":"ZQ=="}"""),
            new("campaign", "/v3/election/campaign", """{"name":"ZQ==","lease":"77","value":"MQ=="}"""),
            new("who leads", "/v3/election/leader", """{"name":"ZQ=="}"""),
            new("observe", "/v3/election/observe", """{"name":"ZQ=="}""", Lines: 1),
            new("proclaim", "/v3/election/proclaim", """{"leader":{"name":"ZQ==","key":"ZS80ZA==","rev":"4","lease":"77"},"value":"Mg=="}"""),
            new("proclaim as another", "/v3/election/proclaim", """{"leader":{"name":"ZQ==","key":"ZS80ZA==","rev":"3","lease":"77"},"value":"Mw=="}"""),
            new("proclaim as nobody", "/v3/election/proclaim", """{"value":"Mw=="}"""),
            new("resign", "/v3/election/resign", """{"leader":{"name":"ZQ==","key":"ZS80ZA==","rev":"4","lease":"77"}}"""),
            new("resign as nobody", "/v3/election/resign", "{}"),
            new("who leads", "/v3/election/leader", """{"name":"ZQ=="}"""),
        ];
        TranscriptTests.Compare(await GatewayTranscript.RecordAsync(node.Endpoint, requests), await GatewayTranscript.RecordAsync(etcd.Endpoint, requests));
    }

    /// <summary>A client of the gateway that goes away gives up, as one of gRPC.</summary>
    [Test]
    public async Task A_request_to_the_gateway_that_is_abandoned_takes_its_key_back()
    {
        await using TestNode node = await TestNode.StartAsync();
        await GrantAsync(node.Channel, 1, 2);
        await new Locks.Lock.LockClient(node.Channel).LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 1 }, Patience);
        using HttpClient http = new() { BaseAddress = new Uri("http://" + node.Endpoint) };
        using var cancel = new CancellationTokenSource();
        using StringContent body = new("""{"name":"YQ==","lease":"2"}""");
        Task waiting = http.PostAsync(new Uri("/v3/lock/lock", UriKind.Relative), body, cancel.Token);
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("a/"))).Count == 2);
        await cancel.CancelAsync();
        Assert.That(async () => await waiting, Throws.InstanceOf<OperationCanceledException>());
        await UntilAsync(async () => (await node.Kv.RangeAsync(Prefix("a/"))).Count == 1);
    }

    [Test]
    public async Task With_authentication_the_keys_of_the_line_need_permission_as_on_etcd()
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        await using TestNode node = await TestNode.StartAsync(options: new LoomOptions { PasswordCost = 4 });
        Assert.That(await DenialsAsync(node.Channel), Is.EqualTo(await DenialsAsync(etcd.Channel)));

        // etcd says "election: observe closed early".
        Election.ElectionClient nobody = new(node.Channel);
        using AsyncServerStreamingCall<LeaderResponse> observing = nobody.Observe(new LeaderRequest { Name = B("z") }, Patience);
        RpcException denied = (await Assert.ThrowsAsync<RpcException>(async () => await observing.ResponseStream.MoveNext(CancellationToken.None)))!;
        Assert.That((denied.StatusCode, denied.Status.Detail), Is.EqualTo((StatusCode.Unknown, "etcdserver: user name is empty")));
    }

    /// <summary>Each call from nobody, with a wrong token, from a user without and from one with the permission.</summary>
    private static async Task<string> DenialsAsync(GrpcChannel channel)
    {
        CallInvoker plain = channel.CreateCallInvoker();
        await GrantAsync(channel, 1, 2);
        foreach (IMessage step in (IMessage[])
        [
            new PutRequest { Key = B("z/hand") },
            new AuthUserAddRequest { Name = "root", Password = "secret" },
            new AuthUserGrantRoleRequest { User = "root", Role = "root" },
            new AuthUserAddRequest { Name = "ann", Password = "secret" },
            new AuthRoleAddRequest { Name = "a" },
            new AuthRoleGrantPermissionRequest { Name = "a", Perm = new Permission { PermType = Permission.Types.Type.Readwrite, Key = B("a/"), RangeEnd = B("a0") } },
            new AuthUserGrantRoleRequest { User = "ann", Role = "a" },
            new AuthEnableRequest(),
        ])
        {
            await Transcript.CallAsync(plain, step);
        }

        string ann = ((AuthenticateResponse)await Transcript.CallAsync(plain, new AuthenticateRequest { Name = "ann", Password = "secret" })).Token;
        StringBuilder story = new();
        foreach (string name in (string[])["z", "a"])
        {
            LeaderKey leader = new() { Name = B(name), Key = B(name + "/2"), Rev = 99, Lease = 2 };
            IMessage[] calls =
            [
                new Locks.LockRequest { Name = B(name), Lease = 1 },
                new Locks.UnlockRequest { Key = B(name + "/1") },
                new CampaignRequest { Name = B(name), Lease = 2, Value = B("x") },
                new LeaderRequest { Name = B(name) },
                new ProclaimRequest { Leader = leader, Value = B("y") },
                new ResignRequest { Leader = leader },
            ];
            foreach (IMessage call in calls)
            {
                foreach ((string who, string? token) in ((string, string?)[])[("nobody", null), ("wrong", "abcdefghijklmnop.7"), ("ann", ann)])
                {
                    CallInvoker invoker = token is null ? plain : plain.Intercept(metadata => [.. metadata, new Metadata.Entry("token", token)]);
                    story.Append(CultureInfo.InvariantCulture, $"{who} {name} {call.Descriptor.Name}: {await OutcomeAsync(invoker, call)}\n");
                }
            }
        }

        return story.ToString();
    }

    private static async Task<string> OutcomeAsync(CallInvoker invoker, IMessage call)
    {
        try
        {
            await Transcript.CallAsync(invoker, call);
            return "served";
        }
        catch (RpcException exception)
        {
            return $"{exception.StatusCode} {exception.Status.Detail}";
        }
    }

    /// <summary>What a client sees, as text. Revisions are compared too: every call that writes is awaited before the next.</summary>
    private static async Task<string> StoryAsync(GrpcChannel channel)
    {
        StringBuilder story = new();
        KV.KVClient kv = new(channel);
        Locks.Lock.LockClient locks = new(channel);
        Election.ElectionClient elections = new(channel);
        await GrantAsync(channel, 1, 2, 3, 4);

        // Three in a line: the one in the middle gives up, and takes its key back.
        Say("first", (await locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 1 }, Patience)).Key);
        using var cancel = new CancellationTokenSource();
        Task second = locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 2 }, cancellationToken: cancel.Token).ResponseAsync;
        await KeysAsync("a/", 2);
        Task<Locks.LockResponse> third = locks.LockAsync(new Locks.LockRequest { Name = B("a"), Lease = 3 }, Patience).ResponseAsync;
        await KeysAsync("a/", 3);
        await cancel.CancelAsync();
        Say("second", (await Assert.ThrowsAsync<RpcException>(() => second))!.StatusCode);
        await KeysAsync("a/", 2);
        await Task.Delay(100);
        Say("third waits", !third.IsCompleted);
        Say("unlocked", (await locks.UnlockAsync(new Locks.UnlockRequest { Key = B("a/1") }, Patience)).Header.Revision);
        Locks.LockResponse won = await third;
        Say("third", $"{won.Key.ToStringUtf8()} at {won.Header.Revision}");
        await locks.UnlockAsync(new Locks.UnlockRequest { Key = won.Key }, Patience);

        // An observer from before the first leader.
        using AsyncServerStreamingCall<LeaderResponse> observing = elections.Observe(new LeaderRequest { Name = B("e") }, Patience);
        Task<bool> next = observing.ResponseStream.MoveNext(CancellationToken.None);
        await Task.Delay(200);
        CampaignResponse leads = await elections.CampaignAsync(new CampaignRequest { Name = B("e"), Lease = 1, Value = B("one") }, Patience);
        Say("leads", leads.Leader);
        await ObservedAsync();
        Task<CampaignResponse> waits = elections.CampaignAsync(new CampaignRequest { Name = B("e"), Lease = 2, Value = B("two") }, Patience).ResponseAsync;
        await KeysAsync("e/", 2);
        await elections.ProclaimAsync(new ProclaimRequest { Leader = leads.Leader, Value = B("one again") }, Patience);
        await ObservedAsync();
        Say("waits", !waits.IsCompleted);
        await elections.ResignAsync(new ResignRequest { Leader = leads.Leader }, Patience);
        CampaignResponse leadsNext = await waits;
        Say("leads next", $"{leadsNext.Leader} at {leadsNext.Header.Revision}");
        await ObservedAsync();

        // A leader whose lease ends; the next one is there already.
        Task<CampaignResponse> last = elections.CampaignAsync(new CampaignRequest { Name = B("e"), Lease = 4, Value = B("three") }, Patience).ResponseAsync;
        await KeysAsync("e/", 2);
        await new Lease.LeaseClient(channel).LeaseRevokeAsync(new LeaseRevokeRequest { ID = 2 });
        Say("last", (await last).Leader);
        await ObservedAsync();
        return story.ToString();

        void Say(string what, object value) => story.Append(CultureInfo.InvariantCulture, $"{what}: {value}\n");

        async Task ObservedAsync()
        {
            await next.WaitAsync(TimeSpan.FromSeconds(20));
            LeaderResponse seen = observing.ResponseStream.Current;
            Say("observed", $"{seen.Kv} at {seen.Header.Revision}");
            next = observing.ResponseStream.MoveNext(CancellationToken.None);
        }

        Task KeysAsync(string prefix, long count) => UntilAsync(async () => (await kv.RangeAsync(Prefix(prefix))).Count == count);
    }

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    private static RangeRequest Prefix(string prefix) => new() { Key = B(prefix), RangeEnd = B(prefix[..^1] + "0") };

    private static async Task GrantAsync(GrpcChannel channel, params long[] ids)
    {
        foreach (long id in ids)
        {
            await new Lease.LeaseClient(channel).LeaseGrantAsync(new LeaseGrantRequest { ID = id, TTL = 100 });
        }
    }

    private static bool SameStatus(Status left, Status right) => left.StatusCode == right.StatusCode && left.Detail == right.Detail;

    private static Process Start(string endpoint, params string[] arguments)
    {
        var start = new ProcessStartInfo("etcdctl", ["--endpoints", endpoint, .. arguments]) { RedirectStandardOutput = true };
        start.Environment["ETCDCTL_API"] = "3";
        return Process.Start(start)!;
    }

    /// <summary>Ctrl-C: etcdctl gives back what it holds.</summary>
    private static void Interrupt(Process process)
    {
        using Process kill = Process.Start("kill", ["-INT", process.Id.ToString(CultureInfo.InvariantCulture)])!;
        process.WaitForExit(10_000);
    }

    private static async Task UntilAsync(Func<Task<bool>> condition)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(20);
        while (!await condition())
        {
            Assert.That(DateTime.UtcNow, Is.LessThan(until), "it does not come to that");
            await Task.Delay(10);
        }
    }
}
