using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Store;
using Locks = Loom.Server.Etcd.Protos.Locks;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Goal: no call of etcd's API is served to who may not make it. Method: each of them from a caller without a token, with a wrong one, from a user who may do nothing of it, and from root; and that no call is forgotten.
/// </summary>
[TestFixture]
internal sealed class DenialTests
{
    private const string Password = "secret";
    private static readonly Status Nobody = new(StatusCode.InvalidArgument, "etcdserver: user name is empty");
    private static readonly Status Wrong = new(StatusCode.Unauthenticated, "etcdserver: invalid auth token");
    private static readonly Status Denied = new(StatusCode.PermissionDenied, "etcdserver: permission denied");

    // Some of Maintenance say so in the auth store's own words.
    private static readonly Status[] OwnWords =
        [new(StatusCode.Unknown, "auth: user name is empty"), new(StatusCode.Unknown, "auth: invalid auth token"), new(StatusCode.Unknown, "auth: permission denied")];

    private static readonly string[] Unimplemented = ["MemberAdd", "MemberRemove", "MemberUpdate", "MemberPromote", "Downgrade"];

    // A stream of what Leader answers, which is in the table.
    private static readonly string[] Streams = ["Observe"];

    private TestNode node = null!;
    private string ann = "", root = "";

    internal enum Needs
    {
        Permission,
        PermissionInText,
        Root,
        RootInOwnWords,
        AnyUser,
        Nothing,
    }

