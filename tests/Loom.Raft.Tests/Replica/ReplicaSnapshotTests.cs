using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>A replica whose entries have left the others' logs takes its state from one of them (S3, S4), and nobody who waits is told anything false (P3).</summary>
public sealed class ReplicaSnapshotTests
{
    [Test]
    public void A_member_that_was_away_takes_its_state_from_another_and_goes_on()
    {
        var cluster = Cutting();
        var away = Away(cluster);
        Assert.That(cluster.Leader!.Log.BaseIndex, Is.GreaterThan(away.Log.LastIndex));
        cluster.Heal();
        cluster.Until(() => away.Installed == 1 && away.Replica.Applied == cluster.Leader!.Replica.Applied);
        Assert.That(away.Machine.Seen, Is.EqualTo(cluster.Leader!.Machine.Seen));
        Assert.That(away.Replica.WantedSnapshot, Is.Null);
        Assert.That((away.Replica.CheckpointIndex, away.Replica.PreviousCheckpointIndex), Is.EqualTo((away.Log.BaseIndex, away.Log.BaseIndex)), "both checkpoints are the installed state (L9)");
        cluster.Settle(away);
        cluster.AssertEqual();
    }

    /// <summary>The write reached the leader before the member was cut off; its own apply never runs (P3).</summary>
    [Test]
    public void A_write_that_lies_under_the_snapshot_is_found_in_its_sessions()
    {
        var cluster = Cutting();
        cluster.WaitForLeader();
        var writer = cluster.Follower;
        cluster.Settle(writer);
        cluster.Lose = (_, to, message) => to == writer.Number && message is Message { Kind: MessageKind.Append };
        var request = writer.Propose(5);
        cluster.Until(() => cluster.Leader!.Machine.Seen.Contains(5));
        Away(cluster, writer);
        Assert.That(writer.CompletionOf(request), Is.Null);
        cluster.Lose = (_, _, _) => false;
        cluster.Heal();
        cluster.Until(() => writer.CompletionOf(request) is not null);
        var told = writer.CompletionOf(request)!.Value;
        Assert.That((told.Succeeded, told.Result.Deduplicated, told.Result.Outcome.Extra), Is.EqualTo((true, true, 5L)));
        Assert.That(writer.Installed, Is.EqualTo(1));
        Assert.That(writer.Machine.Seen.Count(n => n == 5), Is.EqualTo(1));
    }

    [Test]
    public void A_barrier_waits_until_the_state_is_there()
    {
        var cluster = Cutting();
        var away = Away(cluster);
        cluster.TransferTime = () => 2000;
        cluster.Heal();
        cluster.Until(() => away.Replica.WantedSnapshot is not null);
        var read = away.Read();
        cluster.Run(1000);
        Assert.That(away.CompletionOf(read), Is.Null);
        cluster.Until(() => away.CompletionOf(read) is not null);
        Assert.That(away.CompletionOf(read)!.Value.Index, Is.LessThanOrEqualTo(away.Replica.Applied));
        Assert.That(away.Installed, Is.EqualTo(1));
    }

    /// <summary>S3: a process that ended between the two would have the old log and the new state.</summary>
    [Test]
    public void The_applier_switches_only_when_the_place_in_the_log_is_flushed_and_a_crash_after_that_is_finished()
    {
        var cluster = Cutting();
        var away = Away(cluster);
        away.HoldDisk = true;
        cluster.Heal();
        cluster.Until(() => away.Log.BaseIndex > 0);
        cluster.Run(500);
        Assert.That((away.Installed, away.Replica.WantedSnapshot), Is.EqualTo((0, (long?)null)), "collected and not flushed");

        cluster.Kill(away);
        away = cluster.Restart(away);
        Assert.That(away.Log.BaseIndex, Is.Zero, "the former log");
        Assert.That(away.Machine.Disk.Whole, Is.Null, "and no trace of the snapshot");

        away.HoldApplier = true;
        cluster.Until(() => away.Log.BaseIndex > 0 && away.Log.DurableIndex >= away.Log.BaseIndex);
        cluster.Run(100);
        Assert.That(away.Installed, Is.Zero);
        cluster.Kill(away);
        var at = away.Log.BaseIndex;
        away = cluster.Restart(away);
        Assert.That((away.Log.BaseIndex, away.Replica.Applied), Is.EqualTo((at, at)), "the switch is made up for");
        cluster.Settle(away);
        cluster.AssertEqual();
    }

    /// <summary>S5: what is reported while the state is switched is of the one that goes; the one that comes is as healthy as its source.</summary>
    [Test]
    public void No_state_is_judged_while_it_is_switched()
    {
        var cluster = Cutting();
        var away = Away(cluster);
        away.HoldDisk = true;
        cluster.Heal();
        cluster.Until(() => away.Log.BaseIndex > 0);
        foreach (var node in cluster.Nodes)
        {
            away.Handle(new PeerMessage(new Message { Kind = MessageKind.StateReport, From = node.Id, To = away.Id, Term = away.Replica.CaptureStatus().Term, Index = 64, Context = node == away ? 1UL : 2UL }));
        }

        Assert.That((away.Replica.QuarantinedAt, away.Installed), Is.EqualTo((0L, 0)));
        away.HoldDisk = false;
        away.ResumeDisk();
        cluster.Until(() => away.Installed == 1);
        Assert.That(away.Replica.QuarantinedAt, Is.Zero);
        cluster.Settle(away);
        cluster.AssertEqual();
    }

