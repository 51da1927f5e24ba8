using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>The whole path on memory logs: every write reaches every replica once, and each caller learns exactly what is known.</summary>
public sealed class ReplicaTests
{
    [Test]
    public void Writes_of_every_member_are_applied_once_everywhere_and_in_one_order()
    {
        var cluster = new ReplicaCluster(voters: 3, standbys: 2);
        cluster.WaitForLeader();
        foreach (var node in cluster.Nodes)
        {
            for (var i = 0; i < 50; i++)
            {
                node.Propose((node.Number * 1000) + i);
            }
        }

        cluster.Until(() => cluster.Nodes.All(n => n.Proposals.Count == 50));
        cluster.Until(() => cluster.Nodes.All(n => n.Machine.Seen.Count == 250));
        Assert.That(cluster.Nodes.SelectMany(n => n.Proposals).All(p => p.Succeeded));
        Assert.That(cluster.Nodes[0].Machine.Seen, Is.Unique);
        cluster.AssertEqual();
        var one = cluster.Nodes[3].Proposals[7];
        Assert.That(one.Result.Result, Is.EqualTo($"answer {one.Request.Caller}"));
        Assert.That(cluster.Nodes[3].Replica.FindSettled(one.Id)!.Value.Result.Index, Is.EqualTo(one.Result.Index));
    }

    [Test]
    public void A_caller_is_answered_by_its_own_replicas_apply_and_by_nothing_else()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        node.HoldApplier = true;
        var request = node.Propose(5);
        cluster.Run(500);
        Assert.That(cluster.Leader!.Machine.Seen, Does.Contain(5));
        Assert.That(node.CompletionOf(request), Is.Null);

