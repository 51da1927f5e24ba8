using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>
/// Replicas on memory logs under one clock and one queue of (time, order): deterministic, in virtual time. A message takes 1 ms, a flush 1 ms, an apply 0.1 ms.
/// Tests cut links, drop what they choose, stop appliers and disks, and kill members.
/// </summary>
internal sealed class ReplicaCluster
{
    public const long Millisecond = 1_000_000;

    private readonly PriorityQueue<Action, (long Time, long Order)> queue = new();
    private readonly SortedSet<(int, int)> cut = [];
    private long order;

    public ReplicaCluster(int voters, int standbys = 0, Func<ReplicaOptions, ReplicaOptions>? configure = null, int maxSessions = SessionTable.MaxSessions)
    {
        MaxSessions = maxSessions;
        Configure = configure ?? (o => o);
        var members = new List<Member>();
        for (var i = 0; i < voters + standbys; i++)
        {
            members.Add(new Member(new MemberId((ulong)i + 1), 1, $"m{i}", $"dc{i}", i < voters ? MemberRole.Voter : MemberRole.Standby, [], []));
        }

        Configuration = new Configuration(PlacementGoal.Majority, members, []);
        Nodes = new ReplicaNode[members.Count];
        for (var i = 0; i < Nodes.Length; i++)
        {
            Nodes[i] = new ReplicaNode(this, i, new MemoryReplicaLog(), new TallyDisk(), 1);
        }

        foreach (var node in Nodes)
        {
            Connect(node);
        }
    }

    public Func<ReplicaOptions, ReplicaOptions> Configure { get; }

    /// <summary>Fewer than there are processes: sessions end all the time.</summary>
    public int MaxSessions { get; }

    public Configuration Configuration { get; }

    public ReplicaNode[] Nodes { get; }

    /// <summary>Works between two checkpoints; 0: none is taken.</summary>
    public int CheckpointEvery { get; init; }

    /// <summary>Nobody gives snapshots.</summary>
    public bool HoldTransfers { get; set; }

    /// <summary>How long a snapshot takes from its source to its receiver, ms.</summary>
    public Func<long> TransferTime { get; set; } = () => 50;

    public long Now { get; private set; }

    /// <summary>True: the message is lost. Seen once per message, in sending order.</summary>
    public Func<int, int, object, bool> Lose { get; set; } = (_, _, _) => false;

    public ReplicaNode? Leader => Nodes.Where(n => n.Alive && n.Replica.Core.Role == RaftRole.Leader).MaxBy(n => n.Replica.Core.Term);

    public ReplicaNode Follower => Nodes.First(n => n.Alive && n != Leader);

    public ReplicaNode WaitForLeader()
    {
        Until(() => Leader is { } leader && leader.Replica.Applied > 0 && Nodes.All(n => !n.Alive || IsCut(n.Number) || n.Replica.Core.Leader == leader.Id));
        return Leader!;
    }

    public void Schedule(long delay, Action action) => queue.Enqueue(action, (Now + delay, order++));

    /// <summary>Runs until the condition holds, at most 60 s of virtual time.</summary>
    public void Until(Func<bool> condition)
    {
        var limit = Now + (60_000 * Millisecond);
        while (!condition())
        {
            if (Now > limit || !RunNext())
            {
                Assert.Fail("it did not happen within a minute of virtual time");
            }
        }
    }

    public void Run(long milliseconds)
    {
        var end = Now + (milliseconds * Millisecond);
        while (queue.TryPeek(out _, out var first) && first.Time <= end)
        {
            RunNext();
        }

        Now = end;
    }

    private bool RunNext()
    {
        if (!queue.TryDequeue(out var action, out var when))
        {
            return false;
        }

        Now = Math.Max(Now, when.Time);
        action();
        return true;
    }

    public void Deliver(int from, MemberId to, object message)
    {
        var target = (int)to.Value - 1;
        if (Lose(from, target, message) || cut.Contains((from, target)))
        {
            return;
        }

        Schedule(Millisecond, () =>
        {
            if (!cut.Contains((from, target)))
            {
                Nodes[target].Handle(message is Message m ? new PeerMessage(m) : new PeerForward((ForwardMessage)message));
            }
        });
    }

    /// <summary>One more write of this node goes through: its session is open, and everything before is settled.</summary>
    public void Settle(ReplicaNode node)
    {
        var request = node.Propose(-1 - node.Proposals.Count);
        Until(() => node.CompletionOf(request) is not null);
        Assert.That(node.CompletionOf(request)!.Value.Succeeded);
        Until(() => Nodes.All(n => !n.Alive || n.HoldApplier || n.Machine.Seen.Contains((long)request.Caller!)));
    }