    /// <summary>The lease 21 and the key z are not ann's; a/ is. What disables comes last.</summary>
    private static IEnumerable<Row> Rows() =>
    [
        new("Range", new RangeRequest { Key = B("z") }, Needs.Permission),
        new("Range", new RangeRequest { Key = B("z"), Serializable = true }, Needs.Permission, "serializable"),
        new("Range", new RangeRequest { Key = B("a/"), RangeEnd = B("\0") }, Needs.Permission, "further than the permission"),
        new("Put", new PutRequest { Key = B("z") }, Needs.Permission),
        new("Put", new PutRequest { Key = B("w"), PrevKv = true }, Needs.Permission, "the previous pair needs reading"),
        new("Put", new PutRequest { Key = B("a/1"), Lease = 21 }, Needs.Permission, "a lease that holds another's key"),
        new("DeleteRange", new DeleteRangeRequest { Key = B("z") }, Needs.Permission),
        new("DeleteRange", new DeleteRangeRequest { Key = B("w"), PrevKv = true }, Needs.Permission, "the previous pair needs reading"),
        new("Txn", new TxnRequest { Compare = { new Compare { Key = B("z") } }, Success = { Put("a/1") } }, Needs.Permission, "compare"),
        new("Txn", new TxnRequest { Success = { Put("z") } }, Needs.Permission, "then put"),
        new("Txn", new TxnRequest { Success = { Put("a/1") }, Failure = { Put("z") } }, Needs.Permission, "else put"),
        new("Txn", new TxnRequest { Success = { Get("z") } }, Needs.Permission, "then range"),
        new("Txn", new TxnRequest { Success = { Put("a/1") }, Failure = { Get("z") } }, Needs.Permission, "else range"),
        new("Txn", new TxnRequest { Success = { Delete("z") } }, Needs.Permission, "then delete"),
        new("Txn", new TxnRequest { Success = { Put("a/1") }, Failure = { Delete("z") } }, Needs.Permission, "else delete"),
        new("Txn", new TxnRequest { Success = { Get("a/1") }, Failure = { Get("z") } }, Needs.Permission, "read-only, else"),
        new("Txn", new TxnRequest { Success = { new RequestOp { RequestTxn = new TxnRequest { Failure = { Put("z") } } } } }, Needs.Permission, "nested"),
        new("Txn", new TxnRequest { Success = { Put("a/1") }, Failure = { new RequestOp { RequestTxn = new TxnRequest { Compare = { new Compare { Key = B("z") } } } } } }, Needs.Permission, "nested compare"),
        new("Txn", new TxnRequest { Success = { new RequestOp { RequestPut = new PutRequest { Key = B("w"), PrevKv = true } } } }, Needs.Permission, "then put, previous pair"),
        new("Txn", new TxnRequest { Success = { Put("a/1") }, Failure = { new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = B("w"), PrevKv = true } } } }, Needs.Permission, "else delete, previous pair"),
        new("Txn", new TxnRequest { Success = { Put("a/1") }, Failure = { new RequestOp { RequestPut = new PutRequest { Key = B("a/1"), Lease = 21 } } } }, Needs.Permission, "else put with a lease"),
        new("Watch", new WatchRequest { CreateRequest = new WatchCreateRequest { Key = B("z") } }, Needs.Permission),
        new("Watch", new WatchRequest { CreateRequest = new WatchCreateRequest { Key = B("a/"), RangeEnd = B("\0") } }, Needs.Permission, "open-ended"),
        new("Lock", new Locks.LockRequest { Name = B("z"), Lease = 22 }, Needs.PermissionInText),
        new("Unlock", new Locks.UnlockRequest { Key = B("z") }, Needs.PermissionInText),
        new("Campaign", new CampaignRequest { Name = B("z"), Lease = 22 }, Needs.PermissionInText),
        new("Proclaim", new ProclaimRequest { Leader = new LeaderKey { Name = B("z"), Key = B("z/1"), Rev = 2, Lease = 22 } }, Needs.PermissionInText),
        new("Leader", new LeaderRequest { Name = B("z") }, Needs.PermissionInText),
        new("Resign", new ResignRequest { Leader = new LeaderKey { Name = B("z"), Key = B("z/1"), Rev = 2 } }, Needs.PermissionInText),
        new("LeaseGrant", new LeaseGrantRequest { TTL = 60 }, Needs.AnyUser),
        new("LeaseKeepAlive", new LeaseKeepAliveRequest { ID = 21 }, Needs.Permission),
        new("LeaseTimeToLive", new LeaseTimeToLiveRequest { ID = 21 }, Needs.AnyUser),
        new("LeaseTimeToLive", new LeaseTimeToLiveRequest { ID = 21, Keys = true }, Needs.Permission, "with its keys"),
        new("LeaseLeases", new LeaseLeasesRequest(), Needs.Permission),
        new("LeaseRevoke", new LeaseRevokeRequest { ID = 21 }, Needs.Permission),
        new("MemberList", new MemberListRequest(), Needs.Nothing),
        new("MemberList", new MemberListRequest { Linearizable = true }, Needs.Nothing, "linearizable"),
        new("Alarm", new AlarmRequest(), Needs.AnyUser),
        new("Alarm", new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Activate, MemberID = 1, Alarm = AlarmType.Nospace }, Needs.Root, "activate"),
        new("Alarm", new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Deactivate, MemberID = 1, Alarm = AlarmType.Nospace }, Needs.Root, "deactivate"),
        new("Status", new StatusRequest(), Needs.AnyUser),
        new("Compact", new CompactionRequest { Revision = 2 }, Needs.Root),
        new("Defragment", new DefragmentRequest(), Needs.RootInOwnWords),
        new("Hash", new HashRequest(), Needs.RootInOwnWords),
        new("HashKV", new HashKVRequest(), Needs.RootInOwnWords),
        new("Snapshot", new SnapshotRequest(), Needs.RootInOwnWords),
        new("MoveLeader", new MoveLeaderRequest { TargetID = 1 }, Needs.Root),
        new("Authenticate", new AuthenticateRequest { Name = "ann", Password = Password }, Needs.Nothing),
        new("AuthStatus", new AuthStatusRequest(), Needs.Root),
        new("AuthEnable", new AuthEnableRequest(), Needs.Root),
        new("UserAdd", new AuthUserAddRequest { Name = "eve", Password = "x" }, Needs.Root),
        new("UserGet", new AuthUserGetRequest { Name = "root" }, Needs.Root),
        new("UserList", new AuthUserListRequest(), Needs.Root),
        new("UserChangePassword", new AuthUserChangePasswordRequest { Name = "bob", Password = "x" }, Needs.Root),
        new("UserGrantRole", new AuthUserGrantRoleRequest { User = "bob", Role = "a" }, Needs.Root),
        new("UserRevokeRole", new AuthUserRevokeRoleRequest { Name = "bob", Role = "a" }, Needs.Root),
        new("UserDelete", new AuthUserDeleteRequest { Name = "bob" }, Needs.Root),
        new("RoleAdd", new AuthRoleAddRequest { Name = "b" }, Needs.Root),
        new("RoleGet", new AuthRoleGetRequest { Role = "other" }, Needs.Root),
        new("RoleList", new AuthRoleListRequest(), Needs.Root),
        new("RoleGrantPermission", new AuthRoleGrantPermissionRequest { Name = "other", Perm = new Permission { Key = B("z") } }, Needs.Root),
        new("RoleRevokePermission", new AuthRoleRevokePermissionRequest { Role = "other", Key = B("z") }, Needs.Root),
        new("RoleDelete", new AuthRoleDeleteRequest { Role = "other" }, Needs.Root),
        new("AuthDisable", new AuthDisableRequest(), Needs.Root),
    ];

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        node = await TestNode.StartAsync(options: new LoomOptions { PasswordCost = 4 });
        LoomAuth auth = node.Store.Auth;
        await auth.AddUserAsync("root", Password);
        await auth.GrantRoleAsync("root", "root");
        await auth.AddUserAsync("ann", Password);
        await auth.AddUserAsync("bob", Password);
        await auth.AddRoleAsync("a");
        await auth.AddRoleAsync("other");
        await auth.GrantPermissionAsync("a", new(Store.Model.PermissionKind.ReadWrite, Store.Model.KeyRange.Prefix("a/")));
        await auth.GrantPermissionAsync("a", new(Store.Model.PermissionKind.Write, Store.Model.KeyRange.Single("w"u8.ToArray())));
        await auth.GrantRoleAsync("ann", "a");
        await node.Store.Leases.GrantAsync(TimeSpan.FromHours(1), 21);
        await node.Store.Leases.GrantAsync(TimeSpan.FromHours(1), 22);
        await node.Store.PutAsync("z"u8.ToArray(), "1"u8.ToArray(), 21);
        await node.Store.PutAsync("a/1"u8.ToArray(), "1"u8.ToArray());
        await auth.EnableAsync();
        ann = await LoginAsync("ann");
        root = await LoginAsync("root");
    }

    [OneTimeTearDown]
    public async Task StopAsync() => await (node?.DisposeAsync() ?? ValueTask.CompletedTask);

    [Test]
    public void No_call_is_forgotten()
    {
        string[] all = [.. new[] { KV.Descriptor, Watch.Descriptor, Lease.Descriptor, Cluster.Descriptor, Maintenance.Descriptor, Auth.Descriptor, Locks.Lock.Descriptor, Election.Descriptor }.SelectMany(service => service.Methods.Select(method => method.Name))];
        Assert.That(Rows().Select(row => row.Method).Concat(Unimplemented).Concat(Streams).Distinct(), Is.EquivalentTo(all));
    }

    [Test]
    public async Task Who_may_not_is_told_so_and_root_is_served()
    {
        using (Assert.EnterMultipleScope())
        {
            foreach (Row row in Rows())
            {
                await DenyAsync(row);
            }

            // Afterwards: what root may, changes what is there.
            foreach (Row row in Rows())
            {
                Status status = await RunAsync(row, root);
                Assert.That(status.StatusCode, Is.Not.AnyOf(StatusCode.PermissionDenied, StatusCode.Unauthenticated, StatusCode.InvalidArgument), $"{row}, root: {status.Detail}");
                Assert.That(status.Detail, Does.Not.StartWith("auth: "), $"{row}, root");
            }
        }
    }

    private async Task DenyAsync(Row row)
    {
        long before = node.Node.Proposals;
        string served = Text(Status.DefaultSuccess);
        Assert.That(Text(await RunAsync(row, null)), Is.EqualTo(row.Needs == Needs.Nothing ? served : Words(row, 0)), $"{row}, no token");
        Assert.That(Text(await RunAsync(row, "abcdefghijklmnop.7")), Is.EqualTo(row.Needs == Needs.Nothing ? served : Words(row, 1)), $"{row}, wrong token");
        Assert.That(Text(await RunAsync(row, ann)), Is.EqualTo(row.Needs is Needs.Nothing or Needs.AnyUser ? served : Words(row, 2)), $"{row}, a user");

        // Renewals are judged in their entry alone, of which many share one.
        if (row.Needs is not (Needs.Nothing or Needs.AnyUser) && row.Method != "LeaseKeepAlive")
        {
            Assert.That(node.Node.Proposals, Is.EqualTo(before), $"{row}: what will be refused stays out of the log");
        }
    }

    /// <summary>What late 3.5 does and 3.4, which the transcript is from, does not.</summary>
    [Test]
    public async Task Tokens_are_taken_as_late_3_5_takes_them()
    {
        await using TestNode other = await TestNode.StartAsync(options: new LoomOptions { PasswordCost = 4 });
        await other.Store.Auth.AddUserAsync("root", Password);
        await other.Store.Auth.GrantRoleAsync("root", "root");
        CallInvoker plain = other.Channel.CreateCallInvoker();
        Assert.That(await StatusOfAsync(() => Transcript.CallAsync(As(plain, "token", "nonsense"), new RangeRequest { Key = B("a") })), Is.EqualTo(Text(Status.DefaultSuccess)), "not looked at while it is not enabled");
        await other.Store.Auth.EnableAsync();
        var login = (AuthenticateResponse)await Transcript.CallAsync(As(plain, "token", "nonsense"), new AuthenticateRequest { Name = "root", Password = Password });
        foreach ((string header, string value) in (IEnumerable<(string, string)>)[("token", login.Token), ("authorization", login.Token), ("authorization", "Bearer " + login.Token)])
        {
            Assert.That(await StatusOfAsync(() => Transcript.CallAsync(As(plain, header, value), new AuthStatusRequest())), Is.EqualTo(Text(Status.DefaultSuccess)), $"{header}: {value}");
        }

        CallInvoker root = As(plain, "token", login.Token);
        await Transcript.CallAsync(root, new AuthRoleAddRequest { Name = "r" });
        Assert.That(
            await StatusOfAsync(() => Transcript.CallAsync(root, new AuthRoleGrantPermissionRequest { Name = "r", Perm = new Permission { Key = B("b"), RangeEnd = B("a") } })),
            Is.EqualTo(Text(new(StatusCode.InvalidArgument, "etcdserver: invalid auth management"))));
        Assert.That(
            await StatusOfAsync(() => Transcript.CallAsync(root, new AuthRoleGrantPermissionRequest { Name = "r" })), Is.EqualTo(Text(new(StatusCode.InvalidArgument, "etcdserver: permission not given"))), "etcd 3.4 falls over it");
        foreach (int kind in (int[])[-1, int.MinValue, 3, 256])
        {
            var grant = new AuthRoleGrantPermissionRequest { Name = "r", Perm = new Permission { Key = B("a"), PermType = (Permission.Types.Type)kind } };
            Assert.That(await StatusOfAsync(() => Transcript.CallAsync(root, grant)), Is.EqualTo(Text(new(StatusCode.InvalidArgument, "etcdserver: permission not given"))), $"the kind {kind}");
        }

        Assert.That(
            await StatusOfAsync(() => Transcript.CallAsync(root, new RangeRequest { Key = B("a"), SortTarget = (RangeRequest.Types.SortTarget)9 })),
            Is.EqualTo(Text(new(StatusCode.InvalidArgument, "etcdserver: invalid sort option"))), "and over this");
        var status = (AuthStatusResponse)await Transcript.CallAsync(root, new AuthStatusRequest());
        Assert.That((status.Enabled, status.AuthRevision), Is.EqualTo((true, 4UL)));
    }

    /// <summary>etcd goes on delivering.</summary>
    [Test]
    public async Task An_open_watch_is_canceled_when_its_permission_goes()
    {
        await using TestNode other = await TestNode.StartAsync(options: new LoomOptions { PasswordCost = 4 });
        LoomAuth auth = other.Store.Auth;
        await auth.AddUserAsync("root", Password);
        await auth.GrantRoleAsync("root", "root");
        await auth.AddUserAsync("ann", Password);
        await auth.AddRoleAsync("a");
        await auth.GrantPermissionAsync("a", new(Store.Model.PermissionKind.Read, Store.Model.KeyRange.Prefix("a/")));
        await auth.GrantRoleAsync("ann", "a");
        await auth.EnableAsync();
        var login = (AuthenticateResponse)await Transcript.CallAsync(other.Channel.CreateCallInvoker(), new AuthenticateRequest { Name = "ann", Password = Password });
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> watch = new Watch.WatchClient(As(other.Channel.CreateCallInvoker(), "token", login.Token)).Watch(deadline: DateTime.UtcNow.AddSeconds(20));
        await watch.RequestStream.WriteAsync(new WatchRequest { CreateRequest = new WatchCreateRequest { Key = B("a/"), RangeEnd = B("a0") } });
        Assert.That((await watch.ResponseStream.MoveNext(CancellationToken.None), watch.ResponseStream.Current.Created, watch.ResponseStream.Current.Canceled), Is.EqualTo((true, true, false)));
        await auth.RevokeRoleAsync("ann", "a");
        await other.Store.PutAsync("a/1"u8.ToArray(), "hidden"u8.ToArray());
        Assert.That(await watch.ResponseStream.MoveNext(CancellationToken.None), Is.True);
        WatchResponse end = watch.ResponseStream.Current;
        Assert.That((end.Canceled, end.CancelReason, end.Events.Count), Is.EqualTo((true, "rpc error: code = PermissionDenied desc = etcdserver: permission denied", 0)));
    }

    private static string Words(Row row, int who)
    {
        Status plain = who == 0 ? Nobody : who == 1 ? Wrong : Denied;
        return Text(row.Needs switch
        {
            Needs.RootInOwnWords => OwnWords[who],

            // Locks and elections are clients of the server in etcd, and hand on the text alone.
            Needs.PermissionInText => new Status(StatusCode.Unknown, plain.Detail),
            _ => plain,
        });
    }

    private async Task<string> LoginAsync(string name) =>
        ((AuthenticateResponse)await Transcript.CallAsync(node.Channel.CreateCallInvoker(), new AuthenticateRequest { Name = name, Password = Password })).Token;

    private Task<Status> RunAsync(Row row, string? token)
    {
        CallInvoker invoker = node.Channel.CreateCallInvoker();
        return RunAsync(row.Request, token is null ? invoker : As(invoker, "token", token));
    }

    private static async Task<Status> RunAsync(IMessage request, CallInvoker invoker)
    {
        try
        {
            return request is WatchRequest watch ? await WatchAsync(watch, invoker) : await SucceedAsync(Transcript.CallAsync(invoker, request));
        }
        catch (RpcException exception)
        {
            return exception.Status;
        }
    }

    private static async Task<string> StatusOfAsync(Func<Task> call)
    {
        try
        {
            await call();
            return Text(Status.DefaultSuccess);
        }
        catch (RpcException exception)
        {
            return Text(exception.Status);
        }
    }

    private static async Task<Status> SucceedAsync(Task call)
    {
        await call;
        return Status.DefaultSuccess;
    }

    /// <summary>A watch is refused within its stream, in Go's words for the whole error.</summary>
    private static async Task<Status> WatchAsync(WatchRequest request, CallInvoker invoker)
    {
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call = new Watch.WatchClient(invoker).Watch(deadline: DateTime.UtcNow.AddSeconds(20));
        await call.RequestStream.WriteAsync(request);
        await call.ResponseStream.MoveNext(CancellationToken.None);
        WatchResponse answer = call.ResponseStream.Current;
        if (!answer.Canceled)
        {
            return Status.DefaultSuccess;
        }

        Assert.That((answer.Created, answer.WatchId), Is.EqualTo((true, -1L)));
        string[] words = answer.CancelReason.Split(" desc = ");
        return new Status(Enum.Parse<StatusCode>(words[0]["rpc error: code = ".Length..]), words[1]);
    }

    private static string Text(Status status) => $"{status.StatusCode}: {status.Detail}";

    private static CallInvoker As(CallInvoker invoker, string header, string value) => invoker.Intercept(metadata =>
    {
        metadata.Add(header, value);
        return metadata;
    });

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    private static RequestOp Put(string key) => new() { RequestPut = new PutRequest { Key = B(key) } };

    private static RequestOp Get(string key) => new() { RequestRange = new RangeRequest { Key = B(key) } };

    private static RequestOp Delete(string key) => new() { RequestDeleteRange = new DeleteRangeRequest { Key = B(key) } };

    /// <summary>One call, and who may make it.</summary>
    internal sealed record Row(string Method, IMessage Request, Needs Needs, string How = "")
    {
        public override string ToString() => How.Length == 0 ? Method : $"{Method} ({How})";
    }
}
