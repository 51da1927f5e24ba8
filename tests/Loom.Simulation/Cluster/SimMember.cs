using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Raft.Replica;
using Loom.Raft.Transport;
using Loom.Simulation.Checkers;
using Loom.Simulation.Disk;
using Loom.Simulation.Engine;
using Loom.Store.Model;

namespace Loom.Simulation.Cluster;

/// <summary>Why a member is not running.</summary>
internal enum MemberEnd : byte
{
    /// <summary>kill -9: the page cache lives on.</summary>
    Killed,

    /// <summary>The machine lost power: unflushed blocks are lost or torn.</summary>
    PowerCut,

    /// <summary>It stopped itself: a flush failed (L1), or it found damage.</summary>
    Failed,
}

/// <summary>
/// One member: its machine (disk, clock) and at most one process on it (<see cref="MemberProcess"/>). What belongs to the machine survives the process.
/// </summary>
internal sealed class SimMember : IMemberView
{
    private readonly SimRandom random;
    private MemberProcess? process;
    private StartCount starts = StartCount.None;
    private ulong lastStarted;

    public SimMember(SimCluster cluster, int number, Place place, SimRandom random)
    {
        Cluster = cluster;
        Number = number;
        Place = place;
        this.random = random;
        Id = new MemberId(0x1000UL + (ulong)number);
        DataIncarnation = random.Next() | 1;
        Disk = new SimulatedDisk(random.Next());
    }

    public SimCluster Cluster { get; }

    public int Number { get; }

    public Place Place { get; }

    /// <summary>Of this life of its disk (E1).</summary>
    public MemberId Id { get; private set; }

    /// <summary>Of the identity file: one life of one data directory (E1).</summary>
    public ulong DataIncarnation { get; private set; }

    public SimulatedDisk Disk { get; private set; }

    /// <summary>The records directory: of each life the newest two checkpoints.</summary>
    public MemoryRecordDirectory Records { get; private set; } = new();

    /// <summary>Counts processes.</summary>
    public int Life { get; private set; }

    public bool IsUp => process is not null;

    /// <summary>How often this life of its disk was started.</summary>
    public ulong Starts => starts.Starts;

    /// <summary>What it remembers of the others (E1).</summary>
    public PeerMemory Memory { get; private set; } = new();

    /// <summary>Its disk is empty, and it has not joined the cluster again yet (E1).</summary>
    public bool IsSeeking { get; private set; }

    /// <summary>Its disk is not the one that the cluster was formed with: it comes back under another id.</summary>
    public bool HasMoved { get; private set; }

    /// <summary>The disk was damaged, or replaced by another one, and it is not whole again; such members stay a minority.</summary>
    public bool IsSpoiled { get; private set; }

    /// <summary>It lost every usable checkpoint of its state, and its log begins later: until it has a state of another member it counts as spoiled.</summary>
    public bool HasLostState { get; private set; }

    /// <summary>E1: false when it got past the handshake with a data incarnation that the configuration does not pin.</summary>
    public bool MayVote { get; private set; } = true;

    /// <summary>What was put aside of its disk, for a restoration that should not be.</summary>
    public OldCopy? Copy { get; private set; }

    /// <summary>An injected error was thrown at this process.</summary>
    public bool HasDiskFailed { get; private set; }

    public bool IsVoter => Place.Role == MemberRole.Voter;

    int IMemberView.Datacenter => Place.Datacenter;

    Configuration IMemberView.Configuration => Process.Core.Configuration;

    public MemberProcess Process => process ?? throw new InvalidOperationException($"n{Number} is down");

    IRaftLog IMemberView.Log => Process.Log;

    long IMemberView.ConfigurationIndex => Process.Core.Configurations[^1].Index;

    long IMemberView.Term => Process.Core.Term;

    bool IMemberView.IsLeader => IsLeader;

    public bool IsLeader => process is not null && process.Core.Role == RaftRole.Leader;

    long IMemberView.Commit => Process.Core.Commit;

    (long Newest, long Previous) IMemberView.Checkpoints => Process.Checkpoints;

    bool IMemberView.AwaitsState => Process.AwaitsState;

