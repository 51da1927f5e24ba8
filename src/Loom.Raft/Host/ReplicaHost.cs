using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;
using Loom.Raft.Snapshots;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <summary>
/// Gives a replica its threads (N1): the loop (takes everything that has arrived, steps once over all of it, carries out the effects), the log writer, the applier,
/// and the transport's own. Before the cluster is formed the loop thread waits for formation and makes the log.
/// A failure of any thread ends the replica, never the process: it is in <see cref="RaftNodeStatus.Failure"/> and every caller is told.
/// </summary>
internal sealed partial class ReplicaHost : IPeerEvents, IDisposable
{
    private readonly HostSettings settings;
    private readonly RaftNodeOptions options;
    private readonly ILogger log;
    private readonly Func<long> now;
    private readonly Signal wake = new();
    private readonly Inbox inbox;
    private readonly MemberDirectory directory;
    private readonly IReplicatedStateMachine machine;
    private volatile ClusterFormation formation = null!;
    private volatile PeerTransport? transport;
    private readonly Thread loop;
    private readonly StatusBoard board;
    private readonly ReplicationLoad load;
    private readonly RaftMetrics metrics;
    private RecoveredLog? recovered;
    private ReplicaCore? replica;
    private LogWriterThread? writer;
    private ApplierThread? applier;
    private volatile SnapshotExchange? snapshots;
    private bool machineOpen;
    private volatile bool stopping;
    private volatile bool joined;

    /// <summary>Opens everything that can be refused now: directory, identity, log, address, machine. Nothing runs before <see cref="Start"/>.</summary>
    /// <exception cref="RaftException">CannotOpen or Corruption; the message says what to do.</exception>
    public ReplicaHost(HostSettings settings, IReplicatedStateMachine machine)
    {
        this.settings = settings;
        this.machine = machine;
        options = settings.Options;
        log = settings.Log;
        now = settings.Now;
        inbox = new Inbox(wake);
        load = new ReplicationLoad(now);
        directory = MemberDirectory.Open(settings.Files, options, settings.Seed, settings.AcquireDirectory);
        metrics = new RaftMetrics(options.Name);
        try
        {
            if (directory.Damage is null && directory.Identity.IsFormed) recovered = directory.OpenLog();
            if (recovered is not null) RecoveredCommit = Math.Max(recovered.CommitHint, recovered.Log.BaseIndex);
            board = new StatusBoard(directory.Identity.Id, Introduce());
            loop = NewThread("loom loop", Run);
            // A cluster of one is formed at once, and a formed one is opened here: what is wrong with them is the caller's to see, not the log's.
            if (recovered is null && formation.Decided is { } decided) recovered = Form(decided);
            if (recovered is not null && transport is null) BuildReplica(recovered);
        }
        catch
        {
            Release();
            throw;
        }
    }

    public StatusBoard Board => board;

    public CallRegistry<ProposalResult> ProposalCalls { get; } = new();

    public CallRegistry<long> ReadCalls { get; } = new();

    /// <summary>Few: who asks while a transfer is under way only joins it. A call that its caller left holds its place until it is answered.</summary>
    public CallRegistry<bool> TransferCalls { get; } = new(RaftNode.MaxTransferCalls);

    public long Now => now();

    public string? Obstacle => formation.Obstacle;

    public bool IsFormed => joined;

