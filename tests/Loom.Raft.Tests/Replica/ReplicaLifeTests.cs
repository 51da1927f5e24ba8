using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>A replica beside its proposals: barriers, disks and appliers that fail, what waits for a flush, hand-over and closing.</summary>
[TestFixture]
public sealed class ReplicaLifeTests
{
    [Test]
    public void A_barrier_sees_every_write_that_was_acknowledged_before_it_on_any_replica()
    {
        var cluster = new ReplicaCluster(3, standbys: 1);
        cluster.WaitForLeader();
        var lagging = cluster.Nodes[3];
        cluster.Settle(lagging);
        lagging.HoldApplier = true;
        var writer = cluster.Nodes.First(n => n != lagging && n != cluster.Leader);
        var write = writer.Propose(5);
        cluster.Until(() => writer.CompletionOf(write) is not null);
        var read = lagging.Read();
        cluster.Run(100);
        Assert.That(lagging.CompletionOf(read), Is.Null, "the write is not applied here");
        lagging.HoldApplier = false;
        lagging.ResumeApplier();
        cluster.Until(() => lagging.CompletionOf(read) is not null);
        Assert.That(lagging.CompletionOf(read)!.Value.Index, Is.GreaterThanOrEqualTo(writer.CompletionOf(write)!.Value.Result.Index));
        Assert.That(lagging.Machine.Seen, Does.Contain(5));
    }

