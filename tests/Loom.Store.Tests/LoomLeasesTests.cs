using Loom.Raft;
using Loom.Raft.Sessions;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Leases through the facade, over a node that applies at once and whose cluster time the test sets.</summary>
internal sealed class LoomLeasesTests
{
    private const long Second = 1_000_000_000;
    private static readonly byte[] A = "a"u8.ToArray();
    private static readonly byte[] B = "b"u8.ToArray();

    [Test]
    public async Task A_lease_lives_at_least_one_and_a_half_election_timeouts()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _, new LoomOptions { ElectionTimeout = TimeSpan.FromMilliseconds(1000) });
        LeaseGrant least = await store.Leases.GrantAsync(TimeSpan.FromSeconds(-1));
        LeaseGrant rounded = await store.Leases.GrantAsync(TimeSpan.FromMilliseconds(5001), id: -7);
        Assert.That((least.TimeToLive, least.Id > 0, least.Revision), Is.EqualTo((TimeSpan.FromSeconds(2), true, new Revision(1))));
        Assert.That((rounded.TimeToLive, rounded.Id), Is.EqualTo((TimeSpan.FromSeconds(6), -7)));
        Assert.That((await store.Leases.ListAsync()).Ids, Is.EqualTo(new[] { least.Id, -7 }));
        Assert.That(async () => await store.Leases.GrantAsync(TimeSpan.FromSeconds(5), id: -7), Refused(LoomErrorCode.LeaseExists));
        Assert.That(async () => await store.Leases.GrantAsync(TimeSpan.FromSeconds(9_000_000_001)), Refused(LoomErrorCode.LeaseTooLong));
        Assert.That((await store.Leases.GrantAsync(TimeSpan.FromSeconds(9_000_000_000))).TimeToLive.TotalSeconds, Is.EqualTo(9_000_000_000));
    }

    [Test]
    public async Task A_lease_knows_its_keys_and_its_time()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(60), id: 1);
        await store.PutAsync(B, B, lease: 1);
        await store.PutAsync(A, A, lease: 1);
        node.ClusterTime = 20 * Second;
        LeaseState state = await store.Leases.TimeToLiveAsync(1, keys: true);
        Assert.That((state.Exists, state.Granted.TotalSeconds, state.Remaining.TotalSeconds), Is.EqualTo((true, 60.0, 39.0)), "a started second does not count");
        Assert.That(state.Keys.Select(key => key.ToArray()), Is.EqualTo(new[] { A, B }));
        Assert.That((await store.Leases.TimeToLiveAsync(1)).Keys, Is.Empty);
        Assert.That((await store.Leases.KeepAliveAsync(1)).TimeToLive.TotalSeconds, Is.EqualTo(60));
        Assert.That((await store.Leases.TimeToLiveAsync(1)).Remaining.TotalSeconds, Is.EqualTo(60));
        Assert.That(await store.Leases.RevokeAsync(1), Is.EqualTo(new Revision(4)));
        Assert.That((store.Get(A), store.Get(B)), Is.EqualTo(((KeyValue?)null, (KeyValue?)null)));
        Assert.That((await store.Leases.TimeToLiveAsync(1)).Exists, Is.False);
        Assert.That((await store.Leases.KeepAliveAsync(1)).Lives, Is.False);
        Assert.That(async () => await store.Leases.RevokeAsync(1), Refused(LoomErrorCode.LeaseNotFound));
    }

    /// <summary>The leader's duty: it looks four times a second, after two heartbeats.</summary>
    [Test]
    public async Task A_lease_that_is_due_ends_by_itself()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(60), id: 1);
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(61), id: 2);
        await store.PutAsync(A, A, lease: 1);
        await store.PutAsync(B, B, lease: 2);
        node.ClusterTime = 59 * Second;
        await Task.Delay(1000);
        Assert.That(store.Get(A), Is.Not.Null);
        node.ClusterTime = (60 * Second) + 900_000_000;
        await UntilAsync(() => store.Get(A) is null);
        Assert.That(store.Get(B), Is.Not.Null);
        Assert.That((await store.Leases.ListAsync()).Ids, Is.EqualTo(new long[] { 2 }));
    }

    /// <summary>Ten thousand at once: an entry ends some, the next look the rest.</summary>
    [Test]
    public async Task Many_that_are_due_end_in_parts()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        for (int id = 1; id <= 600; id++)
        {
            await store.Leases.GrantAsync(TimeSpan.FromSeconds(10), id);
        }

        long before = node.Proposals;
        node.ClusterTime = 100 * Second;
        await UntilAsync(() => store.Leases.ListAsync().AsTask().GetAwaiter().GetResult().Ids.Count == 0);
        Assert.That(node.Proposals - before, Is.EqualTo(3));
    }

    /// <summary>While one batch is on its way, what comes meanwhile gathers, each lease once.</summary>
    [Test]
    public async Task Renewals_gather_while_others_are_on_their_way()
    {
        List<IReadOnlyList<long>> sent = [];
        List<TaskCompletionSource> gates = [];
        var renewals = new LeaseRenewals(async (command, _) =>
        {
            IReadOnlyList<long> ids = ((LeaseRenewCommand)command).Ids;
            sent.Add(ids);
            TaskCompletionSource gate = new();
            gates.Add(gate);
            await gate.Task;
            return new ProposalResult(1, default, new RenewResult(new Revision(9), [.. ids.Select(id => id * 10)]), false);
        }, slow: TimeSpan.FromHours(1));
        Task<LeaseRenewal> first = renewals.RenewAsync(null, 5, default);
        Task<LeaseRenewal>[] rest = [.. Enumerable.Range(1, 1500).Concat(Enumerable.Range(1, 1500)).Select(id => renewals.RenewAsync(null, id, default))];
        Assert.That(sent.Select(ids => ids[0]), Is.EqualTo(new long[] { 5 }), "the first one waits for nothing");
        for (int entry = 0; entry < 3; entry++)
        {
            await UntilAsync(() => gates.Count == entry + 1);
            gates[entry].SetResult();
        }

        await Task.WhenAll([first, .. rest]);
        Assert.That(sent.Select(ids => ids.Count), Is.EqualTo(new[] { 1, CommandLimits.MaxLeases, 1500 - CommandLimits.MaxLeases }));
        Assert.That(rest.Select(task => task.Result.TimeToLive.TotalSeconds / task.Result.Id), Is.All.EqualTo(10));
    }

    [Test]
    public async Task Renewals_are_bounded_and_their_errors_reach_everybody()
    {
        const int Most = 3000;
        TaskCompletionSource gate = new();
        var renewals = new LeaseRenewals(
            async (_, _) =>
            {
                await gate.Task;
                throw new LoomException(LoomErrorCode.NoQuorum, "LOOM1007: none");
            },
            Most,
            TimeSpan.FromHours(1));
        List<Task<LeaseRenewal>> waiting = [.. Enumerable.Range(1, Most + 1).Select(id => renewals.RenewAsync(null, id, default))];
        Assert.That(async () => await renewals.RenewAsync(null, int.MaxValue, default), Refused(LoomErrorCode.Overloaded));
        gate.SetResult();
        Assert.That(async () => await Task.WhenAll(waiting), Refused(LoomErrorCode.NoQuorum));
        Assert.That(waiting.All(task => task.IsFaulted));
    }

    /// <summary>An entry is one caller's. With a hundred callers and a tenth of a second an entry, one after another would be too late for all.</summary>
    [Test]
    public async Task No_caller_waits_for_another_nor_takes_his_place()
    {
        const int Callers = 20;
        List<Caller?> sent = [];
        List<TaskCompletionSource> gates = [];
        var renewals = new LeaseRenewals(
            async (command, _) =>
            {
                TaskCompletionSource gate = new();
                lock (gates)
                {
                    sent.Add(command.Caller);
                    gates.Add(gate);
                }

                await gate.Task;
                return new ProposalResult(1, default, new RenewResult(new Revision(9), [.. ((LeaseRenewCommand)command).Ids.Select(_ => 60L)]), false);
            },
            maxWaiting: 400,
            TimeSpan.FromHours(1));
        Caller[] callers = [.. Enumerable.Range(0, Callers).Select(i => new Caller("user" + i, 1))];
        List<Task<LeaseRenewal>> waiting = [.. callers.Select(caller => renewals.RenewAsync(caller, 1, default))];
        Assert.That(sent, Is.EqualTo(callers[..LeaseRenewals.MaxUnderWay]), "as many as may go, go at once");

        // One who asks for too much is refused, and only he.
        waiting.AddRange(Enumerable.Range(2, 100).Select(id => renewals.RenewAsync(callers[0], id, default)));
        Assert.That(async () => await renewals.RenewAsync(callers[0], 1000, default), Refused(LoomErrorCode.Overloaded));
        waiting.Add(renewals.RenewAsync(callers[1], 2, default));
        for (int i = 0; i < Callers + 2; i++)
        {
            await UntilAsync(() => gates.Count > i);
            gates[i].SetResult();
        }

        await Task.WhenAll(waiting);
        Assert.That(sent[LeaseRenewals.MaxUnderWay..Callers], Is.EqualTo(callers[LeaseRenewals.MaxUnderWay..]), "who waited longest comes first");
    }

    /// <summary>A message that was lost on the way to the leader is sent again after an election timeout: renewals must not wait for that.</summary>
    [Test]
    public async Task What_comes_after_a_slow_entry_does_not_wait_for_it()
    {
        TaskCompletionSource gate = new();
        int calls = 0;
        var renewals = new LeaseRenewals(
            async (_, _) =>
            {
                if (++calls == 1)
                {
                    await gate.Task;
                }

                return new ProposalResult(1, default, new RenewResult(new Revision(9), [60]), false);
            },
            slow: TimeSpan.Zero);
        Task<LeaseRenewal> lost = renewals.RenewAsync(null, 1, default);
        Assert.That((await renewals.RenewAsync(null, 2, default)).Lives);
        Assert.That(lost.IsCompleted, Is.False);
        gate.SetResult();
        Assert.That((await lost).Lives);
    }

    /// <summary>The retry of a renewal that was applied has lost its answer (P2): it is renewed once more.</summary>
    [Test]
    public async Task A_renewal_whose_answer_was_lost_is_asked_for_again()
    {
        int calls = 0;
        var renewals = new LeaseRenewals((_, _) => ValueTask.FromResult(
            ++calls < 3 ? new ProposalResult(1, default, null, true) : new ProposalResult(1, new Outcome(0, 0, 7, 1), new RenewResult(new Revision(7), [60]), false)));
        Assert.That(await renewals.RenewAsync(null, 1, default), Is.EqualTo(new LeaseRenewal(new Revision(7), 1, TimeSpan.FromSeconds(60))));
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        node.Deduplicates = true;
        Assert.That(async () => await store.Leases.KeepAliveAsync(1), Throws.TypeOf<OutcomeUnknownException>());
    }

    /// <summary>S6: what ends or renews a lease must not wait behind puts that find no place; nor what gives space back.</summary>
    [Test]
    public async Task Only_what_adds_to_the_state_is_kept_out_of_the_reserve()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(60), id: 1);
        await store.PutAsync(A, A, lease: 1);
        Assert.That(node.Reserved, Is.Zero);
        await store.Leases.KeepAliveAsync(1);
        await store.Leases.RevokeAsync(1);
        await store.DeleteAsync(KeyRange.All);
        await store.CompactAsync(new Revision(2));
        Assert.That((node.Proposals, node.Reserved), Is.EqualTo((6, 4)));
    }

    [Test]
    public async Task Alarms_stop_grants_and_let_renewals_pass()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(60), id: 1);
        await store.RaiseAlarmAsync(AlarmKind.NoSpace, 1);
        Assert.That(async () => await store.Leases.GrantAsync(TimeSpan.FromSeconds(60)), Refused(LoomErrorCode.NoSpace));
        Assert.That((await store.Leases.KeepAliveAsync(1)).Lives, Is.True);
        await store.RaiseAlarmAsync(AlarmKind.Corrupt, 1);
        Assert.That((await store.Leases.KeepAliveAsync(1)).Lives, Is.True, "or all would be due when it is disarmed");
        Assert.That(async () => await store.Leases.RevokeAsync(1), Refused(LoomErrorCode.CorruptAlarm));
        await store.DisarmAlarmAsync(AlarmKind.Corrupt, 1);
        await store.Leases.RevokeAsync(1);
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(20);
        while (!condition() && DateTime.UtcNow < until)
        {
            await Task.Delay(20);
        }

        Assert.That(condition());
    }

    private static NUnit.Framework.Constraints.EqualConstraint<LoomErrorCode> Refused(LoomErrorCode code) => Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(code);
}
