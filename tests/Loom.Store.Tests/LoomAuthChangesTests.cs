using System.Text;
using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Callers;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Calls and watches that meet a change of users, and callers who must not hold others up.</summary>
internal sealed class LoomAuthChangesTests
{
    private const string Password = "secret";
    private readonly HookedTime time = new();
    private LoomStore store = null!;
    private ImmediateNode node = null!;

    [SetUp]
    public async Task OpenAsync()
    {
        time.Hook = null;
        var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        node = new ImmediateNode(machine);
        store = new LoomStore(node, machine, new LoomOptions { PasswordCost = 4 }, null, time);
        await store.Auth.AddRoleAsync("writer");
        await store.Auth.GrantPermissionAsync("writer", new Permission(PermissionKind.ReadWrite, KeyRange.Prefix("a/")));
        foreach ((string user, string role) in ((string, string)[])[("root", "root"), ("ops", "root"), ("ann", "writer")])
        {
            await store.Auth.AddUserAsync(user, Password);
            await store.Auth.GrantRoleAsync(user, role);
        }

        await store.PutAsync(B("a/1"), B("x"));
        await store.Auth.EnableAsync();
    }

    [TearDown]
    public async Task CloseAsync()
    {
        await store.DisposeAsync();
        await node.DisposeAsync();
    }