    /// <summary>Its records are damaged beyond use, its log is not: it keeps its id and its vote, and takes a state at or above the log's base.</summary>
    [Test]
    public void A_member_that_gave_up_its_state_gets_another_one_under_its_old_log()
    {
        var cluster = Cutting();
        cluster.WaitForLeader();
        Write(cluster, 60);
        var node = cluster.Follower;
        cluster.Until(() => node.Log.BaseIndex > 0);
        cluster.Kill(node);
        node.Machine.Disk.Checkpoints.Clear();
        node = cluster.Restart(node);
        Assert.That((node.Replica.Applied, node.Replica.WantedSnapshot), Is.EqualTo((0L, (long?)node.Log.BaseIndex)));
        cluster.Until(() => node.Installed == 1);
        cluster.Settle(node);
        cluster.AssertEqual();
    }

    [Test]
    public void A_snapshot_that_does_not_help_is_given_back_with_the_reason()
    {
        var cluster = Cutting();
        var away = Away(cluster);
        var manifest = Captured(cluster.Leader!);
        Assert.That(Reason(cluster, cluster.Leader!, manifest), Does.Contain("none is needed"));
        cluster.TransferTime = () => 100_000;
        cluster.Heal();
        cluster.Until(() => away.Replica.WantedSnapshot is not null);
        var wanted = away.Replica.WantedSnapshot!.Value;
        Assert.That(Reason(cluster, away, manifest with { At = manifest.At with { Index = wanted - 1 } }), Does.Contain($"only one from entry {wanted} on helps"));
        Assert.That(Reason(cluster, away, manifest with { ClusterId = 6 }), Does.Contain("of cluster 6"));
        Assert.That(Reason(cluster, away, manifest with { At = manifest.At with { Section = new byte[] { 9 } } }), Does.Contain("cannot be read"));
        Assert.That(Reason(cluster, away, manifest), Is.Null);
        Assert.That(Reason(cluster, away, manifest), Does.Contain("another one is being installed"));
        away.Handle(IntakeStopped.Instance);
        Assert.That(Reason(cluster, away, manifest), Does.Contain("closing"));
    }

    /// <summary>Between the place in the log and the switch the state is older than the log's base: there is nothing to give.</summary>
    [Test]
    public void A_replica_that_stands_on_a_snapshot_it_has_not_switched_to_gives_none()
    {
        var cluster = Cutting();
        var away = Away(cluster);
        away.HoldDisk = true;
        cluster.Heal();
        cluster.Until(() => away.Log.BaseIndex > 0);
        CapturedSnapshot? captured = null;
        var answered = false;
        away.Handle(new CaptureRequested(c => (captured, answered) = (c, true)));
        cluster.Until(() => answered);
        Assert.That(captured, Is.Null);
        Assert.That(away.Replica.Failure, Is.Null);
    }

    private static ReplicaCluster Cutting() =>
        new(3, configure: o => o with { SnapshotCatchUpEntries = 5, SnapshotCatchUpBytes = 100, MaxRetainedBytes = 100 }) { CheckpointEvery = 3 };

    /// <summary>Cuts a follower off until the others' logs have gone on without it.</summary>
    private static ReplicaNode Away(ReplicaCluster cluster, ReplicaNode? node = null)
    {
        cluster.WaitForLeader();
        node ??= cluster.Follower;
        cluster.Isolate(node);
        Write(cluster, 60);
        cluster.Until(() => cluster.Nodes.Where(n => n != node).All(n => n.Log.BaseIndex > node.Log.LastIndex + 5));
        return node;
    }

    private static void Write(ReplicaCluster cluster, int count)
    {
        for (var i = 0; i < count; i++)
        {
            var request = cluster.Leader!.Propose(1000 + i);
            cluster.Until(() => cluster.Leader!.CompletionOf(request) is not null);
        }
    }

    private static SnapshotManifest Captured(ReplicaNode node)
    {
        CapturedSnapshot? captured = null;
        node.Handle(new CaptureRequested(c => captured = c));
        node.Handle(new StateCaptured(node.Applier.Capture(), c => captured = c));
        return captured!.Manifest;
    }

    /// <summary>Why it was given back, or null.</summary>
    private static string? Reason(ReplicaCluster cluster, ReplicaNode node, SnapshotManifest manifest)
    {
        var installation = node.Machine.BeginInstall(manifest.At, manifest.Header);
        return node.Replica.Step(cluster.Now, new SnapshotCollected(manifest, installation)).Discarded.Select(d => d.Reason).FirstOrDefault();
    }
}
