using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>E8, N3: a leader that cannot flush or apply while the others go on hands over; one that is no worse than the others stays.</summary>
[TestFixture]
public sealed class FitnessTests
{
    private const long ElectionTimeout = 1000 * ReplicaCluster.Millisecond;

    [Test]
    public void A_leader_whose_flush_hangs_while_the_others_commit_hands_over()
    {
        var cluster = new ReplicaCluster(3);
        var hung = cluster.WaitForLeader();
        hung.HoldDisk = true;
        var began = cluster.Now;
        cluster.Follower.Propose(1);
        cluster.Until(() => cluster.Leader is { } other && other != hung);
        Assert.That(cluster.Now - began, Is.GreaterThan(ElectionTimeout / 2).And.LessThan(ElectionTimeout), "a hand-over, not an election by time-out");

        // Writes go through a member that is well, and the old leader comes back when its disk does.
        var write = cluster.Leader!.Propose(2);
        cluster.Until(() => cluster.Leader!.CompletionOf(write) is { Succeeded: true });
        hung.HoldDisk = false;
        hung.ResumeDisk();
        cluster.Until(() => hung.Replica.Applied == cluster.Leader!.Replica.Applied);
    }

    [Test]
    public void Disks_that_all_hang_move_nobody()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        var term = leader.Replica.Core.Term;
        foreach (var node in cluster.Nodes)
        {
            node.HoldDisk = true;
        }

        var write = cluster.Follower.Propose(1);
        cluster.Run(5000);
        Assert.That((cluster.Leader, leader.Replica.Core.Term, leader.Replica.Core.Transferring), Is.EqualTo((leader, term, false)));
        foreach (var node in cluster.Nodes)
        {
            node.HoldDisk = false;
            node.ResumeDisk();
        }

        cluster.Until(() => cluster.Nodes.Any(n => n.CompletionOf(write) is { Succeeded: true }));
        Assert.That(leader.Replica.Core.Term, Is.EqualTo(term));
    }

    [Test]
    public void An_idle_leader_owes_nothing_to_its_disk()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        leader.HoldDisk = true;
        cluster.Run(20_000);
        Assert.That(cluster.Leader, Is.SameAs(leader));
    }

    [Test]
    public void A_leader_whose_applier_hangs_for_ten_seconds_hands_over()
    {
        var cluster = new ReplicaCluster(3);
        var stuck = cluster.WaitForLeader();
        stuck.HoldApplier = true;
        cluster.Follower.Propose(1);
        cluster.Run(9500);
        Assert.That(cluster.Leader, Is.SameAs(stuck));
        cluster.Until(() => cluster.Leader is { } other && other != stuck);
        var write = cluster.Leader!.Propose(2);
        cluster.Until(() => cluster.Leader!.CompletionOf(write) is { Succeeded: true });
    }

    [Test]
    public void A_leader_whose_flushes_are_slower_than_the_quorums_for_five_seconds_hands_over()
    {
        var cluster = new ReplicaCluster(3);
        var slow = cluster.WaitForLeader();
        slow.FlushMilliseconds = 200;
        var began = cluster.Now;
        WriteUntil(cluster, () => cluster.Leader is { } other && other != slow);
        Assert.That(cluster.Now - began, Is.InRange(5000 * ReplicaCluster.Millisecond, 8000 * ReplicaCluster.Millisecond));
    }

    [Test]
    public void Disks_that_are_slow_alike_move_nobody()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        foreach (var node in cluster.Nodes)
        {
            node.FlushMilliseconds = 200;
        }

        WriteUntil(cluster, () => cluster.Now > 20_000 * ReplicaCluster.Millisecond);
        Assert.That(cluster.Leader, Is.SameAs(leader));
    }

    [Test]
    public void A_leader_whose_slow_disk_is_needed_for_the_quorum_stays()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        leader.FlushMilliseconds = 200;
        cluster.Isolate(cluster.Nodes.First(n => n != leader));
        WriteUntil(cluster, () => cluster.Now > 20_000 * ReplicaCluster.Millisecond);
        Assert.That(cluster.Leader, Is.SameAs(leader));
    }

    /// <summary>A write every 10 ms, whatever became of the ones before.</summary>
    private static void WriteUntil(ReplicaCluster cluster, Func<bool> done)
    {
        for (long number = 1; !done(); number++)
        {
            cluster.Leader?.Propose(number);
            cluster.Run(10);
            Assert.That(number, Is.LessThan(5000), "it never came");
        }
    }
}
