using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Duties;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Simulation.Disk;
using Loom.Simulation.Engine;

namespace Loom.Simulation.Cluster;

/// <summary>
/// One process of a member: the real core, log, replica, applier and machine, and in place of ReplicaHost's threads three activities on the heap:
/// the loop (takes what has arrived, one step over all of it), the log writer (write, then flush, one batch at a time) and the applier.
/// A pause stops all of them, and the clock goes on.
/// </summary>
internal sealed class MemberProcess
{
    private readonly SimMember member;
    private readonly SimCluster cluster;
    private readonly SimRandom random;
    private readonly ReplicaCore replica;
    private readonly List<ReplicaEvent> inbox = [];
    private readonly Queue<object> works = new();
    private readonly List<SimMember.Ticket> tickets = [];
    private readonly CheckpointPace pace;
    private readonly List<PeerView> views = [];
    private long dutyAt;
    private long checkpointIndex;
    private bool checkpointing;
    private bool ended;
    private bool stepScheduled;
    private bool batchOut;
    private bool applying;
    private bool preparing;
    private bool paused;
    private bool applyPaused;
    private long wakeAt = long.MaxValue;
    private long pausedUntil;

    public MemberProcess(SimMember member, RecoveredLog recovered, SimClock clock, SimRandom random)
    {
        this.member = member;
        cluster = member.Cluster;
        this.random = random;
        Clock = clock;
        Log = recovered.Log;
        SimRandom disk = random.Split("checkpoints");
        member.Records.Later = act => After(disk.Tail(cluster.Swarm.CheckpointLatency), act);
        Machine = new SimMachine(cluster.ApplyLog, cluster.Watches, member.Number, member.Records) { HasSpace = () => member.Disk.CapacityBytes > 0 };
        Applier = new Applier(Machine, new SessionTable()) { Observer = (index, hash) => cluster.Checker.ObserveHash(member.Number, index, hash) };
        OpenedState opened = Open(new StateOrigin(SimCluster.ClusterId, member.Id, Log.BaseIndex, Log.LastIndex));
        checkpointIndex = opened.CheckpointIndex;
        pace = new CheckpointPace(clock.Now, cluster.Swarm.CheckpointEntries);
        if (opened.Index > 0)
        {
            cluster.Trace.Add(member.Number, "opens the checkpoint at {0}", opened.Index);
            cluster.Coverage.Restored++;
        }

        ulong incarnation = random.Next() | 1;
        Core = new RaftCore(
            new RaftCoreOptions
            {
                Self = member.Id,
                Incarnation = incarnation,
                Seed = random.Next(),
                HeartbeatNanoseconds = cluster.Swarm.Heartbeat,
                ElectionTimeoutNanoseconds = cluster.Swarm.ElectionTimeout,
                InflightMessages = cluster.Swarm.InflightMessages,
                AppendBytes = cluster.Swarm.AppendBytes,
                MayVote = member.MayVote,
                SnapshotPinNanoseconds = cluster.Swarm.PinFor,
            },
            Log, recovered.HardState, Math.Max(recovered.CommitHint, opened.Index), recovered.Configurations, recovered.LastClusterTime, clock.Now);
        replica = new ReplicaCore(
            new ReplicaOptions
            {
                Id = member.Id,
                Incarnation = incarnation,
                Seed = random.Next(),
                ClusterId = SimCluster.ClusterId,
                HeartbeatInterval = cluster.Swarm.Heartbeat,
                ElectionTimeout = cluster.Swarm.ElectionTimeout,
                SnapshotCatchUpEntries = cluster.Swarm.CatchUpEntries,
                SnapshotCatchUpBytes = cluster.Swarm.RetainedBytes,
                MaxRetainedBytes = cluster.Swarm.RetainedBytes,
                MaxPinnedBytes = cluster.Swarm.PinnedBytes,
            },
            Core, Log, opened);
        Snapshots = new SnapshotTraffic(member, this, random.Split("snapshots"));
    }

    /// <summary>The state on the disk; none, if the log begins behind all that is whole there: then a snapshot must come.</summary>
    private OpenedState Open(StateOrigin origin)
    {
        try
        {
            OpenedState opened = Applier.Open(origin);
            opened.Check(Log);
            cluster.Coverage.Finished += opened.Index > 0 && opened.Index == Log.BaseIndex && opened.PreviousCheckpointIndex == 0 ? 1 : 0;
            return opened;
        }
        catch (SnapshotNeededException need) when (member.HasLostState)
        {
            cluster.Trace.Add(member.Number, "begins without a state, and needs one from {0} on", need.MinIndex);
            return Applier.Open(origin with { StartOver = true });
        }
    }