    /// <summary>All that live agree on the state at every index.</summary>
    public void AssertEqual()
    {
        var all = Nodes.Where(n => n.Alive).ToArray();
        foreach (var node in all)
        {
            foreach (var (index, hash) in node.Hashes)
            {
                Assert.That(all[0].Hashes.GetValueOrDefault(index, hash), Is.EqualTo(hash), $"state at index {index}");
            }
        }
    }

    /// <summary>Gives a member the snapshot that it wants, from another one that has it and that it can reach; asks again as long as it wants one.</summary>
    public void Fetch(ReplicaNode receiver)
    {
        var sources = Nodes.Where(n => n != receiver && n.Alive && n.Replica.Failure is null && n.Replica.Applied >= receiver.Replica.WantedSnapshot
            && !cut.Contains((n.Number, receiver.Number))).ToArray();
        if (sources.Length == 0 || HoldTransfers)
        {
            if (!HoldTransfers && receiver.Replica.WantedSnapshot is { } index)
            {
                foreach (var asked in Nodes.Where(n => n != receiver && n.Alive && !cut.Contains((receiver.Number, n.Number))))
                {
                    asked.Handle(new LaterStateNeeded(index));
                }
            }

            var waiting = receiver.BeginTransfer();
            Schedule(20 * Millisecond, () => receiver.Receive(waiting, null));
            return;
        }

        var time = TransferTime() * Millisecond;
        var transfer = receiver.BeginTransfer();
        sources[order % sources.Length].Handle(new CaptureRequested(captured => Schedule(time, () => receiver.Receive(transfer, captured))));
        Schedule(time + (1000 * Millisecond), () => receiver.Receive(transfer, null));
    }

    private bool IsCut(int node) => cut.Count(pair => pair.Item1 == node) == Nodes.Length - 1;

    /// <summary>Cuts a member off, both ways; connections break.</summary>
    public void Isolate(ReplicaNode node)
    {
        foreach (var other in Nodes.Where(n => n != node))
        {
            cut.Add((node.Number, other.Number));
            cut.Add((other.Number, node.Number));
            node.Handle(new PeerDisconnected(other.Id, PeerLane.Forward));
            other.Handle(new PeerDisconnected(node.Id, PeerLane.Forward));
        }
    }

    public void Heal()
    {
        cut.Clear();
        foreach (var node in Nodes)
        {
            Connect(node);
        }
    }

    public void Kill(ReplicaNode node)
    {
        node.Alive = false;
        foreach (var other in Nodes.Where(n => n.Alive))
        {
            other.Handle(new PeerDisconnected(node.Id, PeerLane.Forward));
            other.Handle(new PeerDied(node.Id));
        }
    }

    public ReplicaNode Restart(ReplicaNode dead)
    {
        var node = new ReplicaNode(this, dead.Number, dead.Log.Reopen(), dead.Machine.Disk, dead.Replica.Options.Incarnation + 1);
        Nodes[dead.Number] = node;
        foreach (var each in Nodes.Where(n => n.Alive))
        {
            Connect(each);
        }

        return node;
    }

    private void Connect(ReplicaNode node)
    {
        foreach (var other in Nodes.Where(n => n != node && n.Alive && node.Alive))
        {
            node.Handle(new PeerConnected(other.Id, PeerLane.Forward));
        }
    }
}

/// <summary>One member with the driver's duties: disk, applier, clock.</summary>
internal sealed class ReplicaNode
{
    private readonly ReplicaCluster cluster;
    private readonly Queue<object> works = new();
    private bool flushing;
    private bool fetching;
    private int transfers;
    private int worksSinceCheckpoint;
    private bool applying;
    private long wakeAt = long.MaxValue;

    public ReplicaNode(ReplicaCluster cluster, int number, MemoryReplicaLog log, TallyDisk disk, ulong incarnation)
    {
        this.cluster = cluster;
        Number = number;
        Log = log;
        var options = cluster.Configure(new ReplicaOptions
        {
            Id = Id, Incarnation = incarnation, Seed = (ulong)number * 77, ClusterId = 5,
        });
        Machine = new TallyMachine(disk);
        Sessions = new SessionTable(cluster.MaxSessions, SessionTable.MaxOutcomes);
        Applier = new Applier(Machine, Sessions) { MarkInterval = 64, Observer = (index, hash) => Hashes[index] = hash };
        var opened = Open(new StateOrigin(5, Id, log.BaseIndex, log.LastIndex));
        var coreOptions = new RaftCoreOptions { Self = Id, Incarnation = incarnation, Seed = (ulong)number + 1 };
        var core = new RaftCore(
            coreOptions, log, log.HardState, Math.Max(log.CommitHint, opened.Index), log.Configurations(cluster.Configuration), log.LastClusterTime, cluster.Now);
        Replica = new ReplicaCore(options, core, log, opened);
        Handle(Awake.Instance);
    }

