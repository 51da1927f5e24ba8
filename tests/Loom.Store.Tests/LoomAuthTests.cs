using System.Text;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Users, roles and tokens through the library: what a view permits, when, and what its calls cost.</summary>
internal sealed class LoomAuthTests
{
    private const string Password = "secret";
    private LoomStore store = null!;
    private ImmediateNode node = null!;

    [SetUp]
    public async Task OpenAsync()
    {
        store = ImmediateNode.OpenStore(out node, new LoomOptions { PasswordCost = 4 });
        await store.Auth.AddUserAsync("root", Password);
        await store.Auth.GrantRoleAsync("root", "root");
        await store.Auth.AddUserAsync("ann", Password);
        await store.Auth.AddRoleAsync("writer");
        await store.Auth.GrantPermissionAsync("writer", new Permission(PermissionKind.ReadWrite, KeyRange.Prefix("a/")));
        await store.Auth.GrantRoleAsync("ann", "writer");
        await store.PutAsync(B("a/1"), B("x"));
        await store.PutAsync(B("b/1"), B("x"));
        await store.Auth.EnableAsync();
    }

    [TearDown]
    public async Task CloseAsync() => await store.DisposeAsync();

    [Test]
    public async Task The_embedding_process_may_do_everything_and_a_caller_what_his_roles_permit()
    {
        await store.PutAsync(B("b/1"), B("y"));
        ILoomStore ann = await LoginAsync("ann");
        await ann.PutAsync(B("a/2"), B("v"));
        Assert.That(ann.Get(B("a/2"))!.Value.ToArray(), Is.EqualTo(B("v")));
        Assert.That((await ann.RangeAsync(new RangeQuery(KeyRange.Prefix("a/")), ReadConsistency.Linearizable)).Count, Is.EqualTo(2));
        await DeniedAsync(() => ann.PutAsync(B("b/1"), B("z")));
        await DeniedAsync(() => ann.GetAsync(B("b/1"), ReadConsistency.Linearizable));
        await DeniedAsync(() => ann.RangeAsync(new RangeQuery(KeyRange.From(B("a/"))), ReadConsistency.Local));
        await DeniedAsync(() => ann.DeleteAsync(KeyRange.From(B("a/"))));
        Assert.That(() => ann.Get(B("b/1")), Throws.TypeOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.PermissionDenied));
        ILoomStore root = await LoginAsync("root");
        await root.PutAsync(B("b/1"), B("z"));
        await root.CompactAsync(new Revision(3));
    }

    [Test]
    public async Task Anonymous_callers_and_wrong_tokens_are_refused_and_cost_the_log_nothing()
    {
        long before = node.Proposals;
        foreach ((ILoomStore caller, LoomErrorCode code) in (IEnumerable<(ILoomStore, LoomErrorCode)>)
            [(store.As(LoomIdentity.Anonymous), LoomErrorCode.AuthenticationRequired), (store.As(LoomIdentity.OfToken("abcdefghijklmnop.3")), LoomErrorCode.InvalidToken), (store.As(LoomIdentity.OfToken("")), LoomErrorCode.InvalidToken)])
        {
            await RefusedAsync(() => caller.PutAsync(B("a/1"), B("v")), code);
            await RefusedAsync(() => caller.GetAsync(B("a/1"), ReadConsistency.Linearizable), code);
            await RefusedAsync(() => caller.Leases.GrantAsync(TimeSpan.FromSeconds(60)), code);
            await RefusedAsync(() => caller.Leases.KeepAliveAsync(3), code);
            await RefusedAsync(() => caller.Auth.ListUsersAsync(), code);
            await RefusedAsync(() => caller.ReadBarrierAsync(), code);
            await RefusedAsync(() => caller.HashAsync(), code);
            await RefusedAsync(() => caller.OpenBackupAsync(), code);
        }

        Assert.That(node.Proposals, Is.EqualTo(before));
    }

    /// <summary>Both branches count, and all compares, whichever runs; nested ones too; a previous pair needs reading.</summary>
    [Test]
    public async Task A_transaction_needs_every_permission_of_both_branches()
    {
        await store.Auth.AddRoleAsync("w");
        await store.Auth.GrantPermissionAsync("w", new Permission(PermissionKind.Write, KeyRange.Single(B("w"))));
        await store.Auth.GrantRoleAsync("ann", "w");
        ILoomStore ann = await LoginAsync("ann");
        var own = new PutOperation(B("a/1"), B("v"));
        var foreign = new PutOperation(B("b/1"), B("v"));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [own], [foreign])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [foreign], [own])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([new Compare(KeyRange.Single(B("b/1")), CompareTarget.Version, CompareResult.Equal)], [own], [])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [own], [new RangeOperation(new RangeQuery(KeyRange.Single(B("b/1"))))])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [own], [new DeleteOperation(KeyRange.Single(B("b/1")))])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [own], [new NestedOperation(new Transaction([], [], [foreign]))])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [own, new PutOperation(B("w"), B("v")) { PreviousPair = true }], [])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [own, new DeleteOperation(KeyRange.Single(B("w"))) { PreviousPairs = true }], [])));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [new RangeOperation(new RangeQuery(KeyRange.Single(B("a/1"))))], [new RangeOperation(new RangeQuery(KeyRange.Single(B("b/1"))))])), "read-only");
        await DeniedAsync(() => ann.PutAsync(new PutOperation(B("w"), B("v")) { PreviousPair = true }));
        TransactionResult done = await ann.TransactAsync(new Transaction([], [own, new PutOperation(B("w"), B("v"))], [new DeleteOperation(KeyRange.Prefix("a/"))]));
        Assert.That(done.Succeeded, Is.True);
    }

    /// <summary>Who renews, ends, or adds to a lease decides over the lives of its keys.</summary>
    [Test]
    public async Task A_lease_needs_writing_on_all_its_keys()
    {
        ILoomStore ann = await LoginAsync("ann");
        long lease = (await ann.Leases.GrantAsync(TimeSpan.FromSeconds(60))).Id;
        await ann.PutAsync(B("a/l"), B("v"), lease);
        Assert.That((await ann.Leases.KeepAliveAsync(lease)).Lives, Is.True);
        Assert.That((await ann.Leases.TimeToLiveAsync(lease, keys: true)).Keys.Count, Is.EqualTo(1));
        await store.PutAsync(B("b/l"), B("v"), lease);
        await DeniedAsync(() => ann.PutAsync(B("a/m"), B("v"), lease));
        await DeniedAsync(() => ann.TransactAsync(new Transaction([], [], [new PutOperation(B("a/m"), B("v")) { Lease = lease }])));
        await DeniedAsync(() => ann.Leases.KeepAliveAsync(lease));
        await DeniedAsync(() => ann.Leases.RevokeAsync(lease));
        await DeniedAsync(() => ann.Leases.TimeToLiveAsync(lease, keys: true));
        await DeniedAsync(() => ann.Leases.ListAsync());
        Assert.That((await ann.Leases.TimeToLiveAsync(lease)).Exists, Is.True, "without its keys it tells nothing of them");
        ILoomStore root = await LoginAsync("root");
        Assert.That((await root.Leases.KeepAliveAsync(lease)).Lives, Is.True);
        Assert.That((await root.Leases.ListAsync()).Ids, Is.EqualTo(new[] { lease }));
        await root.Leases.RevokeAsync(lease);
    }

    [Test]
    public async Task What_is_root_s_is_denied_to_others()
    {
        ILoomStore ann = await LoginAsync("ann");
        await DeniedAsync(() => ann.CompactAsync(new Revision(2)));
        await DeniedAsync(() => ann.HashAsync());
        await DeniedAsync(() => ann.OpenBackupAsync());
        await DeniedAsync(() => ann.RaiseAlarmAsync(AlarmKind.NoSpace, 1));
        await DeniedAsync(() => ann.DisarmAlarmAsync(AlarmKind.NoSpace, 1));
        await DeniedAsync(async () =>
        {
            await ann.TransferLeadershipAsync();
            return 0;
        });
        await DeniedAsync(() => ann.Auth.StatusAsync());
        await DeniedAsync(() => ann.Auth.DisableAsync());
        await DeniedAsync(() => ann.Auth.AddUserAsync("x", Password));
        await DeniedAsync(() => ann.Auth.ChangePasswordAsync("ann", "other"));
        await DeniedAsync(() => ann.Auth.GrantRoleAsync("ann", "root"));
        await DeniedAsync(() => ann.Auth.GetUserAsync("root"));
        await DeniedAsync(() => ann.Auth.ListRolesAsync());
        await store.Auth.AddRoleAsync("other");
        await DeniedAsync(() => ann.Auth.GetRoleAsync("other"));
        Assert.That((await ann.Auth.GetUserAsync("ann")).Names, Is.EqualTo(new[] { "writer" }));
        Assert.That((await ann.Auth.GetRoleAsync("writer")).Permissions.Count, Is.EqualTo(1));
    }

    /// <summary>A change of users leaves tokens alone, but for those whose owner or password it changes.</summary>
    [Test]
    public async Task A_token_lives_through_changes_and_ends_with_its_password()
    {
        ILoomStore ann = await LoginAsync("ann");
        await store.Auth.AddUserAsync("bob", null);
        await ann.PutAsync(B("a/1"), B("v"));
        await store.Auth.RevokeRoleAsync("ann", "writer");
        await DeniedAsync(() => ann.PutAsync(B("a/1"), B("v")));
        await store.Auth.GrantRoleAsync("ann", "writer");
        await ann.PutAsync(B("a/1"), B("v"));
        await store.Auth.ChangePasswordAsync("ann", "other");
        await RefusedAsync(() => ann.PutAsync(B("a/1"), B("v")), LoomErrorCode.InvalidToken);
        await RefusedAsync(() => store.Auth.AuthenticateAsync("ann", Password), LoomErrorCode.AuthenticationFailed);
        ann = store.As(LoomIdentity.OfToken((await store.Auth.AuthenticateAsync("ann", "other")).Text));
        await ann.PutAsync(B("a/1"), B("v"));
        await store.Auth.DeleteUserAsync("ann");
        await store.Auth.AddUserAsync("ann", "other");
        await RefusedAsync(() => ann.PutAsync(B("a/1"), B("v")), LoomErrorCode.InvalidToken);
    }

    [Test]
    public async Task Logins_that_cannot_work_are_refused()
    {
        await RefusedAsync(() => store.Auth.AuthenticateAsync("ann", "wrong"), LoomErrorCode.AuthenticationFailed);
        await RefusedAsync(() => store.Auth.AuthenticateAsync("nobody", Password), LoomErrorCode.AuthenticationFailed);
        await store.Auth.AddUserAsync("bob", null);
        await RefusedAsync(() => store.Auth.AuthenticateAsync("bob", ""), LoomErrorCode.NoPasswordUser);
        await RefusedAsync(() => store.Auth.AddUserAsync("long", new string('x', 73)), LoomErrorCode.InvalidRequest);
        await store.Auth.AddUserAsync("cut", new string('x', 72));
        await RefusedAsync(() => store.Auth.AuthenticateAsync("cut", new string('x', 73)), LoomErrorCode.AuthenticationFailed);
        await store.Auth.DisableAsync();
        await RefusedAsync(() => store.Auth.AuthenticateAsync("ann", Password), LoomErrorCode.AuthNotEnabled);
    }

    /// <summary>As in etcd nothing locks root out; what is empty or not there says so.</summary>
    [Test]
    public async Task Root_stays_while_it_is_enabled()
    {
        await RefusedAsync(() => store.Auth.DeleteUserAsync("root"), LoomErrorCode.InvalidAuthManagement);
        await RefusedAsync(() => store.Auth.RevokeRoleAsync("root", "root"), LoomErrorCode.InvalidAuthManagement);
        await RefusedAsync(() => store.Auth.DeleteRoleAsync("root"), LoomErrorCode.InvalidAuthManagement);
        await RefusedAsync(() => store.Auth.GrantPermissionAsync("writer", new Permission(PermissionKind.Read, new KeyRange(B("b"), B("a")))), LoomErrorCode.InvalidAuthManagement);
        await RefusedAsync(() => store.Auth.AddUserAsync("", Password), LoomErrorCode.UserNameEmpty);
        await RefusedAsync(() => store.Auth.AddRoleAsync(""), LoomErrorCode.RoleNameEmpty);
        await RefusedAsync(() => store.Auth.AddUserAsync(new string('n', 257), Password), LoomErrorCode.InvalidRequest);
        await RefusedAsync(() => store.Auth.GrantRoleAsync("ann", "none"), LoomErrorCode.RoleNotFound);
        await RefusedAsync(() => store.Auth.RevokePermissionAsync("writer", KeyRange.Prefix("a")), LoomErrorCode.PermissionNotGranted);
        await store.Auth.DisableAsync();
        await store.Auth.DeleteUserAsync("root");
        await RefusedAsync(() => store.Auth.EnableAsync(), LoomErrorCode.RootUserMissing);
        await store.Auth.AddUserAsync("root", Password);
        await RefusedAsync(() => store.Auth.EnableAsync(), LoomErrorCode.RootRoleMissing);
    }

    /// <summary>Goal: a permission that was taken away holds for everything after it, on a watch that is open, too. etcd goes on delivering.</summary>
    [Test]
    public async Task An_open_watch_ends_when_its_permission_is_taken_away()
    {
        ILoomStore ann = await LoginAsync("ann");
        await using LoomWatchStream watches = ann.OpenWatches();
        Assert.That(() => watches.Add(1, new WatchQuery(KeyRange.Single(B("b/1")))), Throws.TypeOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.PermissionDenied));
        watches.Add(2, new WatchQuery(KeyRange.Prefix("a/")));
        await store.PutAsync(B("a/1"), B("seen"));
        WatchMessage seen = await watches.NextAsync();
        Assert.That(seen.Batch!.Events.Single().Pair.Value.ToArray(), Is.EqualTo(B("seen")));
        await store.Auth.RevokeRoleAsync("ann", "writer");
        await store.PutAsync(B("a/1"), B("hidden"));
        WatchMessage end = await watches.NextAsync();
        Assert.That((end.Batch, end.End!.Code, watches.Count), Is.EqualTo(((WatchBatch?)null, LoomErrorCode.PermissionDenied, 0)));
    }

    /// <summary>The auth revision stands in each command: one that was judged by older users is refused in apply, and judged again.</summary>
    [Test]
    public async Task A_write_that_meets_a_change_of_users_is_judged_again()
    {
        ILoomStore ann = await LoginAsync("ann");
        bool changed = false;
        node.Fault = write =>
        {
            if (write && !changed)
            {
                changed = true;
                store.Auth.RevokeRoleAsync("ann", "writer").AsTask().GetAwaiter().GetResult();
            }

            return null;
        };
        await DeniedAsync(() => ann.PutAsync(B("a/1"), B("late")));
        Assert.That(store.Get(B("a/1"))!.Value.ToArray(), Is.EqualTo(B("x")));
        changed = true;
        await store.Auth.GrantRoleAsync("ann", "writer");
        node.Fault = write =>
        {
            if (write && changed)
            {
                changed = false;
                store.Auth.AddRoleAsync("unrelated").AsTask().GetAwaiter().GetResult();
            }

            return null;
        };
        await ann.PutAsync(B("a/1"), B("kept"));
        Assert.That(store.Get(B("a/1"))!.Value.ToArray(), Is.EqualTo(B("kept")));
    }

    /// <summary>
    /// Goal: a read is judged by the users of the state that it reads (A2). Method: a value that may be seen is put and the permission given, then taken away before one that may not is put in its place, again and again,
    /// while readers read as fast as they can: whoever reads by newer or older users than the value's sees the hidden one.
    /// </summary>
    [Test]
    public async Task A_read_never_shows_what_was_written_while_it_was_forbidden()
    {
        ILoomStore ann = await LoginAsync("ann");
        using var stop = new CancellationTokenSource(TimeSpan.FromSeconds(2));
        Task<(int Seen, int Denied)>[] readers = [.. Enumerable.Range(0, 2).Select(_ => Task.Run(async () =>
        {
            int seen = 0, denied = 0;
            while (!stop.IsCancellationRequested)
            {
                try
                {
                    KeyValue? pair = await ann.GetAsync(B("a/1"), ReadConsistency.Local);
                    Assert.That(pair!.Value.ToArray(), Is.Not.EqualTo(B("hidden")));
                    seen++;
                }
                catch (LoomException exception) when (exception.Code == LoomErrorCode.PermissionDenied)
                {
                    denied++;
                }
            }

            return (seen, denied);
        }))];
        while (!stop.IsCancellationRequested)
        {
            await store.Auth.RevokeRoleAsync("ann", "writer");
            await store.PutAsync(B("a/1"), B("hidden"));
            await store.PutAsync(B("a/1"), B("shown"));
            await store.Auth.GrantRoleAsync("ann", "writer");
        }

        (int Seen, int Denied)[] counts = await Task.WhenAll(readers);
        Assert.That(counts.Sum(one => one.Seen), Is.GreaterThan(100));
        Assert.That(counts.Sum(one => one.Denied), Is.GreaterThan(100));
    }

    /// <summary>A member whose state was found wrong serves none of it, but its operator sees that, and writes that it passes on are judged where they are applied.</summary>
    [Test]
    public async Task A_member_that_serves_no_read_still_knows_who_may_see_its_status()
    {
        ILoomStore ann = await LoginAsync("ann");
        store.Machine.Condemn();
        await ann.Auth.RequireUserAsync();
        await RefusedAsync(() => NothingAsync(store.As(LoomIdentity.Anonymous).Auth.RequireUserAsync()), LoomErrorCode.AuthenticationRequired);
        await RefusedAsync(() => ann.GetAsync(B("a/1"), ReadConsistency.Local), LoomErrorCode.Corruption);
        await RefusedAsync(() => store.Auth.AuthenticateAsync("ann", Password), LoomErrorCode.Corruption);
        await RefusedAsync(() => ann.Auth.GetUserAsync("ann"), LoomErrorCode.Corruption);
        await ann.PutAsync(B("a/1"), B("v"));
        await DeniedAsync(() => ann.PutAsync(B("b/1"), B("v")));
    }

    /// <summary>Goal: a member that has not found its cluster, or is still being filled, does not take everybody for root because no user is in what it has (S4). Method: it is told that it has had no state yet.</summary>
    [Test]
    public async Task A_member_without_a_state_takes_nobody_for_root()
    {
        await store.Auth.DisableAsync();
        bool hasState = false;
        store.Machine.HasState = () => hasState;
        ILoomStore anybody = store.As(LoomIdentity.Anonymous);
        await RefusedAsync(() => NothingAsync(anybody.Auth.RequireRootAsync()), LoomErrorCode.StateAwaited);
        await RefusedAsync(() => anybody.Auth.AddUserAsync("x", Password), LoomErrorCode.StateAwaited);
        await RefusedAsync(() => anybody.HashAsync(), LoomErrorCode.StateAwaited);
        await RefusedAsync(() => anybody.OpenBackupAsync(), LoomErrorCode.StateAwaited);
        await RefusedAsync(() => anybody.Auth.ListUsersAsync(), LoomErrorCode.StateAwaited);
        await anybody.Auth.RequireUserAsync();
        hasState = true;
        await anybody.Auth.RequireRootAsync();
        hasState = false;
        await anybody.Auth.RequireRootAsync();
    }

    private static async ValueTask<int> NothingAsync(ValueTask call)
    {
        await call;
        return 0;
    }

    private async Task<ILoomStore> LoginAsync(string user) => store.As(LoomIdentity.OfToken((await store.Auth.AuthenticateAsync(user, Password)).Text));

    private static Task DeniedAsync<T>(Func<ValueTask<T>> call, string why = "") => RefusedAsync(call, LoomErrorCode.PermissionDenied, why);

    private static async Task RefusedAsync<T>(Func<ValueTask<T>> call, LoomErrorCode code, string why = "") =>
        Assert.That((await Assert.ThrowsAsync<LoomException>(async () => await call()))!.Code, Is.EqualTo(code), why);

    private static byte[] B(string text) => Encoding.UTF8.GetBytes(text);
}