    public SimClock Clock { get; }

    public DurableLog Log { get; }

    public RaftCore Core { get; }

    public Applier Applier { get; }

    public SimMachine Machine { get; }

    public SnapshotTraffic Snapshots { get; }

    /// <summary>As the replica knows it.</summary>
    public long Applied => replica.Applied;

    public bool AwaitsState => replica.Applied < Log.BaseIndex;

    public (long Newest, long Previous) Checkpoints => (replica.CheckpointIndex, replica.PreviousCheckpointIndex);

    public bool IsPaused => cluster.Scheduler.Now < pausedUntil;

    public void Start() => Post(Awake.Instance);

    public void End()
    {
        ended = true;
        Snapshots.End();
        Machine.Dispose();
        foreach (SimMember.Ticket ticket in tickets.Where(t => !t.IsDone))
        {
            ticket.IsDone = true;
            ticket.OnProcessEnd!();
        }
    }

    public void Pause(long duration)
    {
        cluster.Trace.Add(member.Number, "pauses for {0} ms", duration / Ns.Millisecond);
        pausedUntil = Math.Max(pausedUntil, cluster.Scheduler.Now + duration);
    }

    public void AddTicket(SimMember.Ticket ticket)
    {
        if (tickets.Count > 256)
        {
            tickets.RemoveAll(t => t.IsDone);
        }

        tickets.Add(ticket);
    }

    public void Post(ReplicaEvent happened)
    {
        if (ended)
        {
            return;
        }

        inbox.Add(happened);
        if (!stepScheduled)
        {
            stepScheduled = true;
            After(random.Between(1, 40) * Ns.Microsecond, Step);
        }
    }

    /// <summary>Runs later in this process: not at all once it has ended, and not while it is paused.</summary>
    private void After(long delay, Action action) => At(cluster.Scheduler.Now + delay, action);

    private void At(long time, Action action) => cluster.Scheduler.At(time, () =>
    {
        if (ended)
        {
            return;
        }

        if (cluster.Scheduler.Now < pausedUntil)
        {
            At(pausedUntil, action);
            return;
        }

        try
        {
            action();
        }
        catch (SimulatedCrashException)
        {
            // The disk was told to stop the machine inside of a file operation.
            member.End(MemberEnd.PowerCut);
        }
    });

    private void Step()
    {
        stepScheduled = false;
        ReplicaEvent[] events = [.. inbox];
        inbox.Clear();
        long begins = Log.BaseIndex;
        ReplicaEffects effects = replica.Step(Clock.Now, events);
        cluster.Coverage.Truncated += Log.BaseIndex > begins && !AwaitsState ? 1 : 0;
        if (effects.Failure is { } failure)
        {
            if (failure is SimulatedCrashException)
            {
                member.End(MemberEnd.PowerCut);
                return;
            }

            if (!member.HasDiskFailed)
            {
                throw new SimulationFailure("replica-failed", $"n{member.Number}: {failure}");
            }

            // Its callers still learn what is known (P3), then the process ends.
            Answer(effects, atOnce: true);
            member.End(MemberEnd.Failed);
            return;
        }

        cluster.Checker.Observe(member.Number);
        CarryOut(effects);
    }

    private void CarryOut(ReplicaEffects effects)
    {
        if (effects.StatusChanged)
        {
            cluster.Trace.Add(member.Number, "role {0}, term {1}, leader {2}", (int)Core.Role, Core.Term, (long)Core.Leader.Value & 0xFFF);
            if (Core.Role == RaftRole.Leader)
            {
                cluster.Nemesis.LeaderSeen(member, Core.Term);
            }
        }

        foreach (Message message in effects.Control)
        {
            cluster.Send(member, message);
        }

        foreach (ForwardMessage message in effects.Forward)
        {
            cluster.Send(member, message);
        }

        if (effects.LogWork)
        {
            WriteSoon();
        }

        foreach (ApplyWork work in effects.Apply)
        {
            works.Enqueue(work);
        }

        if (effects.Install is { } install)
        {
            works.Enqueue(install);
        }

        foreach (CaptureRequested capture in effects.Captures)
        {
            works.Enqueue(capture);
        }

        foreach (DiscardedSnapshot discarded in effects.Discarded)
        {
            cluster.Trace.Add(member.Number, "gives back the snapshot at {0}", discarded.Installation.At.Index);
            Snapshots.Settled(discarded.Installation);
        }

        if (effects.SnapshotWanted)
        {
            Snapshots.Want(replica.WantedSnapshot);
        }

        ApplySoon();
        RememberPeers();
        if (Core.Role == RaftRole.Leader && Clock.Now >= dutyAt)
        {
            dutyAt = Clock.Now + (2 * cluster.Swarm.Heartbeat);
            ReplaceMembers();
        }

        Wake(effects.NextWake);
        Answer(effects, atOnce: false);
    }