    public int Number { get; }

    public MemberId Id => new((ulong)Number + 1);

    public bool Alive { get; set; } = true;

    public MemoryReplicaLog Log { get; }

    public TallyMachine Machine { get; }

    /// <summary>States that took the place of this one.</summary>
    public int Installed { get; private set; }

    public SessionTable Sessions { get; }

    public Applier Applier { get; }

    public ReplicaCore Replica { get; }

    public SortedDictionary<long, UInt128> Hashes { get; } = [];

    public List<ProposalCompletion> Proposals { get; } = [];

    public List<ReadCompletion> Reads { get; } = [];

    public List<TransferCompletion> Transfers { get; } = [];

    public bool HoldApplier { get; set; }

    public bool HoldDisk { get; set; }

    public long FlushMilliseconds { get; set; } = 1;

    public Exception? DiskError { get; set; }

    public int MessagesSent { get; private set; }

    /// <summary>Writes acknowledged anywhere so far: noted by every read at its start.</summary>
    public Func<int> AcknowledgedCount { get; set; } = () => 0;

    public Action<long>? Acknowledged { get; set; }

    /// <summary>Told (acknowledged at the start, read index) of every barrier that holds.</summary>
    public Action<int, long>? ReadDone { get; set; }

    /// <summary>Proposes a number.</summary>
    public ProposalRequest Propose(long number, long milliseconds = 30_000, ProposalPriority priority = ProposalPriority.Normal)
    {
        var request = new ProposalRequest(TallyMachine.Payload(number), cluster.Now + (milliseconds * ReplicaCluster.Millisecond), priority, number);
        Handle(new ProposalRequested(request));
        return request;
    }

    public ReadRequest Read(long milliseconds = 30_000)
    {
        var request = new ReadRequest(cluster.Now + (milliseconds * ReplicaCluster.Millisecond), AcknowledgedCount());
        Handle(new ReadRequested(request));
        return request;
    }

    public ProposalCompletion? CompletionOf(ProposalRequest request)
    {
        var found = Proposals.Where(c => c.Request == request).ToList();
        Assert.That(found, Has.Count.LessThanOrEqualTo(1), "completed exactly once");
        return found.Count == 0 ? null : found[0];
    }

    public ReadCompletion? CompletionOf(ReadRequest request)
    {
        var found = Reads.Where(c => c.Request == request).ToList();
        Assert.That(found, Has.Count.LessThanOrEqualTo(1), "completed exactly once");
        return found.Count == 0 ? null : found[0];
    }

    public void Handle(params ReplicaEvent[] events)
    {
        if (!Alive)
        {
            return;
        }

        var effects = Replica.Step(cluster.Now, events);
        MessagesSent += effects.Control.Count;
        effects.Control.ForEach(m => cluster.Deliver(Number, m.To, m));
        effects.Forward.ForEach(m => cluster.Deliver(Number, m.To, m));
        Proposals.AddRange(effects.Proposals);
        Reads.AddRange(effects.Reads);
        Observe(effects);
        Transfers.AddRange(effects.Transfers);
        effects.Apply.ForEach(works.Enqueue);
        if (effects.Install is { } install)
        {
            works.Enqueue(install);
        }

        effects.Captures.ForEach(works.Enqueue);
        effects.Discarded.ForEach(d => d.Installation.Dispose());
        if (effects.SnapshotWanted)
        {
            FetchIfWanted();
        }

        AssertOrder();
        if (effects.NextWake < wakeAt || wakeAt <= cluster.Now)
        {
            wakeAt = effects.NextWake;
            if (wakeAt != long.MaxValue)
            {
                cluster.Schedule(Math.Max(0, wakeAt - cluster.Now), WakeUp);
            }
        }

        ResumeDisk();
        ResumeApplier();
    }

    /// <summary>L9, but for the time in which the log stands on a snapshot that the applier has not switched to, or that is still to come.</summary>
    private void AssertOrder()
    {
        if (Replica.Failure is not null || Replica.Applied < Log.BaseIndex)
        {
            return;
        }

        var previous = Replica.PreviousCheckpointIndex > 0 ? Replica.PreviousCheckpointIndex : Replica.CheckpointIndex;
        Assert.That(Log.BaseIndex, Is.LessThanOrEqualTo(previous), "logStart ≤ previous checkpoint");
        Assert.That(Replica.PreviousCheckpointIndex, Is.LessThanOrEqualTo(Replica.CheckpointIndex), "previous ≤ checkpoint");
        Assert.That(Replica.CheckpointIndex, Is.LessThanOrEqualTo(Replica.Applied), "checkpoint ≤ applied");
        Assert.That(Replica.Applied, Is.LessThanOrEqualTo(Math.Min(Replica.Core.Commit, Log.DurableIndex)), "applied ≤ min(committed, durable)");
    }

