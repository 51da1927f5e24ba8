using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Reads;

internal sealed class RevisionWaitersTests
{
    [Test]
    public void A_full_list_has_room_again_when_a_waiter_gives_up()
    {
        var waiters = new RevisionWaiters();
        RevisionWait[] all = [.. Enumerable.Range(0, RevisionWaiters.Limit).Select(_ => waiters.Wait(9)!)];
        Assert.That(waiters.Wait(9), Is.Null);
        foreach (RevisionWait wait in all)
        {
            waiters.Abandon(wait);
        }

        Assert.That(waiters.Count, Is.Zero);
        Assert.That(waiters.Wait(9), Is.Not.Null);
    }

    [Test]
    public void A_publication_releases_exactly_who_waits_for_it_or_less()
    {
        var waiters = new RevisionWaiters();
        RevisionWait[] waits = [.. new long[] { 5, 3, 5, 4, 6 }.Select(revision => waiters.Wait(revision)!)];
        waiters.Abandon(waits[2]);
        waiters.Release(5);
        waiters.Abandon(waits[0]);
        Assert.That(waits.Select(w => w.Task.IsCompletedSuccessfully), Is.EqualTo(new[] { true, true, false, true, false }));
        Assert.That(waiters.Count, Is.EqualTo(1));
        waiters.Close();
        Assert.That(waits[4].Task.IsCanceled, Is.True);
    }

    /// <summary>The facade gives the place back however a wait ends: by its time, its token, or the revision.</summary>
    [Test]
    public async Task A_read_that_times_out_or_is_cancelled_leaves_no_waiter()
    {
        using var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        await using var store = new LoomStore(new ImmediateNode(machine), machine, new LoomOptions { RequestTimeout = TimeSpan.FromMilliseconds(400) });
        ReadConsistency far = ReadConsistency.AtLeast(new Revision(99));
        Assert.That(async () => await store.GetAsync("k"u8.ToArray(), far), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.DeadlineExceeded));
        using (var cancelled = new CancellationTokenSource())
        {
            Task read = store.GetAsync("k"u8.ToArray(), far, cancelled.Token).AsTask();
            await cancelled.CancelAsync();
            Assert.That(async () => await read, Throws.InstanceOf<OperationCanceledException>());
        }

        Task<KeyValue?> next = store.GetAsync("k"u8.ToArray(), ReadConsistency.AtLeast(new Revision(2))).AsTask();
        await store.PutAsync("k"u8.ToArray(), "v"u8.ToArray());
        Assert.That(await next, Is.Not.Null);
        Assert.That(machine.Waiters.Count, Is.Zero);
    }
}