    /// <summary>What the host keeps of what the core knows of the others (E1).</summary>
    private void RememberPeers()
    {
        if (Core.Role != RaftRole.Leader)
        {
            member.Memory.Acknowledged(Core.Leader, Core.LeaderHolds);
            return;
        }

        Core.Peers(views);
        foreach (PeerView peer in views)
        {
            member.Memory.Acknowledged(peer.Id, Math.Min(peer.Match, Core.Commit));
            if (peer.Forgot && cluster.Members[cluster.NumberOf(peer.Id)] is { IsSpoiled: false, IsUp: true } other && other.Id == peer.Id)
            {
                throw new SimulationFailure("false-accusation", $"n{member.Number} believes that n{other.Number} has forgotten something");
            }
        }
    }

    /// <summary>The leader's duty (E1): newcomers are taken in, and take their predecessors' places.</summary>
    private void ReplaceMembers()
    {
        Configuration now = Core.Configuration;
        Member[] newcomers = [.. cluster.Members
            .Where(m => m != member && m.HasMoved && cluster.AreTogether(m, member) && now.Find(m.Id) is null)
            .Select(m => cluster.Initial.Members[m.Number] with { Id = m.Id, Incarnation = m.DataIncarnation, Role = MemberRole.Learner })];
        if (Replacement.Next(now, newcomers, views, member.Id, Log.LastIndex, 5 * cluster.Swarm.ElectionTimeout, Clock.Now) is { } change)
        {
            Post(new ConfigurationRequested(change.Configuration));
            return;
        }

        if (now.IsJoint || Core.Configurations[^1].Index > Core.Commit)
        {
            return;
        }

        foreach (PeerView peer in views)
        {
            SimMember other = cluster.Members[cluster.NumberOf(peer.Id)];
            if (other is { IsSpoiled: true, HasMoved: true, IsSeeking: false, IsUp: true, MayVote: true } && other.Id == peer.Id && now.Find(peer.Id)?.Role == other.Place.Role && peer.Match >= Core.Commit)
            {
                other.IsWhole();
            }
        }
    }

    private void Answer(ReplicaEffects effects, bool atOnce)
    {
        foreach (ProposalCompletion completion in effects.Proposals)
        {
            SimMember.Ticket ticket = (SimMember.Ticket)completion.Request.Caller!;
            Done(ticket, atOnce, () => ticket.Proposed!(completion));
        }

        foreach (ReadCompletion completion in effects.Reads)
        {
            SimMember.Ticket ticket = (SimMember.Ticket)completion.Request.Caller!;
            Done(ticket, atOnce, () => ticket.ReadDone!(completion));
        }
    }

    private void Wake(long local)
    {
        long at = Math.Max(Clock.ToReal(local), cluster.Scheduler.Now + Ns.Microsecond);
        if (at >= wakeAt && wakeAt > cluster.Scheduler.Now)
        {
            return;
        }

        wakeAt = at;
        At(at, () =>
        {
            if (wakeAt == at)
            {
                wakeAt = long.MaxValue;
                Post(Awake.Instance);
            }
        });
    }

    private void WriteSoon()
    {
        if (batchOut)
        {
            return;
        }

        batchOut = true;
        After(random.Between(1, 20) * Ns.Microsecond, () =>
        {
            LogBatch? batch = Log.TakeBatch();
            if (batch is null)
            {
                batchOut = false;
                return;
            }

            After(random.Tail(cluster.Swarm.WriteLatency), () => Write(batch));
        });
    }

    private void Write(LogBatch batch)
    {
        try
        {
            batch.Write();
        }
        catch (NoSpaceException error)
        {
            if (!paused)
            {
                cluster.Coverage.LogPauses++;
                Post(new LogPaused(error.Message));
            }

            paused = true;
            After(10 * Ns.Millisecond, () => Write(batch));
            return;
        }
        catch (IOException error)
        {
            Completed(batch, error);
            return;
        }

        if (paused)
        {
            paused = false;
            Post(new LogPaused(null));
        }

        long flush = random.Tail(cluster.Swarm.FlushLatency);
        if (!cluster.Network.Calm && random.Chance(cluster.Swarm.SlowFlush))
        {
            flush += cluster.Swarm.SlowFlushBy;
        }

        After(flush, () => Flush(batch));
    }

    private void Flush(LogBatch batch)
    {
        IOException? error = null;
        try
        {
            batch.Flush();
        }
        catch (IOException thrown)
        {
            error = thrown;
        }

        Completed(batch, error);
    }