    long IMemberView.ClusterTime => Process.Core.ClusterTime;

    public long Applied => process?.Applier.AppliedIndex ?? 0;

    public UInt128 ApplyHash => process?.Applier.ApplyHash ?? default;

    private LogIdentity Identity => new(SimCluster.ClusterId, Id);

    /// <summary>Formation: every member writes the initial configuration as record 0 (N5). Nothing fails before it.</summary>
    public void Form(Configuration initial)
    {
        DurableLog.Create(Disk, SimCluster.LogDirectory, Identity, initial, random.Next(), Cluster.LogOptions).Log.Dispose();
    }

    public void Start()
    {
        if (process is not null || (IsSeeking && !TryJoin()))
        {
            return;
        }

        RecoveredLog recovered;
        try
        {
            recovered = Open();
        }
        catch (CorruptionException damage)
        {
            if (!IsSpoiled)
            {
                throw new SimulationFailure("false-damage", $"n{Number} refuses to start, but nothing was damaged: {damage.Message}");
            }

            Cluster.Trace.Add(Number, "puts its disk aside: its log is damaged");
            Cluster.Coverage.Refused++;
            Empty();
            Start();
            return;
        }

        starts = starts.Next(lastStarted);
        lastStarted = (ulong)Life + 1;
        if (Accusation(recovered.Log.LastIndex) is { } what)
        {
            recovered.Log.Dispose();
            if (!IsSpoiled)
            {
                throw new SimulationFailure("false-accusation", $"n{Number} has forgotten nothing, and is told: {what}");
            }

            Cluster.Trace.Add(Number, "puts its disk aside: it is an old copy");
            Cluster.Coverage.OldCopies++;
            Empty();
            Start();
            return;
        }

        Life++;
        HasDiskFailed = false;
        Cluster.Trace.Add(Number, "starts life {0}: log ends at {1}, term {2}", Life, recovered.Log.LastIndex, recovered.HardState.Term);
        if (random.Split("records", (ulong)Life).Chance(Cluster.Swarm.BadCheckpoint) && (recovered.Log.BaseIndex == 0 || Records.Whole.Count > 1))
        {
            Cluster.Trace.Add(Number, "has a damaged checkpoint");
            Records.SpoilNewest();
        }

        else if (recovered.Log.BaseIndex > 0 && random.Split("lost state", (ulong)Life).Chance(Cluster.Swarm.LostState) && Cluster.Nemesis.MaySpoil(this))
        {
            Cluster.Trace.Add(Number, "has lost its state");
            Cluster.Coverage.StatesLost++;
            HasLostState = true;
            Records.SpoilAll();
        }

        SimClock clock = new(Cluster.Scheduler, random.Between(0, 100_000) * Ns.Second, 1 + ((random.Double() - 0.5) * 2 * Cluster.Swarm.ClockSkew));
        process = new MemberProcess(this, recovered, clock, random.Split("process", (ulong)Life));
        Cluster.Checker.ObserveOpen(Number, recovered.HardState);
        process.Start();
        Cluster.MemberStarted(this);
    }

    /// <summary>A state of another member took the place of what it had.</summary>
    public void StateReplaced() => HasLostState = false;

    /// <summary>The process ends without a word.</summary>
    public void End(MemberEnd how)
    {
        if (process is null)
        {
            return;
        }

        Cluster.Trace.Add(Number, how switch
        {
            MemberEnd.Killed => "is killed",
            MemberEnd.PowerCut => "loses power",
            _ => "ends itself",
        });
        Cluster.Checker.ObserveEnd(Number);
        MemberProcess ended = process;
        process = null;
        Disk.Fault = null;
        ended.End();
        if (how == MemberEnd.Killed)
        {
            Disk.Kill();
        }
        else
        {
            // After a failed flush the kernel drops the dirty pages: for what the disk holds that is a power cut (L1).
            Disk.PowerCut();
        }

        Cluster.MemberEnded(this, how);
    }

    /// <summary>The machine loses power while no process runs.</summary>
    public void CutPowerWhileDown() => Disk.PowerCut();