    /// <summary>Starts the threads. A formed member asks the others first whether its directory is still what they know of it, for an election timeout at most (E1).</summary>
    /// <exception cref="RaftException">Corruption: the directory is damaged or out of date, and the others cannot do without it now.</exception>
    public void Start(CancellationToken cancellationToken)
    {
        try
        {
            metrics.Observe(Status, () => board.LeaderChanges, () => ProposalCalls.Count);
            transport?.Start();
            if (replica is null && (recovered is not null || directory.Damage is not null)) TakePart(cancellationToken);
            loop.Start();
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>How far the log that was found here was known to be committed; 0: none was found.</summary>
    public long RecoveredCommit { get; }

    /// <summary>Status with what the connections know.</summary>
    public RaftNodeStatus Status()
    {
        RaftNodeStatus status = board.Status;
        PeerStatus[] peers = [.. board.Configuration.Members.Where(m => m.Id != status.MemberId).Select(m => PeerOf(m.Id, status))];
        return status with { Peers = peers, Obstacle = formation.Obstacle, Snapshot = snapshots?.Progress };
    }

    /// <summary>False: the inbox is full.</summary>
    public bool TryPost(ReplicaEvent happened, long bytes) => inbox.TryPost(happened, bytes);

    public void Post(ReplicaEvent happened) => inbox.Post(happened);

    void IPeerEvents.Received(Message message, int bytes) => inbox.PostWaiting(new PeerMessage(message), bytes);

    void IPeerEvents.Received(ForwardMessage message, int bytes) => inbox.PostWaiting(new PeerForward(message), bytes);

    void IPeerEvents.Heard(MemberId peer) => inbox.PostHeard(peer);

    void IPeerEvents.ProcessDied(MemberId peer) => inbox.Post(new PeerDied(peer));

    void IPeerEvents.LaneChanged(MemberId peer, LaneKind lane, bool up)
    {
        PeerLane kind = lane == LaneKind.Control ? PeerLane.Control : PeerLane.Forward;
        inbox.Post(up ? new PeerConnected(peer, kind) : new PeerDisconnected(peer, kind));
    }

    // Before there is a replica nobody gets this far: bulk lanes open between formed members.
    void IPeerEvents.Serve(BulkConnection connection) => snapshots?.Serve(connection);

    void IPeerEvents.Failed(Exception error) => inbox.Post(new HostFailed(error));

    private PeerStatus PeerOf(MemberId id, RaftNodeStatus status)
    {
        (bool connected, double rtt, double suspicion) = transport?.StatusOf(id) ?? (false, double.NaN, 0);
        PeerStatus? known = status.Peers.FirstOrDefault(p => p.Id == id);
        return new PeerStatus(id, connected, known?.Match ?? 0, double.IsNaN(rtt) ? known?.RttMilliseconds ?? double.NaN : rtt, suspicion) { Trouble = transport?.TroubleOf(id) ?? "" };
    }

    private Thread NewThread(string name, Action run) => new(() =>
    {
        try
        {
            run();
        }
        catch (Exception e)
        {
            inbox.Post(new HostFailed(e));
        }
    })
    {
        IsBackground = true,
        Name = name,
    };

    /// <summary>Opens the state. If there is none that the log goes on from, another member has one (S4): this one keeps its id and its log, votes, and takes a snapshot.</summary>
    private OpenedState OpenState(Applier apply, DurableLog from)
    {
        var origin = new StateOrigin(directory.Identity.ClusterId, directory.Identity.Id, from.BaseIndex, from.LastIndex);
        OpenedState opened;
        try
        {
            opened = apply.Open(origin);
        }
        catch (SnapshotNeededException e) when (transport is not null)
        {
            log.LogWarning("{Reason}. It is taken, and what is here is given up", e.Message);
            opened = apply.Open(origin with { StartOver = true });
        }
        machineOpen = true;
        try
        {
            CheckState(opened, from);
        }
        catch (SnapshotNeededException e) when (transport is not null)
        {
            log.LogWarning("{Reason}. It is taken", e.Message);
        }
        return opened;
    }

    private void BuildReplica(RecoveredLog from)
    {
        ulong incarnation = settings.Seed | 1;
        MemberIdentity identity = directory.Identity;
        Configuration current = from.Configurations[^1].Configuration;
        var apply = new Applier(machine, new SessionTable());
        OpenedState opened = OpenState(apply, from.Log);
        var core = new RaftCore(
            new RaftCoreOptions
            {
                Self = identity.Id,
                Incarnation = incarnation,
                Seed = settings.Seed ^ 0x5DEECE66D,
                HeartbeatNanoseconds = options.HeartbeatInterval.Ticks * 100,
                ElectionTimeoutNanoseconds = options.ElectionTimeout.Ticks * 100,
                MayVote = MayVote(current),
            },
            // What the checkpoint holds was committed (L9), whatever the hint knew.
            from.Log, from.HardState, Math.Max(from.CommitHint, opened.Index), from.Configurations, from.LastClusterTime, now());
        replica = new ReplicaCore(
            new ReplicaOptions
            {
                Id = identity.Id,
                Incarnation = incarnation,
                Seed = settings.Seed ^ 0xB5026F5AA96619E9,
                ClusterId = identity.ClusterId,
                HeartbeatInterval = options.HeartbeatInterval.Ticks * 100,
                ElectionTimeout = options.ElectionTimeout.Ticks * 100,
                MaxProposalBytes = options.MaxProposalBytes,
                SnapshotCatchUpEntries = options.SnapshotCatchUpEntries,
            },
            core, from.Log, opened);
        writer = new LogWriterThread(from.Log, inbox, metrics, NewThread);
        applier = new ApplierThread(apply, new CheckpointPace(now(), options.SnapshotCount), opened.CheckpointIndex, inbox, metrics, now, installation => snapshots?.Settled(installation), NewThread);
        if (transport is { } lanes)
        {
            string datacenter = (current.Find(identity.Id) ?? SelfByFlags(identity)).Datacenter;
            var limit = new SnapshotPace(options.SnapshotBytesPerSecond, () => load.IsHigh);
            snapshots = new SnapshotExchange(identity, datacenter, lanes, machine, inbox, board, limit, now, log, NewThread);
        }
        // In this order: whoever waits for formation is woken by the publication, and then finds the door open.
        joined = true;
        board.Publish(replica.CaptureStatus(), current);
    }
}
