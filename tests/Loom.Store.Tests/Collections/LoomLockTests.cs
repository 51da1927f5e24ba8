using Loom.Raft;
using Loom.Store.Collections;
using Loom.Store.Model;
using Loom.Testing;
using Microsoft.Extensions.Time.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Collections;

/// <summary>Locks over a node that applies at once and whose cluster time the test sets.</summary>
internal sealed class LoomLockTests
{
    private const long Second = 1_000_000_000;
    private static readonly byte[] Key = "guarded"u8.ToArray();

    [Test]
    public async Task Contenders_hold_one_after_the_other_in_the_order_of_their_claims_and_leave_nothing_behind()
    {
        const int Contenders = 12;
        await using LoomStore store = ImmediateNode.OpenStore();
        List<FencingToken> tokens = [];
        int holding = 0;
        LoomHold first = await new LoomLock(store, "jobs").AcquireAsync();
        List<Task> all = [];
        for (int i = 0; i < Contenders; i++)
        {
            all.Add(ContendAsync());
            await UntilAsync(() => Claims(store) == i + 2);
        }

        await Task.Delay(50);
        Assert.That(holding, Is.Zero, "it is held");
        await first.DisposeAsync();
        await Task.WhenAll(all);
        Assert.That(tokens, Is.Ordered.And.Unique);
        Assert.That(tokens.Select(token => token.Revision), Is.Ordered);
        Assert.That(tokens, Has.Count.EqualTo(Contenders).And.All.GreaterThan(first.Token));
        await NothingIsLeftAsync(store);

        async Task ContendAsync()
        {
            await using LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync();
            Assert.That(Interlocked.Increment(ref holding), Is.EqualTo(1), "two hold it");
            tokens.Add(hold.Token);
            await Task.Delay(2);
            Interlocked.Decrement(ref holding);
        }
    }