    /// <summary>Goal: what happens under a name that was given anew is not told to who had it before, whether or not something happened in between.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public async Task A_watch_ends_with_the_user_who_began_it(bool byToken)
    {
        ILoomStore ann = byToken ? await LoginAsync("ann") : store.As(LoomIdentity.OfUser("ann"));
        await using LoomWatchStream watches = ann.OpenWatches();
        watches.Add(1, new WatchQuery(KeyRange.Prefix("a/")));
        await store.Auth.AddRoleAsync("unrelated");
        await store.PutAsync(B("a/1"), B("seen"));
        Assert.That((await watches.NextAsync()).Batch!.Events.Count, Is.EqualTo(1), "a change of others is none of his");
        await store.Auth.DeleteUserAsync("ann");
        await store.Auth.AddUserAsync("ann", Password);
        await store.Auth.GrantRoleAsync("ann", "writer");
        await store.PutAsync(B("a/1"), B("the next one's"));
        WatchMessage end = await watches.NextAsync();
        Assert.That((end.Batch, end.End?.Code), Is.EqualTo(((WatchBatch?)null, (LoomErrorCode?)LoomErrorCode.InvalidToken)));
        Assert.That(() => watches.Add(2, new WatchQuery(KeyRange.Prefix("a/"))), Throws.TypeOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.InvalidToken), "nor does its stream begin another");
    }

    [Test]
    public async Task A_watch_ends_when_its_user_gets_another_password()
    {
        ILoomStore ann = await LoginAsync("ann");
        await using LoomWatchStream watches = ann.OpenWatches();
        watches.Add(1, new WatchQuery(KeyRange.Prefix("a/")));
        await store.Auth.ChangePasswordAsync("ann", "other");
        await store.PutAsync(B("a/1"), B("hidden"));
        Assert.That((await watches.NextAsync()).End?.Code, Is.EqualTo(LoomErrorCode.InvalidToken));
    }

    /// <summary>Goal: whoever changes users all the time does not keep readers from reading. Method: the clock, which is asked at each judgement, changes users each time.</summary>
    [Test]
    public async Task A_read_ends_though_users_change_at_each_look()
    {
        ILoomStore ann = await LoginAsync("ann");
        int changes = 0;
        time.Hook = () =>
        {
            Assert.That(++changes, Is.LessThan(50), "it reads again and again");
            store.Auth.AddRoleAsync($"r{changes}").AsTask().GetAwaiter().GetResult();
        };
        Assert.That(ann.Range(new RangeQuery(KeyRange.Prefix("a/"))).Count, Is.EqualTo(1));
        var read = new Transaction([], [new RangeOperation(new RangeQuery(KeyRange.Prefix("a/")))], []);
        Assert.That((await ann.TransactAsync(read, ReadConsistency.Local)).Succeeded, Is.True);
        time.Hook = null;
        Assert.That(changes, Is.GreaterThan(3));
    }

    [Test]
    public void A_read_older_than_its_judges_is_read_again_and_eight_times_at_most()
    {
        var access = new CallerAccess(LoomIdentity.OfUser("ann"), null!);
        var auth = new PublishedAuth(AuthState.Initial, 5);
        Assert.That((access.MayShow(auth, new Revision(5), 8), access.MayShow(auth, new Revision(4), 7)), Is.EqualTo((true, false)));
        Assert.That(() => access.MayShow(auth, new Revision(4), 8), Throws.TypeOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.AuthRevisionOld));
    }

    /// <summary>Goal: who has not shown who he is makes no list under the applier's lock. Method: the lock is taken, and he is refused all the same.</summary>
    [Test]
    public async Task A_list_of_leases_is_refused_before_it_is_made()
    {
        using ManualResetEventSlim held = new(), release = new();
        Task<int> holder = Task.Run(() => store.Machine.ReadLeases((_, _) =>
        {
            held.Set();
            release.Wait();
            return 0;
        }));
        held.Wait();
        try
        {
            Task<LeaseList> list = Task.Run(async () => await store.As(LoomIdentity.Anonymous).Leases.ListAsync());
            Assert.That((await Assert.ThrowsAsync<LoomException>(async () => await list.WaitAsync(TimeSpan.FromSeconds(20))))!.Code, Is.EqualTo(LoomErrorCode.AuthenticationRequired));
        }
        finally
        {
            release.Set();
            await holder;
        }

        ILoomStore ann = await LoginAsync("ann");
        long lease = (await ann.Leases.GrantAsync(TimeSpan.FromSeconds(60))).Id;
        await ann.PutAsync(B("a/l"), B("v"), lease);
        Assert.That((await ann.Leases.ListAsync()).Ids, Is.EqualTo(new[] { lease }));
    }

    /// <summary>A server's callers cannot lock themselves out by a slip; the embedding process stays trusted and may.</summary>
    [Test]
    public async Task Callers_enable_it_only_if_somebody_can_log_in_to_disable_it()
    {
        await store.Auth.DisableAsync();
        await store.Auth.DeleteUserAsync("ops");
        await store.Auth.DeleteUserAsync("root");
        await store.Auth.AddUserAsync("root", null);
        await store.Auth.GrantRoleAsync("root", "root");
        LoomAuth anonymous = store.As(LoomIdentity.Anonymous).Auth;
        LoomException refused = (await Assert.ThrowsAsync<LoomException>(async () => await anonymous.EnableAsync()))!;
        Assert.That(refused.Code, Is.EqualTo(LoomErrorCode.InvalidRequest));
        Assert.That(refused.Message, Does.Contain("has a password"));
        Assert.That((await anonymous.StatusAsync()).IsEnabled, Is.False);
        await store.Auth.AddUserAsync("ops", Password);
        await store.Auth.GrantRoleAsync("ops", "root");
        await anonymous.EnableAsync();
        await store.Auth.DisableAsync();
        await store.Auth.DeleteUserAsync("ops");
        await store.Auth.EnableAsync();
        Assert.That((await store.Auth.StatusAsync()).IsEnabled, Is.True);
    }

    /// <summary>Goal: who is root no more gets what only root may have from no member, though it is behind. Method: the barrier applies what takes the role away.</summary>
    [Test]
    public async Task A_former_root_is_refused_by_a_member_that_is_behind()
    {
        foreach (Func<ILoomStore, Task> call in (Func<ILoomStore, Task>[])
            [async ops => await ops.TransferLeadershipAsync(), async ops => await ops.HashAsync(), async ops => await (await ops.OpenBackupAsync()).DisposeAsync()])
        {
            ILoomStore ops = await LoginAsync("ops");
            node.Fault = _ =>
            {
                node.Fault = null;
                store.Auth.RevokeRoleAsync("ops", "root").AsTask().GetAwaiter().GetResult();
                return null;
            };
            Assert.That((await Assert.ThrowsAsync<LoomException>(() => call(ops)))!.Code, Is.EqualTo(LoomErrorCode.PermissionDenied));
            await store.Auth.GrantRoleAsync("ops", "root");
        }
    }

    [Test]
    public async Task A_member_without_a_quorum_gives_root_its_backup()
    {
        ILoomStore root = await LoginAsync("root");
        int calls = 0;
        node.Fault = _ => calls++ == 0 ? new RaftException(RaftErrorCode.NoQuorum, "nobody is heard") : null;
        await (await root.OpenBackupAsync()).DisposeAsync();
        Assert.That(calls, Is.EqualTo(2), "a barrier, and the state as it is");
    }

    private async Task<ILoomStore> LoginAsync(string user) => store.As(LoomIdentity.OfToken((await store.Auth.AuthenticateAsync(user, Password)).Text));

    private static byte[] B(string text) => Encoding.UTF8.GetBytes(text);

    /// <summary>The system's clock, which does something first when the test's own thread asks for the time.</summary>
    private sealed class HookedTime : TimeProvider
    {
        private readonly AsyncLocal<bool> busy = new();
        private readonly AsyncLocal<Action?> hook = new();

        public Action? Hook
        {
            get => hook.Value;
            set => hook.Value = value;
        }

        public override long GetTimestamp()
        {
            if (Hook is { } action && !busy.Value)
            {
                busy.Value = true;
                action();
                busy.Value = false;
            }

            return base.GetTimestamp();
        }
    }
}