    /// <summary>The disk is swapped for an empty one. E1: an empty directory never resumes an id.</summary>
    public void Wipe(bool pastTheGate)
    {
        Cluster.Trace.Add(Number, "gets an empty disk");
        IsSpoiled = true;
#if LOOM_MUTATIONS
        pastTheGate |= Raft.Diagnostics.Mutations.On("E1-emptied-directory-votes");
#endif
        if (!pastTheGate)
        {
            Empty();
            return;
        }

        // What the core does with one that got past the handshake: it receives entries, and neither votes nor campaigns.
        Renew();
        Cluster.Checker.ObserveWipe(Number);
        Form(Cluster.Initial);
        MayVote = false;
#if LOOM_MUTATIONS
        MayVote = Raft.Diagnostics.Mutations.On("E1-emptied-directory-votes");
#endif
    }

    /// <summary>Somebody copies the disk of the machine that is down.</summary>
    public void TakeCopy()
    {
        if (!IsUp && !IsSeeking && MayVote && !IsSpoiled)
        {
            Copy = new OldCopy(Disk.Clone(random.Next()), Id, starts, lastStarted);
        }
    }

    /// <summary>Somebody puts an old copy of the disk in the place of the present one: what the member promised since is not on it.</summary>
    public void Restore(OldCopy copy)
    {
        Cluster.Trace.Add(Number, "gets an old copy of its disk");
        IsSpoiled = true;
        (Disk, starts, lastStarted) = (copy.Disk, copy.Count, copy.LastStarted);
        Disk.CapacityBytes = long.MaxValue;
        Records = new MemoryRecordDirectory();
        Copy = null;
    }

    /// <summary>Two members have shaken hands: this one remembers the other (E1).</summary>
    public void Meet(SimMember other) => Memory.Learn(other.Hello(other.Process.Log.LastIndex));

    /// <summary>It has its old role under its new id in a committed configuration, and holds what was committed then.</summary>
    public void IsWhole()
    {
        IsSpoiled = false;
        Cluster.Coverage.Replaced++;
        Cluster.Trace.Add(Number, "is whole again");
    }

    /// <summary>Nothing of what the disk held is used any more.</summary>
    private void Empty()
    {
        Renew();
        HasMoved = IsSeeking = true;
        Cluster.Checker.ObserveNewLife(Number);
    }

    private void Renew()
    {
        Disk.Erase();
        Disk.CapacityBytes = long.MaxValue;
        Records = new MemoryRecordDirectory();
        HasLostState = false;
        DataIncarnation = random.Next() | 1;
        Memory = new PeerMemory();
        Copy = null;
        starts = StartCount.None;
    }

    /// <summary>What the handshakes with a cluster that has formed without this disk lead to: a new id, once a quorum of the others is heard.</summary>
    private bool TryJoin()
    {
        Rejoin rejoin = new(new MemberIdentity(new MemberId(1), DataIncarnation, Place.Name, "simulation", 0, 0), seeking: true);
        foreach (SimMember other in Cluster.Members.Where(m => m != this && m.IsUp && Cluster.AreLinked(this, m)))
        {
            rejoin.Hear(other.Hello(other.Process.Log.LastIndex));
        }

        // Without space there is no new log either; whoever supervises the process starts it again.
        if (rejoin.Decision is not { } decision || Disk.CapacityBytes < long.MaxValue)
        {
            Cluster.Scheduler.After(5 * Cluster.Swarm.Heartbeat, Start);
            return false;
        }

        Id = decision.Id;
        IsSeeking = false;
        Cluster.HasJoined(this);
        Cluster.Trace.Add(Number, "joins under a new id");
        Form(Cluster.Initial);
        return true;
    }

    /// <summary>What those say who hear it before it takes part.</summary>
    private string? Accusation(long lastIndex)
    {
        PeerHello hello = Hello(lastIndex) with { Process = (ulong)Life + 1 };
        foreach (SimMember other in Cluster.Members.Where(m => m != this && m.IsUp && Cluster.AreLinked(this, m)))
        {
            if (MayVote && other.Memory.Judge(hello) is { } what)
            {
                return what;
            }
        }

        return null;
    }