    private void Completed(LogBatch batch, IOException? error)
    {
        batchOut = false;
        cluster.Trace.Add(member.Number, error is null ? "flushed batch {0}" : "failed to flush batch {0}", batch.Sequence);
        Post(new LogBatchCompleted(batch.Sequence, error));
        if (!preparing && random.Chance(0.2))
        {
            preparing = true;
            After(random.Tail(cluster.Swarm.FlushLatency), PrepareAhead);
        }
    }

    private void PrepareAhead()
    {
        preparing = false;
        try
        {
            if (Log.PrepareAhead())
            {
                preparing = true;
                After(random.Tail(cluster.Swarm.FlushLatency), PrepareAhead);
            }
        }
        catch (IOException error)
        {
            Post(new HostFailed(error));
        }
    }

    private void ApplySoon()
    {
        if (applying || !works.TryDequeue(out object? next))
        {
            return;
        }

        applying = true;
        switch (next)
        {
            case ApplyWork work:
                After(work.Entries.Count * random.Between(2, 20) * Ns.Microsecond, () => Apply(work));
                break;
            case InstallWork work:
                After(random.Between(1, cluster.Swarm.ElectionTimeout / 4), () => Switch(work));
                break;
            case CaptureRequested capture:
                applying = false;
                Post(new StateCaptured(Applier.Capture(), capture.Done));
                ApplySoon();
                break;
        }
    }

    private void Switch(InstallWork work)
    {
        if (checkpointing)
        {
            // The records that a checkpoint is being taken of go with the old state.
            After(Ns.Millisecond, () => Switch(work));
            return;
        }

        applying = false;
        SnapshotInstalled installed = Applier.Switch(work);
        cluster.Trace.Add(member.Number, "has switched to the state at {0}, hash {1:x}", installed.Opened.Index, (long)(ulong)installed.Opened.ApplyHash);
        cluster.Coverage.Installed++;
        member.StateReplaced();
        checkpointIndex = installed.Opened.CheckpointIndex;
        cluster.Checker.ObserveApplied(member.Number);
        Post(installed);
        Snapshots.Settled(work.Installation);
        ApplySoon();
    }

    private void Apply(ApplyWork work)
    {
        if (!Applier.TryReserve(work, out string? obstacle))
        {
            if (!applyPaused)
            {
                cluster.Coverage.ApplyPauses++;
                Post(new ApplyPaused(obstacle));
            }

            applyPaused = true;
            After(10 * Ns.Millisecond, () => Apply(work));
            return;
        }

        if (applyPaused)
        {
            applyPaused = false;
            Post(new ApplyPaused(null));
        }

        applying = false;
        AppliedBatch batch;
        try
        {
            batch = Applier.ApplyBatch(work);
        }
        catch (Exception error) when (error is not (SimulationFailure or SimulatedCrashException))
        {
            Post(new ApplyFailed(error));
            return;
        }

        cluster.Trace.Add(member.Number, "applied {0}..{1}, hash {2:x}", work.FirstIndex, batch.LastIndex, (long)(ulong)batch.ApplyHash);
        cluster.Checker.ObserveApplied(member.Number);
        Post(new BatchApplied(batch));
        pace.Applied(work.Entries.Count, work.Entries.Sum(entry => (long)entry.Body.Length));
        CheckpointIfDue();
        ApplySoon();
    }

    private void CheckpointIfDue()
    {
        if (checkpointing || !pace.IsDue(Clock.Now))
        {
            return;
        }

        long index = Applier.AppliedIndex;
        checkpointing = true;
        pace.Begun(Clock.Now);
        Applier.BeginCheckpoint(error =>
        {
            checkpointing = false;
            cluster.Trace.Add(member.Number, "has a checkpoint at {0}", index);
            cluster.Coverage.Checkpoints++;
            Post(error is null ? new CheckpointTaken(index, Math.Min(index, checkpointIndex)) : new HostFailed(error));
            checkpointIndex = Math.Max(index, checkpointIndex);
        });
    }

    /// <summary>Callers' code runs after the step, as it never runs on the loop's thread. An answer that the process did not live to give is none.</summary>
    private void Done(SimMember.Ticket ticket, bool atOnce, Action answer)
    {
        if (ticket.IsDone)
        {
            throw new SimulationFailure("completed-twice", $"n{member.Number} completed a caller twice");
        }

        ticket.IsDone = true;
        if (atOnce)
        {
            answer();
            return;
        }

        cluster.Scheduler.After(random.Between(1, 30) * Ns.Microsecond, () =>
        {
            if (ended)
            {
                ticket.OnProcessEnd!();
            }
            else
            {
                answer();
            }
        });
    }
}
