using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>S5: a replica whose state is wrong is found within one exchange interval (64 entries here), and serves nothing from then on.</summary>
[TestFixture]
public sealed class QuarantineTests
{
    [Test]
    public void A_follower_that_applied_something_else_is_quarantined_within_one_interval_and_the_others_go_on()
    {
        var cluster = new ReplicaCluster(3) { HoldTransfers = true };
        var leader = cluster.WaitForLeader();
        var wrong = cluster.Follower;
        wrong.Machine.WrongFrom = 10;
        for (var number = 1; number <= 100; number++)
        {
            leader.Propose(number);
            cluster.Run(2);
        }

        cluster.Until(() => wrong.Replica.QuarantinedAt > 0);
        Assert.That(wrong.Replica.QuarantinedAt, Is.EqualTo(64));
        Assert.That(cluster.Nodes.Where(n => n != wrong).Select(n => (n.Replica.QuarantinedAt, n.Replica.StatesDifferAt)), Is.All.EqualTo((0L, 0L)));

        var (read, write) = (wrong.Read(), wrong.Propose(1000));
        Assert.That(wrong.CompletionOf(read)!.Value.Error, Is.EqualTo(RaftErrorCode.Corruption));
        Assert.That(wrong.CompletionOf(write)!.Value, Has.Property("Error").EqualTo(RaftErrorCode.Corruption).And.Property("Known").EqualTo(WriteOutcome.NotApplied));
        Assert.That(CanBeCaptured(cluster, wrong), Is.False, "nobody is filled from it");
        Assert.That(CanBeCaptured(cluster, leader), Is.True);
        var applied = wrong.Replica.Applied;
        var other = leader.Propose(1001);
        cluster.Until(() => leader.CompletionOf(other) is { Succeeded: true });
        cluster.Run(1000);
        Assert.That(wrong.Replica.Applied, Is.EqualTo(applied), "nothing is applied to a state that is known to be wrong");

        // A state of another member takes its place, while this one stays the member that it is.
        Assert.That(wrong.Replica.WantedSnapshot, Is.EqualTo(applied + 1));
        wrong.Machine.WrongFrom = long.MaxValue;
        cluster.HoldTransfers = false;
        cluster.Until(() => wrong.Installed == 1);
        Assert.That((wrong.Replica.QuarantinedAt, wrong.Replica.WantedSnapshot), Is.EqualTo((0L, (long?)null)));
        cluster.Settle(wrong);
        Assert.That(wrong.Machine.Seen, Is.EqualTo(leader.Machine.Seen));
        for (var number = 1; number <= 100; number++)
        {
            leader.Propose(2000 + number);
            cluster.Run(2);
        }

        Assert.That(cluster.Nodes.Select(n => n.Replica.QuarantinedAt), Is.All.Zero, "reports of the former state say nothing any more");
    }

    // Its own state ends where the others' does, and only a later one can take its place.
    [Test]
    public void In_an_idle_cluster_it_is_replaced_too()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        var wrong = cluster.Follower;
        cluster.Settle(wrong);
        wrong.Machine.WrongFrom = 10;
        long last = 0;
        for (var number = 1; last < 64; number++)
        {
            last = leader.Replica.Applied;
            leader.Propose(number);
            cluster.Until(() => cluster.Nodes.All(n => n.Machine.Seen.Contains(number)));
        }

        wrong.Machine.WrongFrom = long.MaxValue;
        cluster.Until(() => wrong.Installed == 1 && wrong.Replica.QuarantinedAt == 0);
        cluster.Settle(wrong);
        Assert.That(wrong.Machine.Seen, Is.EqualTo(leader.Machine.Seen));
        Assert.That(leader.Replica.Applied, Is.LessThan(last + 10), "it took no more entries than needed");
    }

    // Goal: a work that is with the applier when the state is found to be wrong answers nobody from it (S5). Method: the others' reports are held back until the write is there.
    [Test]
    public void What_is_in_flight_when_the_state_is_found_to_be_wrong_answers_nobody()
    {
        var cluster = new ReplicaCluster(3) { HoldTransfers = true };
        var leader = cluster.WaitForLeader();
        var wrong = cluster.Follower;
        var reports = new List<Message>();
        var own = cluster.Lose;
        cluster.Lose = (from, to, message) =>
        {
            if (to == wrong.Number && message is Message { Kind: MessageKind.StateReport } report)
            {
                reports.Add(report);
                return true;
            }

            return own(from, to, message);
        };
        wrong.Machine.WrongFrom = 10;
        cluster.Settle(wrong);
        for (var number = 1; number <= 100; number++)
        {
            leader.Propose(number);
            cluster.Run(2);
        }

        cluster.Until(() => reports.Count >= 2 && wrong.Machine.Seen.Contains(100));
        wrong.HoldApplier = true;
        var write = wrong.Propose(1000);
        cluster.Until(() => cluster.Nodes.All(n => n == wrong || n.Machine.Seen.Contains(1000)));
        cluster.Run(1000);
        reports.ForEach(report => wrong.Handle(new PeerMessage(report)));
        Assert.That(wrong.Replica.QuarantinedAt, Is.EqualTo(64));
        wrong.HoldApplier = false;
        wrong.ResumeApplier();
        cluster.Until(() => wrong.Machine.Seen.Contains(1000));
        Assert.That(wrong.CompletionOf(write), Is.Null);

        // The state that takes the wrong one's place answers it (P3).
        wrong.Machine.WrongFrom = long.MaxValue;
        cluster.HoldTransfers = false;
        cluster.Until(() => wrong.CompletionOf(write) is { Succeeded: true, Result.Deduplicated: true });
    }

    [Test]
    public void A_leader_that_applied_something_else_hands_over()
    {
        var cluster = new ReplicaCluster(3);
        var wrong = cluster.WaitForLeader();
        wrong.Machine.WrongFrom = 10;
        for (var number = 1; number <= 100; number++)
        {
            cluster.Leader?.Propose(number);
            cluster.Run(2);
        }

        cluster.Until(() => wrong.Replica.QuarantinedAt > 0 && cluster.Leader is { } next && next != wrong);
        var write = cluster.Leader!.Propose(1000);
        cluster.Until(() => cluster.Leader!.CompletionOf(write) is { Succeeded: true });
    }

    [Test]
    public void Where_no_majority_agrees_nobody_is_quarantined_and_everybody_says_so()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        for (var i = 0; i < 2; i++)
        {
            cluster.Nodes[i].Machine.WrongFrom = 10 + i;
        }

        for (var number = 1; number <= 100; number++)
        {
            leader.Propose(number);
            cluster.Run(2);
        }

        cluster.Until(() => cluster.Nodes.All(n => n.Replica.StatesDifferAt == 64));
        Assert.That(cluster.Nodes.Select(n => n.Replica.QuarantinedAt), Is.All.Zero);
    }

    private static bool CanBeCaptured(ReplicaCluster cluster, ReplicaNode node)
    {
        var refused = false;
        return node.Replica.Step(cluster.Now, new CaptureRequested(captured => refused = captured is null)).Captures.Count == 1 && !refused;
    }
}
