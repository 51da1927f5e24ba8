using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>How far the log is cut: the entries 1 to 1000 of 10 bytes each are in it, all applied, the checkpoint before the newest stands at 900.</summary>
public sealed class LogRetentionTests
{
    private const long Never = long.MaxValue;
    private static readonly ReplicaOptions Options = new() { Id = new MemberId(1), Incarnation = 1, Seed = 1, ClusterId = 1, SnapshotCatchUpEntries = 50, SnapshotCatchUpBytes = 2500, MaxRetainedBytes = 3000, MaxPinnedBytes = 6000 };
    private MemoryReplicaLog log = null!;

    [SetUp]
    public void SetUp()
    {
        log = new MemoryReplicaLog();
        log.Append([.. Enumerable.Range(1, 1000).Select(i => new Entry(i, 1, EntryKind.Command, i, new byte[10]))]);
        log.Completed(log.TakeBatch(), null);
    }

    [Test]
    public void Never_above_the_checkpoint_before_the_newest()
    {
        Assert.That(Limit(previous: 900), Is.EqualTo(900));
        Assert.That(Limit(previous: 0), Is.Zero, "with one checkpoint alone nothing is cut: it may turn out to be damaged");
        log.TruncateBelow(950);
        Assert.That(Limit(previous: 900), Is.EqualTo(950), "and never back");
    }

    [Test]
    public void A_tail_stays_for_members_a_little_behind_unless_it_is_large()
    {
        Assert.That(Limit(previous: 1000), Is.EqualTo(950));
        Assert.That(Limit(previous: 1000, options: Options with { SnapshotCatchUpEntries = 800 }), Is.EqualTo(750), "2500 bytes are 250 entries");
        Assert.That(Limit(previous: 600, options: Options with { SnapshotCatchUpEntries = 800 }), Is.EqualTo(600));
    }

    [Test]
    public void A_leader_keeps_what_a_member_that_it_hears_lacks_up_to_a_bound()
    {
        Assert.That(Limit(peers: [Peer(match: 800)]), Is.EqualTo(800));
        Assert.That(Limit(peers: [Peer(match: 800), Peer(match: 700), Peer(match: 999)]), Is.EqualTo(700));
        Assert.That(Limit(peers: [Peer(match: 699)]), Is.EqualTo(900), "3010 bytes: a snapshot is shorter");
        Assert.That(Limit(peers: [Peer(match: 800, heard: -10_000_000_001)]), Is.EqualTo(900), "silent for more than ten election timeouts");
        Assert.That(Limit(peers: [Peer(match: 0, needsSnapshot: true)]), Is.EqualTo(900), "what it needs has left the log already");
    }

    [Test]
    public void Of_a_member_that_is_probed_nothing_is_known()
    {
        log.TruncateBelow(750);
        Assert.That(Limit(peers: [Peer(match: 0, replicating: false)]), Is.EqualTo(750));
        Assert.That(Limit(peers: [Peer(match: 0, replicating: false)], options: Options with { MaxRetainedBytes = 2000 }), Is.EqualTo(900), "but it does not hold the log for ever");
    }

    [Test]
    public void A_snapshot_under_way_keeps_the_log_up_to_a_larger_bound()
    {
        log.TruncateBelow(300);
        Assert.That(Limit(pinned: 450), Is.EqualTo(450));
        Assert.That(Limit(pinned: 390), Is.EqualTo(900), "6100 bytes");
    }

    private long Limit(long previous = 900, ReplicaOptions? options = null, long pinned = Never, params PeerView[] peers) =>
        new LogRetention(options ?? Options).Limit(0, previous, 1000, log, peers, pinned);

    private static PeerView Peer(long match, long heard = 0, bool replicating = true, bool needsSnapshot = false) =>
        new(new MemberId(2), match, match + 1, heard, 0, replicating && !needsSnapshot, needsSnapshot, Forgot: false);
}
