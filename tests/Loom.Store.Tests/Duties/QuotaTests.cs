using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Duties;

/// <summary>The quota through the facade: refused before it is proposed, raised for all by an entry, and over by itself.</summary>
internal sealed class QuotaTests
{
    private const long Quota = 100_000;

    [Test]
    public async Task A_full_store_takes_deletes_and_compactions_and_is_open_again_by_itself()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out ImmediateNode node, new LoomOptions { QuotaBytes = Quota });
        int written = await FillAsync(store);
        Assert.That(written, Is.InRange(90, 97), "a thousand bytes each, and a little more");
        Assert.That(store.Status.Alarms, Is.EqualTo(new[] { new Alarm(AlarmKind.NoSpace, store.Status.Raft.MemberId.Value, IsAutomatic: true) }), "raised before the caller was answered");

        long proposals = node.Proposals;
        LoomException refused = (await Assert.ThrowsAsync<LoomException>(async () => await store.PutAsync("k0"u8.ToArray(), new byte[1])))!;
        Assert.That((refused.Code, refused.Outcome, node.Proposals), Is.EqualTo((LoomErrorCode.NoSpace, Raft.WriteOutcome.NotApplied, proposals)), "the log does not get longer by it");
        await Assert.ThrowsAsync<LoomException>(async () => await store.TransactAsync(t => t.When(new Compare(KeyRange.Single("a"u8.ToArray()), CompareTarget.Version, CompareResult.Greater)).Put("a"u8.ToArray(), new byte[1])));
        Assert.That(store.Get("k0"u8.ToArray()), Is.Not.Null);

        DeleteResult deleted = await store.DeleteAsync(new DeleteOperation(KeyRange.Prefix("k"u8.ToArray())));
        Assert.That(deleted.Deleted, Is.EqualTo(written));
        Assert.That((await Assert.ThrowsAsync<LoomException>(async () => await store.PutAsync("a"u8.ToArray(), new byte[1])))!.Code, Is.EqualTo(LoomErrorCode.NoSpace), "history is still there");
        await store.CompactAsync(deleted.Revision);
        await OpenAgainAsync(store);
        Assert.That(store.Status.Alarms, Is.Empty);
        Assert.That(await FillAsync(store), Is.InRange(90, 97), "and the same fits again");
    }

    [Test]
    public async Task A_put_that_alone_is_too_large_is_refused_and_raises_nothing()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _, new LoomOptions { QuotaBytes = Quota });
        LoomException refused = (await Assert.ThrowsAsync<LoomException>(async () => await store.PutAsync("a"u8.ToArray(), new byte[Quota])))!;
        Assert.That(refused.Message, Does.StartWith("LOOM1023").And.Contains("the quota is 100000"));
        Assert.That(store.Status.Alarms, Is.Empty);
        await store.PutAsync("a"u8.ToArray(), new byte[1000]);
    }

    [Test]
    public async Task Without_a_quota_nothing_is_refused()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _, new LoomOptions { QuotaBytes = -1 });
        await store.PutAsync("a"u8.ToArray(), new byte[1 << 20]);
        Assert.That(store.Status.QuotaBytes, Is.Zero);
        await using LoomStore other = ImmediateNode.OpenStore(out _, new LoomOptions());
        Assert.That(other.Status.QuotaBytes, Is.EqualTo(2L << 30), "etcd's");
    }

    /// <summary>Raised by a call, it stays, and stops what it should, until a call disarms it.</summary>
    [Test]
    public async Task An_operator_s_alarm_stays()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _);
        await store.RaiseAlarmAsync(AlarmKind.NoSpace, 0x1001);
        await Task.Delay(700);
        Assert.That(store.Status.Alarms, Has.Count.EqualTo(1));
        await Assert.ThrowsAsync<LoomException>(async () => await store.PutAsync("a"u8.ToArray(), new byte[1]));
        await store.DisarmAlarmAsync(AlarmKind.NoSpace, 0x1001);
        await store.PutAsync("a"u8.ToArray(), new byte[1]);
    }

    [Test]
    public async Task A_low_disk_refuses_puts_before_they_are_proposed_and_opens_again()
    {
        long free = 1L << 30;
        var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        var node = new ImmediateNode(machine);
        await using var store = new LoomStore(node, machine, new LoomOptions(), () => Volatile.Read(ref free));
        await store.PutAsync("a"u8.ToArray(), new byte[1]);
        Volatile.Write(ref free, 1000);
        await UntilAsync(() => store.Status.SpaceRefusal is not null && store.Status.Alarms.Count == 1);
        Assert.That(store.Status.Alarms[0].Kind, Is.EqualTo(AlarmKind.LowDisk));
        LoomException refused = (await Assert.ThrowsAsync<LoomException>(async () => await store.PutAsync("a"u8.ToArray(), new byte[1])))!;
        Assert.That(refused.Message, Does.Contain("default is short of disk").And.Contains("not applied"));
        await store.DeleteAsync(KeyRange.Single("a"u8.ToArray()));
        await store.CompactAsync(store.Status.Revision);
        Volatile.Write(ref free, 1L << 30);
        await UntilAsync(() => store.Status.Alarms.Count == 0);
        await store.PutAsync("a"u8.ToArray(), new byte[1]);
    }

    [Test]
    public async Task History_is_compacted_by_itself()
    {
        var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        var node = new ImmediateNode(machine);
        await using var store = new LoomStore(node, machine, new LoomOptions { AutoCompactionPeriod = TimeSpan.FromSeconds(1) });
        for (int i = 0; i < 20; i++)
        {
            await store.PutAsync("a"u8.ToArray(), new byte[] { (byte)i });
        }

        await UntilAsync(() => store.Status.CompactRevision > 0);
        long compacted = store.Status.CompactRevision;
        await store.PutAsync("a"u8.ToArray(), new byte[1]);
        await UntilAsync(() => store.Status.CompactRevision > compacted);
    }

    private static async Task<int> FillAsync(LoomStore store)
    {
        for (int i = 0; ; i++)
        {
            try
            {
                await store.PutAsync(System.Text.Encoding.ASCII.GetBytes($"k{i}"), new byte[1000]);
            }
            catch (LoomException exception) when (exception.Code == LoomErrorCode.NoSpace)
            {
                return i;
            }
        }
    }

    private static Task OpenAgainAsync(LoomStore store) => UntilAsync(() => store.Status.Alarms.Count == 0);

    private static async Task UntilAsync(Func<bool> holds)
    {
        for (int i = 0; !holds(); i++)
        {
            Assert.That(i, Is.LessThan(500), "not within five seconds");
            await Task.Delay(10);
        }
    }
}