        node.HoldApplier = false;
        node.ResumeApplier();
        cluster.Run(5);
        Assert.That(node.CompletionOf(request)?.Succeeded, Is.True);
        Assert.That(node.Machine.Seen, Does.Contain(5), "read your writes");
    }

    [Test]
    public void Lost_proposals_and_lost_receipts_are_sent_again_and_applied_once()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var count = 0;
        cluster.Lose = (_, _, message) => message is ForwardMessage && count++ % 3 != 0;
        foreach (var node in cluster.Nodes)
        {
            for (var i = 0; i < 40; i++)
            {
                node.Propose((node.Number * 1000) + i);
                cluster.Run(3);
            }
        }

        cluster.Until(() => cluster.Nodes.All(n => n.Proposals.Count == 40 && n.Machine.Seen.Count == 120));
        Assert.That(cluster.Nodes.SelectMany(n => n.Proposals).All(p => p.Succeeded));
        Assert.That(cluster.Nodes[0].Machine.Seen, Is.Unique);
        cluster.AssertEqual();
    }

    [Test]
    public void A_leader_change_fails_nobody_and_doubles_nothing()
    {
        var cluster = new ReplicaCluster(3);
        var number = 0L;
        var requests = new List<(ReplicaNode Node, ProposalRequest Request)>();
        for (var round = 0; round < 4; round++)
        {
            var leader = cluster.WaitForLeader();
            for (var i = 0; i < 60; i++)
            {
                var node = cluster.Nodes[i % 3];
                requests.Add((node, node.Propose(number++)));
                cluster.Run(i % 2);
                if (i == 30)
                {
                    cluster.Isolate(leader);
                }
            }

            cluster.Run(2500);
            cluster.Heal();
        }

        cluster.Until(() => requests.All(r => r.Node.CompletionOf(r.Request) is not null));
        Assert.That(requests.Select(r => r.Node.CompletionOf(r.Request)!.Value.Error), Is.All.EqualTo((RaftErrorCode)0));
        cluster.Until(() => cluster.Nodes.All(n => n.Machine.Seen.Count == number));
        Assert.That(cluster.Nodes[1].Machine.Seen.Order(), Is.EqualTo(Enumerable.Range(0, (int)number).Select(n => (long)n)));
        cluster.AssertEqual();
    }

    [Test]
    public void A_killed_leader_comes_back_with_what_was_durable_and_catches_up()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        for (var i = 0; i < 30; i++)
        {
            cluster.Follower.Propose(i);
        }

        cluster.Run(4);
        cluster.Kill(leader);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        for (var i = 30; i < 60; i++)
        {
            node.Propose(i);
        }

        cluster.Restart(leader);
        cluster.Until(() => cluster.Nodes.All(n => n.Machine.Seen.Count == 60));
        Assert.That(cluster.Nodes[0].Machine.Seen, Is.Unique);
        cluster.AssertEqual();
    }

    [Test]
    public void Without_an_attempt_the_deadline_says_not_applied_and_it_never_is()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        cluster.Isolate(node);
        cluster.Run(2100);
        var request = node.Propose(5, milliseconds: 200);
        cluster.Run(250);
        var completion = node.CompletionOf(request)!.Value;
        Assert.That((completion.Error, completion.Known), Is.EqualTo((RaftErrorCode.DeadlineExceeded, WriteOutcome.NotApplied)));

        cluster.Heal();
        cluster.WaitForLeader();
        cluster.Settle(node);
        Assert.That(node.Machine.Seen, Does.Not.Contain(5));
    }

    [Test]
    public void A_write_that_was_sent_and_not_heard_of_is_unknown_and_is_settled_later()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        cluster.Lose = (_, to, message) => to == node.Number && message is ForwardReceipts or Message;
        var request = node.Propose(5, milliseconds: 100);
        cluster.Run(150);
        var completion = node.CompletionOf(request)!.Value;
        Assert.That((completion.Error, completion.Known), Is.EqualTo((RaftErrorCode.DeadlineExceeded, WriteOutcome.Unknown)));
        Assert.That(completion.Id.Session, Is.Positive);
        Assert.That(node.Replica.UnsettledProposals, Is.EqualTo(1));

        cluster.Lose = (_, _, _) => false;
        cluster.Until(() => node.Replica.UnsettledProposals == 0);
        Assert.That(node.Replica.FindSettled(completion.Id)!.Value.Applied, "a later question is answered with the outcome");
        Assert.That(node.Machine.Seen.Count(n => n == 5), Is.EqualTo(1));
    }

    [Test]
    public void An_entry_that_a_later_term_superseded_is_tried_again_and_applied_once()
    {
        var cluster = new ReplicaCluster(3);
        var old = cluster.WaitForLeader();
        cluster.Settle(old);
        cluster.Isolate(old);
        var request = old.Propose(5);
        cluster.Run(20);
        Assert.That(old.Log.LastIndex, Is.GreaterThan(old.Replica.Core.Commit), "it is in the old leader's log alone");
        cluster.Run(2500);
        cluster.Heal();
        cluster.Until(() => old.CompletionOf(request) is not null);
        Assert.That(old.CompletionOf(request)!.Value.Succeeded);
        cluster.Settle(old);
        Assert.That(old.Machine.Seen.Count(n => n == 5), Is.EqualTo(1));
    }

    [Test]
    public void A_superseded_entry_whose_caller_left_is_never_applied()
    {
        var cluster = new ReplicaCluster(3);
        var old = cluster.WaitForLeader();
        cluster.Settle(old);
        cluster.Isolate(old);
        var request = old.Propose(5, milliseconds: 500);
        cluster.Run(2500);
        Assert.That(old.CompletionOf(request)!.Value.Known, Is.EqualTo(WriteOutcome.Unknown), "it is in a log, so nobody can know yet");
        cluster.Heal();
        cluster.Until(() => old.Replica.UnsettledProposals == 0);
        cluster.Settle(old);
        Assert.That(cluster.Nodes.All(n => !n.Machine.Seen.Contains(5)));
    }

    [Test]
    public void A_superseded_entry_is_not_applied_at_its_deadline()
    {
        // Goal: P3's second half. The attempt is superseded while the caller waits, and no other attempt can be made before its deadline.
        var cluster = new ReplicaCluster(3);
        var old = cluster.WaitForLeader();
        cluster.Settle(old);
        cluster.Isolate(old);
        var request = old.Propose(5, milliseconds: 4000);
        cluster.Run(2500);
        cluster.Lose = (from, _, message) => from == old.Number && message is ForwardProposals;
        cluster.Heal();
        foreach (var other in cluster.Nodes)
        {
            old.Handle(new PeerDisconnected(other.Id, PeerLane.Forward));
        }

        cluster.Until(() => old.CompletionOf(request) is not null);
        Assert.That(old.CompletionOf(request)!.Value.Known, Is.EqualTo(WriteOutcome.NotApplied));
        cluster.Lose = (_, _, _) => false;
        cluster.Heal();
        cluster.Settle(old);
        Assert.That(cluster.Nodes.All(n => !n.Machine.Seen.Contains(5)));
    }

    [Test]
    public void More_writes_than_the_window_wait_their_turn_and_more_than_the_queue_are_refused()
    {
        var cluster = new ReplicaCluster(3, configure: o => o with { MaxWaitingProposals = 3000 });
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        var events = Enumerable.Range(0, 5000).Select(i => (ReplicaEvent)new ProposalRequested(
            new ProposalRequest(TallyMachine.Payload(i), cluster.Now + 60_000_000_000))).ToArray();
        node.Handle(events);
        Assert.That(node.Proposals, Has.Count.EqualTo(1 + 2000));
        Assert.That(node.Proposals.Skip(1).All(p => p.Error == RaftErrorCode.Overloaded && p.Known == WriteOutcome.NotApplied));
        Assert.That(node.Replica.UnsettledProposals, Is.EqualTo(3000));
        var reserved = node.Propose(9999, priority: ProposalPriority.Reserved);

        cluster.Until(() => node.Proposals.Count == 5002);
        Assert.That(node.Proposals.Count(p => p.Succeeded), Is.EqualTo(3002));
        Assert.That(node.CompletionOf(reserved)!.Value.Succeeded, "the reserve is for what frees space");
        cluster.Settle(node);
        Assert.That(node.Machine.Seen, Is.Unique);
    }

    [Test]
    public void Abandoned_writes_do_not_wedge_the_session()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        var leader = cluster.Leader!;
        leader.HoldDisk = true;
        cluster.Nodes.First(n => n != node && n != leader).HoldDisk = true;
        for (var i = 0; i < 1500; i++)
        {
            node.Propose(i, milliseconds: 50);
        }

        cluster.Run(200);
        Assert.That(node.Proposals.Skip(1).Count(p => p.Known == WriteOutcome.Unknown), Is.EqualTo(1024), "these are in the leader's log");
        Assert.That(node.Proposals.Skip(1).Count(p => p.Known == WriteOutcome.NotApplied), Is.EqualTo(1500 - 1024), "these never left");
        foreach (var each in cluster.Nodes)
        {
            each.HoldDisk = false;
            each.ResumeDisk();
        }

        cluster.Settle(node);
        Assert.That(node.Replica.UnsettledProposals, Is.Zero);
        Assert.That(node.Machine.Seen, Is.Unique);
    }

    [Test]
    public void Cancelling_stops_the_waiting_not_the_write()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Leader!;
        cluster.Settle(node);
        var request = node.Propose(5);
        node.Handle(new ProposalAbandoned(request));
        Assert.That(node.CompletionOf(request)!.Value.Known, Is.EqualTo(WriteOutcome.Unknown));
        cluster.Settle(node);
        Assert.That(node.Machine.Seen, Does.Contain(5));
        Assert.That(node.CompletionOf(request), Is.Not.Null, "and only once");
    }

    [Test]
    public void A_replica_that_lags_behind_refuses_writes_before_sending()
    {
        var cluster = new ReplicaCluster(3, configure: o => o with { MaxForwardLag = 20 });
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        node.HoldApplier = true;
        for (var i = 0; i < 40; i++)
        {
            cluster.Leader!.Propose(i);
        }

        cluster.Run(100);
        var request = node.Propose(100);
        Assert.That((node.CompletionOf(request)!.Value.Error, node.CompletionOf(request)!.Value.Known), Is.EqualTo((RaftErrorCode.Overloaded, WriteOutcome.NotApplied)));
    }

    [Test]
    public void Too_large_a_proposal_is_refused_at_once()
    {
        var cluster = new ReplicaCluster(1, configure: o => o with { MaxProposalBytes = 7 });
        var request = cluster.Nodes[0].Propose(1);
        Assert.That(cluster.Nodes[0].CompletionOf(request)!.Value.Error, Is.EqualTo(RaftErrorCode.TooLarge));
    }

    [Test]
    public void Calls_wait_for_a_new_leader_until_there_was_none_for_three_election_timeouts()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        foreach (var other in cluster.Nodes.Where(n => n != node))
        {
            cluster.Kill(other);
        }

        cluster.Run(1000);
        var early = node.Propose(5, milliseconds: 20_000);
        var earlyRead = node.Read(20_000);
        cluster.Run(2500);
        Assert.That(node.Replica.CaptureStatus().NoQuorum);
        Assert.That(node.CompletionOf(early), Is.Null, "pending ones keep their deadline");
        Assert.That(node.CompletionOf(earlyRead), Is.Null);
        var late = node.Propose(6, milliseconds: 20_000);
        var lateRead = node.Read(20_000);
        Assert.That((node.CompletionOf(late)!.Value.Error, node.CompletionOf(late)!.Value.Known), Is.EqualTo((RaftErrorCode.NoQuorum, WriteOutcome.NotApplied)));
        Assert.That(node.CompletionOf(lateRead)!.Value.Error, Is.EqualTo(RaftErrorCode.NoQuorum));

        cluster.Restart(leader);
        cluster.Until(() => node.CompletionOf(early) is not null && node.CompletionOf(earlyRead) is not null);
        Assert.That(node.CompletionOf(early)!.Value.Succeeded && node.CompletionOf(earlyRead)!.Value.Succeeded);
    }
}
