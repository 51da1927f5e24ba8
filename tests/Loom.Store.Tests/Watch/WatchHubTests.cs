using System.Text;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Tests.Machine;
using Loom.Store.Watch;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Watch;

/// <summary>The hub at its edges: what begins while something else ends, and what it keeps and charges.</summary>
internal sealed class WatchHubTests
{
    private LoomStateMachine machine = null!;
    private int applied;

    [SetUp]
    public void Open()
    {
        applied = 0;
        machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        machine.Open(default);
    }

    [TearDown]
    public void Close() => machine.Dispose();

    [Test]
    public void A_condemned_state_takes_no_watch()
    {
        machine.Condemn();
        Assert.That(() => machine.Watches.Add(All()), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(Faults.Condemned().Code));
        Assert.That(machine.Watches.Count, Is.Zero);
    }

    [Test]
    public void A_watch_that_was_removed_before_it_was_added_stays_away()
    {
        Watcher watcher = All();
        machine.Watches.Remove(watcher);
        Assert.That(() => machine.Watches.Add(watcher), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
        Assert.That(machine.Watches.Count, Is.Zero);
    }

    [Test]
    public void The_first_watch_signals_what_was_published_while_nobody_watched()
    {
        int signals = 0;
        machine.Watches.Published = () => signals++;
        Put("a", 1);
        Assert.That(signals, Is.Zero, "nobody watches");
        machine.Watches.Add(All());
        Assert.That(signals, Is.EqualTo(1));
    }

    [Test]
    public async Task Parts_of_a_revision_count_in_full_and_a_shared_one_once()
    {
        await using var stream = new LoomWatchStream(machine.Watches, () => { });
        IWatcherOwner owner = stream;
        var first = new PublishedRevision(2, [Event(3 << 20)]);
        Assert.That(owner.TryHold(first), Is.EqualTo(first.Bytes));
        Assert.That(owner.TryHold(first), Is.EqualTo(64));
        var part = new PublishedRevision(2, [Event(3 << 20)]);
        Assert.That(owner.TryHold(part), Is.EqualTo(part.Bytes));
        Assert.That(owner.TryHold(new PublishedRevision(2, [Event(3 << 20)])), Is.Negative, "there is no room for a third");
    }

    /// <summary>A delete of very many keys is larger than all that is kept: every watch, also one that it does not concern, would have to read it from the history otherwise.</summary>
    [TestCase(7, true)]
    [TestCase(9, false)]
    public void The_newest_revision_is_kept_though_it_is_larger_than_the_rest_may_be(int times, bool stays)
    {
        const int Most = 100_000;
        var recent = new RecentRevisions(16, Most);
        recent.Add([new PublishedRevision(1, [Event(10)]), new PublishedRevision(2, [Event(times * Most)])]);
        var copies = new PublishedRevision[2];
        Assert.That(recent.TryCopy(2, copies, out int count), Is.EqualTo(stays));
        Assert.That(count, Is.EqualTo(stays ? 1 : 0));
        Assert.That(recent.TryCopy(1, copies, out _), Is.False);
        recent.Add([new PublishedRevision(3, [Event(10)])]);
        Assert.That(recent.TryCopy(2, copies, out _), Is.False, "it went when the next came");
        Assert.That(recent.TryCopy(3, copies, out _), Is.True);
    }

    [TestCase(100, true)]
    [TestCase(100_000, false)]
    public void A_previous_pair_stays_with_the_event_only_where_it_is_small(int length, bool stays)
    {
        var owner = new Owner();
        var watcher = new Watcher(new WatchQuery(KeyRange.All) { PreviousPairs = true }, owner);
        machine.Watches.Add(watcher);
        Put("a", length);
        Put("a", 1);
        machine.Watches.Dispatch(10);
        Assert.That(machine.Watches.Read(watcher).Batch!.Events[1].Previous!.Value.Length, Is.EqualTo(length));
        Assert.That(owner.Held[1].Events[0].WithPrevious is not null, Is.EqualTo(stays));
    }

    [Test]
    public void A_batch_of_recent_revisions_is_bounded_and_nothing_is_lost_behind_it()
    {
        machine.Watches.Add(All());
        for (int i = 0; i < 30; i++)
        {
            Put("a", 100_000);
        }

        machine.Watches.Dispatch(100);
        var late = new Watcher(new WatchQuery(KeyRange.All) { From = new Revision(2) }, new Owner());
        machine.Watches.Add(late);
        long through = 1;
        while (through < 31)
        {
            WatchBatch batch = machine.Watches.Read(late).Batch!;
            Assert.That(batch.Events.Select(change => change.Pair.ModRevision), Is.EqualTo(Enumerable.Range((int)through + 1, batch.Events.Count)));
            Assert.That(batch.Events.Sum(change => change.Pair.Value.Length), Is.LessThanOrEqualTo(1 << 20));
            Assert.That(batch.Revision.Number, Is.EqualTo(through + batch.Events.Count));
            through = batch.Revision.Number;
        }
    }

    private static PublishedEvent Event(int length) => new(new WatchEvent(WatchEventKind.Put, new KeyValue("k"u8.ToArray(), new byte[length], 2, 2, 1, 0)));

    private void Put(string key, int length) => Apply(new PutCommand(new PutOperation(Encoding.UTF8.GetBytes(key), new byte[length])));

    private void Apply(Command command) => ModelTests.Apply(machine, [command], applied++, wantsResult: false);

    private static Watcher All() => new(new WatchQuery(KeyRange.All), new Owner());

    private sealed class Owner : IWatcherOwner
    {
        public List<PublishedRevision> Held { get; } = [];

        public void Ready(Watcher watcher)
        {
        }

        public long TryHold(PublishedRevision revision)
        {
            Held.Add(revision);
            return revision.Bytes;
        }

        public void Release(long bytes)
        {
        }
    }
}