    [Test]
    public async Task A_claim_is_laid_out_as_etcds_is()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await using LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync();
        KeyValue pair = store.Range(new RangeQuery(KeyRange.All)).Pairs.Single();
        Assert.That(System.Text.Encoding.ASCII.GetString(pair.Key.Span), Is.EqualTo($"jobs/{hold.Lease:x}"));
        Assert.That((pair.Lease, pair.Value.Length, hold.Token.Revision.Number), Is.EqualTo((hold.Lease, 0, pair.CreateRevision)));
        Assert.That(new ClaimLine(store, "a"u8.ToArray()).KeyOf(-31).ToArray(), Is.EqualTo("a/-1f"u8.ToArray()), "as Go prints it");
        Assert.That((hold.IsHeld, hold.Lost.IsCancellationRequested, hold.LostReason, hold.Name), Is.EqualTo((true, false, (string?)null, "jobs")));
    }

    [Test]
    public async Task Who_stops_waiting_leaves_nothing_behind_and_holds_up_nobody()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        LoomLock jobs = new(store, "jobs");
        LoomHold first = await jobs.AcquireAsync();
        using var cancel = new CancellationTokenSource();
        Task<LoomHold> second = jobs.AcquireAsync(cancel.Token).AsTask();
        await UntilAsync(() => Claims(store) == 2);
        Task<LoomHold> third = jobs.AcquireAsync().AsTask();
        await UntilAsync(() => Claims(store) == 3);
        await cancel.CancelAsync();
        OperationCanceledException thrown = (await Assert.CatchAsync<OperationCanceledException>(() => second))!;
        Assert.That((thrown.CancellationToken, Claims(store)), Is.EqualTo((cancel.Token, 2)));
        Assert.That(third.IsCompleted, Is.False, "the one before it has gone, but not the first");
        await first.DisposeAsync();
        await (await third).DisposeAsync();
        await NothingIsLeftAsync(store);
    }

    [Test]
    public async Task Without_patience_a_lock_that_is_held_is_not_waited_for()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        LoomLock jobs = new(store, "jobs");
        LoomHold? first = await jobs.TryAcquireAsync(TimeSpan.Zero);
        Assert.That(first, Is.Not.Null);
        Assert.That(await jobs.TryAcquireAsync(TimeSpan.Zero), Is.Null);
        Assert.That(await jobs.TryAcquireAsync(TimeSpan.FromMilliseconds(50)), Is.Null);
        Assert.That(Claims(store), Is.EqualTo(1));
        Task<LoomHold?> patient = jobs.TryAcquireAsync(TimeSpan.FromSeconds(30)).AsTask();
        await UntilAsync(() => Claims(store) == 2);
        await first!.DisposeAsync();
        await (await patient)!.DisposeAsync();
        await NothingIsLeftAsync(store);
    }

    /// <summary>The holder is not asked: its member sees the key go, and its write carries the check into apply.</summary>
    [Test]
    public async Task A_holder_whose_lease_has_ended_is_told_and_cannot_write()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        LoomHold old = await new LoomLock(store, "jobs").AcquireAsync();
        Revision last = await old.Store.PutAsync(Key, "old"u8.ToArray());
        node.ClusterTime = 100 * Second;
        await using LoomHold now = await new LoomLock(store, "jobs").AcquireAsync();
        await UntilAsync(() => old.Lost.IsCancellationRequested);
        Assert.That((old.IsHeld, old.LostReason), Is.EqualTo((false, "its key was deleted")));
        Assert.That(now.Token, Is.GreaterThan(old.Token));

        FenceLostException refused = (await Assert.ThrowsAsync<FenceLostException>(async () => await old.Store.PutAsync(Key, "late"u8.ToArray())))!;
        Assert.That((refused.Code, refused.Outcome, refused.Token), Is.EqualTo((LoomErrorCode.FenceLost, WriteOutcome.NotApplied, old.Token)));
        Assert.That(refused.Message, Does.StartWith("LOOM1070: ").And.Contain("not applied"));
        Assert.That(async () => await old.Store.DeleteAsync(KeyRange.All), Throws.TypeOf<FenceLostException>());
        Assert.That(async () => await old.ProclaimAsync(Key), Throws.TypeOf<FenceLostException>());
        Assert.That(store.Get(Key)!.ModRevision, Is.EqualTo(last.Number));
        await old.DisposeAsync();
        Assert.That((await now.Store.DeleteAsync(KeyRange.Single(Key))).Deleted, Is.EqualTo(1));
    }

    /// <summary>A token may be handed to another process; a key that was deleted by hand is no claim any more, though its lease lives.</summary>
    [Test]
    public async Task A_claim_that_somebody_deletes_is_lost()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await using LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync();
        FencedStore elsewhere = new(store, hold.Token);
        await elsewhere.PutAsync(Key, Key);
        await store.DeleteAsync(KeyRange.Prefix("jobs/"));

        // Even before its holder has heard of it, and even when the same key is there again.
        await store.PutAsync(hold.Token.Key, default, hold.Lease);
        Assert.That(async () => await elsewhere.PutAsync(Key, Key), Throws.TypeOf<FenceLostException>());
        Assert.That(async () => await hold.Store.PutAsync(Key, Key), Throws.TypeOf<FenceLostException>());
        await UntilAsync(() => hold.Lost.IsCancellationRequested);
        FencedStore restored = new(store, hold.Token with { Epoch = 3 });
        Assert.That(async () => await restored.PutAsync(Key, Key), Throws.TypeOf<FenceLostException>().With.Message.Contains("backup"));
    }

    /// <summary>Nothing is heard any more: the hold ends by this process's own clock, a tenth before the lease can, counted from when the last confirmed renewal was sent.</summary>
    [Test]
    public async Task A_hold_whose_renewals_are_not_confirmed_is_lost_in_time()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        FakeTimeProvider time = new();
        await using LoomHold hold = await new LoomLock(store, "jobs", new LoomLockOptions { TimeToLive = TimeSpan.FromSeconds(20), TimeProvider = time }).AcquireAsync();
        long proposals = node.Proposals;
        await StepAsync(time, TimeSpan.FromSeconds(7));
        await UntilAsync(() => node.Proposals == proposals + 1);
        await Task.Delay(50);
        node.Fault = _ => new RaftException(RaftErrorCode.NoQuorum, "cut off");

        // The renewal was sent at 6 and a bit more than half a second (a third of twenty seconds, in steps of half a second): it is trusted for eighteen.
        await StepAsync(time, TimeSpan.FromSeconds(17));
        Assert.That((hold.IsHeld, hold.Lost.IsCancellationRequested), Is.EqualTo((true, false)), hold.LostReason);
        await StepAsync(time, TimeSpan.FromSeconds(1.5));
        Assert.That((hold.IsHeld, hold.Lost.IsCancellationRequested), Is.EqualTo((false, true)));
        Assert.That(hold.LostReason, Does.Contain("confirmed in time").And.Contain("cut off"));

        // The cluster still has the lease: what counts for a write is what stands there. But it is not renewed any more.
        node.Fault = null;
        await hold.Store.PutAsync(Key, Key);
        proposals = node.Proposals;
        await StepAsync(time, TimeSpan.FromSeconds(20));
        Assert.That(node.Proposals, Is.EqualTo(proposals));
    }

    [Test]
    public async Task A_time_to_live_longer_than_a_timer_can_hold_is_no_error([Values(60, 36_500)] int days)
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await using LoomHold hold = await new LoomLock(store, "jobs", new LoomLockOptions { TimeToLive = TimeSpan.FromDays(days) }).AcquireAsync();
        Assert.That((hold.IsHeld, hold.Lost.IsCancellationRequested), Is.EqualTo((true, false)));
    }

    /// <summary>T1: that it counts suspension cannot be tried here; that it counts seconds can.</summary>
    [Test]
    public async Task The_clock_of_holds_counts_as_the_system_s_does()
    {
        Assert.That(BootTime.For(TimeProvider.System), Is.SameAs(BootTime.Instance));
        (long from, long began) = (BootTime.Instance.GetTimestamp(), TimeProvider.System.GetTimestamp());
        await Task.Delay(200);
        TimeSpan counted = BootTime.Instance.GetElapsedTime(from);
        Assert.That(counted, Is.EqualTo(TimeProvider.System.GetElapsedTime(began)).Within(TimeSpan.FromMilliseconds(100)));
        FakeTimeProvider tests = new();
        Assert.That(BootTime.For(tests), Is.SameAs(tests));
    }

    [Test]
    public async Task A_hold_that_is_renewed_goes_on()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        FakeTimeProvider time = new();
        await using LoomHold hold = await new LoomLock(store, "jobs", new LoomLockOptions { TimeProvider = time }).AcquireAsync();
        for (int second = 1; second <= 60; second++)
        {
            await StepAsync(time, TimeSpan.FromSeconds(1));
            node.ClusterTime = second * Second;
        }

        Assert.That((hold.IsHeld, hold.LostReason), Is.EqualTo((true, (string?)null)));
        await hold.DisposeAsync();
        Assert.That((hold.IsHeld, hold.Lost.IsCancellationRequested, hold.LostReason), Is.EqualTo((false, true, (string?)null)), "given back, not lost");
    }

    /// <summary>What passes is tried again, a few times; what does not is the caller's, and nothing stays behind.</summary>
    [Test]
    public async Task A_change_of_leader_on_the_way_is_ridden_out_and_no_quorum_is_not_waited_for_for_ever()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        int faults = 0;
        node.Fault = write => write && ++faults % 2 == 1 ? new RaftException(RaftErrorCode.LeaderChanged, "moved") : null;
        await using (LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync())
        {
            Assert.That(faults, Is.GreaterThanOrEqualTo(4), "grant and claim met one each");
        }

        node.Fault = _ => new RaftException(RaftErrorCode.NoQuorum, "gone");
        Assert.That(async () => await new LoomLock(store, "jobs").AcquireAsync(), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.NoQuorum));
        node.Fault = null;
        await NothingIsLeftAsync(store);
    }

    /// <summary>A claim that is lost while it waits begins again at the end of the line, by itself.</summary>
    [Test]
    public async Task A_claim_that_is_lost_while_it_waits_begins_again()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        LoomLock jobs = new(store, "jobs");
        LoomHold first = await jobs.AcquireAsync();
        Task<LoomHold> second = jobs.AcquireAsync().AsTask();
        for (int round = 0; round < 2; round++)
        {
            await UntilAsync(() => Claims(store) == 2);
            KeyValue waiting = store.Range(new RangeQuery(KeyRange.Prefix("jobs/"))).Pairs.Single(pair => pair.Lease != first.Lease);
            await store.Leases.RevokeAsync(waiting.Lease);
        }

        await UntilAsync(() => Claims(store) == 2);
        await first.DisposeAsync();
        await (await second).DisposeAsync();
        await NothingIsLeftAsync(store);
    }

    /// <summary>Waiters take up what a compaction took from them.</summary>
    [Test]
    public async Task Compactions_while_one_waits_change_nothing()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        LoomLock jobs = new(store, "jobs");
        LoomHold first = await jobs.AcquireAsync();
        Task<LoomHold> second = jobs.AcquireAsync().AsTask();
        await UntilAsync(() => Claims(store) == 2);
        for (int i = 0; i < 50; i++)
        {
            await store.CompactAsync(await store.PutAsync(Key, Key));
        }

        Assert.That(first.IsHeld);
        await first.DisposeAsync();
        await (await second).DisposeAsync();
    }

    [Test]
    public async Task A_store_that_closes_ends_its_holds_at_once()
    {
        LoomStore store = ImmediateNode.OpenStore();
        await using LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync();
        await store.DisposeAsync();
        await UntilAsync(() => hold.Lost.IsCancellationRequested);
        Assert.That(hold.LostReason, Does.Contain("LOOM1010"));
    }

    /// <summary>
    /// Goal: once a later holder has written, no earlier one does, and nothing stays behind, whatever happens. Method: contenders that give up at random and write whether or not they believe to hold it, while
    /// leases end, claims are deleted, history goes, proposals are refused or their answers are lost; the guarded key's whole history is read.
    /// </summary>
    [Test]
    public async Task Writes_under_a_lock_are_in_the_order_of_its_holders([Values(1, 2, 3)] int seed)
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node);
        using var over = new CancellationTokenSource();
        List<long> written = [];
        Task watching = Task.Run(async () =>
        {
            await foreach (WatchBatch batch in store.WatchAsync(KeyRange.Single(Key), new Revision(2), over.Token))
            {
                written.AddRange(batch.Events.Select(change => BitConverter.ToInt64(change.Pair.Value.Span)));
            }
        });
        using var rest = new CancellationTokenSource(TimeSpan.FromSeconds(2.5));
        int refused = 0;
        int held = 0;
        Task[] contenders = [.. Enumerable.Range(0, 5).Select(i => Task.Run(() => ContendAsync(new Random((seed * 100) + i))))];
        await ChaosAsync(new Random(seed));
        await Task.WhenAll(contenders);
        node.Fault = null;
        node.LostAnswer = null;
        TestContext.Out.WriteLine($"{held} holds, {written.Count} writes, {refused} refused");
        Assert.That(new[] { held, refused, written.Count }, Is.All.GreaterThan(3), "nothing happened");

        // What could not be revoked goes with its time.
        node.ClusterTime += 1000 * Second;
        await UntilAsync(() => Claims(store) == 0 && store.Leases.ListAsync().AsTask().GetAwaiter().GetResult().Ids.Count == 0);
        await over.CancelAsync();
        Assert.That(async () => await watching, Throws.InstanceOf<OperationCanceledException>());
        Assert.That(written, Is.Ordered);

        async Task ContendAsync(Random random)
        {
            while (!rest.IsCancellationRequested)
            {
                using var patience = new CancellationTokenSource(random.Next(5, 400));
                try
                {
                    await using LoomHold hold = await new LoomLock(store, "jobs").AcquireAsync(patience.Token);
                    Interlocked.Increment(ref held);
                    for (int i = random.Next(12); i >= 0; i--)
                    {
                        await Task.Delay(random.Next(3));
                        await WriteAsync(hold);
                    }

                    if (random.Next(3) == 0)
                    {
                        await hold.DisposeAsync();
                        await WriteAsync(hold);
                    }
                }
                catch (OperationCanceledException)
                {
                }
                catch (LoomException exception) when (exception is not FenceLostException)
                {
                }
                catch (FenceLostException)
                {
                    Interlocked.Increment(ref refused);
                }
            }
        }

        async Task WriteAsync(LoomHold hold)
        {
            try
            {
                await hold.Store.PutAsync(Key, BitConverter.GetBytes(hold.Token.Revision.Number));
            }
            catch (LoomException exception) when (exception is not FenceLostException)
            {
            }
        }

        async Task ChaosAsync(Random random)
        {
            while (!rest.IsCancellationRequested)
            {
                int luck = random.Next(4);
                node.Fault = write => write && luck == 1 && Random.Shared.Next(3) == 0 ? new RaftException(RaftErrorCode.LeaderChanged, "moved") : null;
                node.LostAnswer = () => luck == 2 && Random.Shared.Next(3) == 0 ? new RaftException(RaftErrorCode.DeadlineExceeded, "lost", WriteOutcome.Unknown) : null;
                await Task.Delay(random.Next(20));
                try
                {
                    switch (random.Next(8))
                    {
                        case 0:
                            node.ClusterTime += 100 * Second;
                            break;
                        case 1 when store.Range(new RangeQuery(KeyRange.Prefix("jobs/"))).Pairs is { Count: > 0 } claims:
                            await store.DeleteAsync(KeyRange.Single(claims[random.Next(claims.Count)].Key));
                            break;
                        case 2:
                            await store.CompactAsync(store.Status.Revision);
                            break;
                    }
                }
                catch (LoomException)
                {
                }
            }
        }
    }

    private static long Claims(LoomStore store) => store.Range(new RangeQuery(KeyRange.Prefix("jobs/")) { CountOnly = true }).Count;

    private static async Task NothingIsLeftAsync(LoomStore store)
    {
        Assert.That(Claims(store), Is.Zero);
        Assert.That((await store.Leases.ListAsync()).Ids, Is.Empty);
    }

    /// <summary>Moves the clock in small steps, and lets what it wakes run in between.</summary>
    private static async Task StepAsync(FakeTimeProvider time, TimeSpan by)
    {
        for (TimeSpan gone = TimeSpan.Zero; gone < by; gone += TimeSpan.FromSeconds(0.5))
        {
            time.Advance(TimeSpan.FromSeconds(0.5));
            await Task.Delay(10);
        }
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(20);
        while (!condition() && DateTime.UtcNow < until)
        {
            await Task.Delay(5);
        }

        Assert.That(condition());
    }
}