    [Test]
    public void A_barrier_survives_lost_messages_and_a_leader_change()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Lose = (_, _, message) => message is Message { Kind: MessageKind.ReadIndex or MessageKind.ReadIndexResponse };
        var read = node.Read();
        cluster.Run(300);
        cluster.Lose = (_, _, _) => false;
        cluster.Kill(leader);
        cluster.Until(() => node.CompletionOf(read) is not null);
        Assert.That(node.CompletionOf(read)!.Value.Succeeded);
    }

    [Test]
    public void A_deposed_leader_serves_no_barrier()
    {
        var cluster = new ReplicaCluster(3);
        var old = cluster.WaitForLeader();
        cluster.Isolate(old);
        var read = old.Read(milliseconds: 1500);
        cluster.Run(2500);
        Assert.That(old.CompletionOf(read)!.Value.Error, Is.EqualTo(RaftErrorCode.DeadlineExceeded));
    }

    [Test]
    public void Nothing_is_said_or_acknowledged_after_a_disk_error()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        node.HoldApplier = true;
        var request = node.Propose(5);
        var read = node.Read();
        node.DiskError = new IOException("EIO");
        cluster.Until(() => node.Replica.Failure is not null);
        Assert.That(node.Replica.CaptureStatus().Role, Is.EqualTo("failed"));
        Assert.That((node.CompletionOf(request)!.Value.Error, node.CompletionOf(request)!.Value.Known), Is.EqualTo((RaftErrorCode.Failed, WriteOutcome.Unknown)));
        Assert.That(node.CompletionOf(read)!.Value.Error, Is.EqualTo(RaftErrorCode.Failed));
        var sent = node.MessagesSent;
        var durable = node.Log.DurableIndex;
        cluster.Run(3000);
        Assert.That(node.MessagesSent, Is.EqualTo(sent));
        Assert.That(node.Log.DurableIndex, Is.EqualTo(durable));
        Assert.That(node.CompletionOf(node.Propose(6))!.Value.Error, Is.EqualTo(RaftErrorCode.Failed));
        Assert.That(cluster.Leader, Is.Not.Null, "the others go on");
    }

    [Test]
    public void An_exception_in_apply_stops_the_replica()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Follower;
        node.Machine.Poison = 5;
        var request = node.Propose(5);
        cluster.Until(() => node.Replica.Failure is not null);
        Assert.That(node.Replica.CaptureStatus().Failure, Does.Contain("poison"));
        Assert.That(node.CompletionOf(request)!.Value.Known, Is.EqualTo(WriteOutcome.Unknown));
    }

    [Test]
    public void A_proposal_damaged_on_the_way_is_refused_and_sent_again()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        var node = cluster.Follower;
        cluster.Settle(node);
        var damaged = 0;
        cluster.Lose = (from, to, message) =>
        {
            if (message is not ForwardProposals proposals || damaged > 0)
            {
                return false;
            }

            damaged++;
            var body = proposals.Items[0].Body.ToArray();
            body[^1] ^= 1;
            cluster.Deliver(from, leader.Id, new ForwardProposals(proposals.From, proposals.To, [proposals.Items[0] with { Body = body }]));
            return true;
        };
        var request = node.Propose(5);
        cluster.Until(() => node.CompletionOf(request) is not null);
        Assert.That(damaged, Is.EqualTo(1));
        Assert.That(node.CompletionOf(request)!.Value.Succeeded);
        Assert.That(node.Machine.Seen, Is.EqualTo(new long[] { -1, 5 }));
    }

    [Test]
    public void Votes_and_matches_wait_for_the_flush()
    {
        var cluster = new ReplicaCluster(3);
        var leader = cluster.WaitForLeader();
        foreach (var node in cluster.Nodes.Where(n => n != leader))
        {
            node.HoldDisk = true;
        }

        var commit = leader.Replica.Core.Commit;
        var request = leader.Propose(5);
        cluster.Run(500);
        Assert.That(leader.Replica.Core.Commit, Is.EqualTo(commit), "both followers hold it, neither on disk");
        cluster.Nodes.First(n => n != leader).HoldDisk = false;
        cluster.Nodes.First(n => n != leader).ResumeDisk();
        cluster.Until(() => leader.CompletionOf(request) is not null);
    }

    [Test]
    public void Leadership_is_handed_to_a_named_member_or_to_the_best()
    {
        var cluster = new ReplicaCluster(3, standbys: 1);
        var leader = cluster.WaitForLeader();
        var target = cluster.Nodes.First(n => n != leader && n.Number < 3);
        Transfer(cluster, leader, cluster.Nodes[3].Id);
        Assert.That(leader.Transfers.Single().Error, Is.EqualTo(RaftErrorCode.BadTransferTarget), "a standby cannot lead");
        Transfer(cluster, target, leader.Id);
        Assert.That(target.Transfers.Single().Error, Is.EqualTo(RaftErrorCode.NotLeader));

        Transfer(cluster, leader, target.Id);
        cluster.Until(() => leader.Transfers.Count == 2);
        Assert.That(leader.Transfers[1].Error, Is.EqualTo((RaftErrorCode)0));
        Assert.That(cluster.Leader, Is.SameAs(target));

        Transfer(cluster, target, MemberId.None);
        cluster.Until(() => target.Transfers.Count == 2);
        Assert.That(cluster.Leader, Is.Not.SameAs(target));
        Assert.That(cluster.Leader!.Number, Is.LessThan(3));
    }

    [Test]
    public void A_closing_replica_refuses_new_calls_and_answers_the_old_ones()
    {
        var cluster = new ReplicaCluster(3);
        cluster.WaitForLeader();
        var node = cluster.Leader!;
        cluster.Settle(node);
        var running = node.Propose(5);
        node.Handle(IntakeStopped.Instance);
        Assert.That(node.CompletionOf(node.Propose(6))!.Value.Error, Is.EqualTo(RaftErrorCode.Stopped));
        Assert.That(node.CompletionOf(running), Is.Null);
        node.Handle(Closing.Instance);
        Assert.That((node.CompletionOf(running)!.Value.Error, node.CompletionOf(running)!.Value.Known), Is.EqualTo((RaftErrorCode.Stopped, WriteOutcome.Unknown)));
    }

    private static void Transfer(ReplicaCluster cluster, ReplicaNode from, MemberId to) =>
        from.Handle(new TransferRequested(new TransferRequest(to, cluster.Now + (5000 * ReplicaCluster.Millisecond), null)));
}