    /// <summary>The state on the disk; none, if that cannot be used and a snapshot must come.</summary>
    private OpenedState Open(StateOrigin origin)
    {
        try
        {
            var opened = Applier.Open(origin);
            opened.Check(Log);
            return opened;
        }
        catch (SnapshotNeededException)
        {
            return Applier.Open(origin with { StartOver = true });
        }
    }

    public void FetchIfWanted()
    {
        if (Alive && !fetching && Replica.WantedSnapshot is not null)
        {
            fetching = true;
            cluster.Schedule(0, () =>
            {
                fetching = false;
                if (Alive && Replica.WantedSnapshot is not null)
                {
                    fetching = true;
                    cluster.Fetch(this);
                }
            });
        }
    }

    public int BeginTransfer() => ++transfers;

    /// <summary>A snapshot arrives, or the source had none, or nothing was heard of it.</summary>
    public void Receive(int transfer, CapturedSnapshot? captured)
    {
        if (transfer != transfers)
        {
            return;
        }

        transfers++;
        fetching = false;
        if (!Alive || captured is null)
        {
            FetchIfWanted();
            return;
        }

        var (manifest, state) = captured;
        var installation = Machine.BeginInstall(manifest.At, manifest.Header);
        ReadOnlyMemory<byte> cursor = default;
        while (state.Read(cursor, 100) is { } chunk)
        {
            installation.Write(chunk);
            cursor = chunk.Cursor;
        }

        installation.Complete();
        Handle(new SnapshotCollected(manifest, installation));
        FetchIfWanted();
    }

    private void Observe(ReplicaEffects effects)
    {
        foreach (var completion in effects.Reads)
        {
            if (completion.Succeeded)
            {
                ReadDone?.Invoke((int)completion.Request.Caller!, completion.Index);
            }
        }

        foreach (var completion in effects.Proposals)
        {
            if (completion.Succeeded && completion.Request.Caller is long number)
            {
                Acknowledged?.Invoke(number);
            }
        }
    }

    private void WakeUp()
    {
        if (cluster.Now >= wakeAt)
        {
            Handle(Awake.Instance);
        }
    }

    public void ResumeDisk()
    {
        if (!flushing && !HoldDisk && Log.HasWork && Replica.Failure is null)
        {
            flushing = true;
            var sequence = Log.TakeBatch();
            cluster.Schedule(FlushMilliseconds * ReplicaCluster.Millisecond, () =>
            {
                flushing = false;
                Handle(new LogBatchCompleted(sequence, DiskError));
            });
        }
    }

    public void ResumeApplier()
    {
        if (!applying && !HoldApplier && works.TryDequeue(out var work))
        {
            applying = true;
            cluster.Schedule(ReplicaCluster.Millisecond / 10, () =>
            {
                applying = false;
                if (Alive)
                {
                    var done = ApplyNow(work);
                    CheckpointIfDue();
                    Handle(done);
                }
            });
        }
    }

    private void CheckpointIfDue()
    {
        if (cluster.CheckpointEvery == 0 || ++worksSinceCheckpoint < cluster.CheckpointEvery)
        {
            return;
        }

        var index = Applier.AppliedIndex;
        if (Applier.BeginCheckpoint(_ => Handle(new CheckpointTaken(index, Machine.Disk.Checkpoints.Count > 1 ? Machine.Disk.Checkpoints[0].At.Index : 0))))
        {
            worksSinceCheckpoint = 0;
            cluster.Schedule(cluster.TransferTime() * ReplicaCluster.Millisecond / 4, () =>
            {
                if (Alive)
                {
                    Machine.FinishCheckpoint();
                }
            });
        }
    }

    private ReplicaEvent ApplyNow(object work)
    {
        try
        {
            switch (work)
            {
                case ApplyWork apply:
                    return new BatchApplied(Applier.ApplyBatch(apply));
                case InstallWork install:
                    Installed++;
                    return Applier.Switch(install);
                default:
                    return new StateCaptured(Applier.Capture(), ((CaptureRequested)work).Done);
            }
        }
        catch (Exception error) when (error is not AssertionException)
        {
            return new ApplyFailed(error);
        }
    }
}