    private PeerHello Hello(long lastIndex)
    {
        KnownMembers known = new(Cluster.Initial);
        if (process is not null)
        {
            known.Adopt(process.Core.Configurations, process.Core.Commit);
        }

        return new PeerHello
        {
            Lane = LaneKind.Control, TokenHash = 0, ClusterId = SimCluster.ClusterId, Proposal = 0, From = Id, To = MemberId.None, Incarnation = DataIncarnation, Process = (ulong)Life,
            Name = Place.Name, Datacenter = "", Role = Place.Role, PeerUrls = [], ClientUrls = [], ConfigurationHash = 0, PinnedForYou = 0, Initial = Cluster.Initial.Members,
            Starts = Starts, Earlier = starts.Earlier, LastIndex = lastIndex, ConfigurationIndex = known.ClaimOf(Id), Current = known.Current,
            Leader = process is null || process.Core.NoQuorum(process.Clock.Now) ? MemberId.None : process.Core.Leader,
        };
    }

    /// <summary>Flips a bit somewhere in the segments: what a process that starts on it must notice, unless nothing ever reads there.</summary>
    public void Damage()
    {
        IsSpoiled = true;
        List<string> files = [.. Disk.ListFiles(SimCluster.LogDirectory).Select(f => SimCluster.LogDirectory + "/" + f)];
        string file = random.Pick(files);
        byte[] bytes = Disk.ReadAll(file);
        int used = bytes.AsSpan().LastIndexOfAnyExcept((byte)0) + 1;
        if (used > 0)
        {
            int offset = random.Below(used);
            Disk.FlipBit(file, offset, random.Below(8));
            Cluster.Trace.Add(Number, "has a bit flipped at offset {0}", offset);
        }
    }

    /// <summary>The next operation of this kind fails as a dying disk's does; the process must not outlive it (L1).</summary>
    public void FailDisk(DiskOperation operation)
    {
        Cluster.Trace.Add(Number, "has a failing disk");
        Disk.Fault = (what, path) =>
        {
            if (what == operation)
            {
                HasDiskFailed = true;
                throw new IOException($"Input/output error (errno 5) on {path}");
            }
        };
    }

    public Ticket Propose(byte[] payload, long patience, Action<ProposalCompletion> completed)
    {
        Ticket ticket = new() { Life = Life };
        ProposalRequest request = new(payload, Process.Clock.Now + patience, caller: ticket);
        (ticket.Proposal, ticket.Proposed) = (request, completed);
        Process.AddTicket(ticket);
        Process.Post(new ProposalRequested(request));
        return ticket;
    }

    public Ticket ReadBarrier(long patience, Action<ReadCompletion> completed)
    {
        Ticket ticket = new() { Life = Life };
        ReadRequest request = new(Process.Clock.Now + patience, ticket);
        (ticket.Read, ticket.ReadDone) = (request, completed);
        Process.AddTicket(ticket);
        Process.Post(new ReadRequested(request));
        return ticket;
    }

    public void Abandon(Ticket ticket)
    {
        if (process is not null && ticket.Life == Life && !ticket.IsDone)
        {
            Process.Post(ticket.Proposal is { } proposal ? new ProposalAbandoned(proposal) : new ReadAbandoned(ticket.Read!));
        }
    }

    public RangeResult Range(RangeQuery query) => Process.Machine.Range(query);

    private RecoveredLog Open() => DurableLog.Open(Disk, SimCluster.LogDirectory, Identity, random.Next(), Cluster.LogOptions);

    /// <summary>A disk as it was at the end of an earlier process.</summary>
    internal sealed record OldCopy(SimulatedDisk Disk, MemberId Id, StartCount Count, ulong LastStarted)
    {
        public ulong Starts => Count.Starts;
    }

    /// <summary>A caller's hold on what it asked of one process.</summary>
    internal sealed class Ticket
    {
        public required int Life { get; init; }

        public ProposalRequest? Proposal { get; set; }

        public ReadRequest? Read { get; set; }

        public Action<ProposalCompletion>? Proposed { get; set; }

        public Action<ReadCompletion>? ReadDone { get; set; }

        public Action? OnProcessEnd { get; set; }

        public bool IsDone { get; set; }
    }
}
