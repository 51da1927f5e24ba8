using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Replica;
using Loom.Simulation.Checkers;
using Loom.Simulation.Engine;
using Loom.Simulation.History;
using Loom.Simulation.Network;

namespace Loom.Simulation.Cluster;

/// <summary>How often rare things happened: a long run in which one never did has not tested it.</summary>
internal sealed class Coverage
{
    public long Crashes { get; set; }

    public long PowerCuts { get; set; }

    public long CrashesInside { get; set; }

    public long Partitions { get; set; }

    public long Pauses { get; set; }

    public long FlushErrors { get; set; }

    public long FullDisks { get; set; }

    public long LogPauses { get; set; }

    public long ApplyPauses { get; set; }

    public long Refused { get; set; }

    public long Wiped { get; set; }

    public long Transfers { get; set; }

    /// <summary>Members that joined again under a new id, and those that took their old place.</summary>
    public long Joined { get; set; }

    public long Replaced { get; set; }

    /// <summary>Old copies of a disk that were put back, and found out.</summary>
    public long OldCopies { get; set; }

    /// <summary>A member began to lead while another one still thought that it led.</summary>
    public long TwoLeaders { get; set; }

    public long Checkpoints { get; set; }

    /// <summary>Processes that began with the state of a checkpoint.</summary>
    public long Restored { get; set; }

    /// <summary>Times that entries left a log behind a checkpoint.</summary>
    public long Truncated { get; set; }

    /// <summary>States that a member took from another one.</summary>
    public long Installed { get; set; }

    /// <summary>Transfers that went on where they had stopped.</summary>
    public long Resumed { get; set; }

    /// <summary>Installations that a process finished because the one before it had ended between the log's base and the switch.</summary>
    public long Finished { get; set; }

    /// <summary>Members that lost every usable checkpoint, and not their log.</summary>
    public long StatesLost { get; set; }

    /// <summary>Leases that ended by time, and those that lived on although somebody said that they shall end.</summary>
    public long LeasesEnded { get; set; }

    public long LeasesSpared { get; set; }

    public void Add(Coverage other)
    {
        Crashes += other.Crashes;
        PowerCuts += other.PowerCuts;
        CrashesInside += other.CrashesInside;
        Partitions += other.Partitions;
        Pauses += other.Pauses;
        FlushErrors += other.FlushErrors;
        FullDisks += other.FullDisks;
        LogPauses += other.LogPauses;
        ApplyPauses += other.ApplyPauses;
        Refused += other.Refused;
        Wiped += other.Wiped;
        Transfers += other.Transfers;
        Joined += other.Joined;
        Replaced += other.Replaced;
        OldCopies += other.OldCopies;
        TwoLeaders += other.TwoLeaders;
        Checkpoints += other.Checkpoints;
        Restored += other.Restored;
        Truncated += other.Truncated;
        Installed += other.Installed;
        Resumed += other.Resumed;
        Finished += other.Finished;
        StatesLost += other.StatesLost;
        LeasesEnded += other.LeasesEnded;
        LeasesSpared += other.LeasesSpared;
    }
}

/// <summary>All members of one simulated cluster, what lies between them, and who watches them.</summary>
internal sealed class SimCluster
{
    public const ulong ClusterId = 0x10011001;
    public const string LogDirectory = "disk/raft";

    private readonly Connections connections;
    private readonly SimRandom damage;
    private readonly SortedDictionary<MemberId, int> numbers = [];

    public SimCluster(ulong seed, TextWriter? verbose)
    {
        SimRandom random = new(seed);
        Swarm = Swarm.Draw(random.Split("swarm"));
        Scheduler = new Scheduler();
        Trace = new Trace(Scheduler, verbose);
        Network = new SimNetwork(Scheduler, random.Split("network"), Swarm.Network, [.. Swarm.Places.Select(p => p.Datacenter)]);
        Checker = new ClusterChecker(Scheduler, 1 + Swarm.ClockSkew, Swarm.Goal == PlacementGoal.TwoDatacenters, Swarm.ElectionTimeout);
        ApplyLog = new ApplyLog();
        History = new OperationHistory();
        Workload = new Workload(History, Swarm, ApplyLog);
        Members = [.. Swarm.Places.Select((place, i) => new SimMember(this, i, place, random.Split("member", (ulong)i)))];
        damage = random.Split("damaged proposals");
        connections = new Connections(this, random.Split("connections"));
        Network.StreamBroken = connections.Break;
        Network.LinkCut = connections.LinkCut;
        foreach (SimMember member in Members)
        {
            Checker.AddMember(member);
            numbers.Add(member.Id, member.Number);
        }

        Initial = new Configuration(
            Swarm.Goal,
            [.. Members.Select(m => new Member(
                m.Id, m.DataIncarnation, m.Place.Name, "dc" + (char)('a' + m.Place.Datacenter), m.Place.Role, [$"http://{m.Place.Name}:2380"], [$"http://{m.Place.Name}:2379"]))],
            []);
        Leases = new LeaseTraffic(this, random.Split("leases"));
        Nemesis = new Nemesis(this, random.Split("nemesis"));
        Clients = [.. Enumerable.Range(0, Swarm.Clients).Select(i => new SimClient(this, Workload, random.Split("client", (ulong)i), i, i % Members.Count))];
    }

    public Swarm Swarm { get; }

    public Scheduler Scheduler { get; }

    public Trace Trace { get; }

    public SimNetwork Network { get; }

    public ClusterChecker Checker { get; }

    public ApplyLog ApplyLog { get; }

    public WatchChecker Watches { get; } = new();

    public OperationHistory History { get; }

    public Workload Workload { get; }

    public IReadOnlyList<SimMember> Members { get; }

    public IReadOnlyList<SimClient> Clients { get; }

    public LeaseTraffic Leases { get; }

    public Configuration Initial { get; }

    public Nemesis Nemesis { get; }

    public Coverage Coverage { get; } = new();

    /// <summary>Small segments, so that their ends, recycling and restatements (L2, L6) are met often.</summary>
    public DurableLogOptions LogOptions => new()
    {
        SegmentBytes = Swarm.SegmentBytes,
        ZeroFillBytes = Swarm.SegmentBytes / 4,
        BatchBytes = 64 * 1024,
        TailBytes = 16 * 1024,

        // Few, where disks become full: a log that has two to spare hardly ever meets the end of them in the life of a seed.
        SpareSegments = Swarm.FullDiskEvery > 0 ? 1 : 2,
    };

    public bool WorkloadEnded { get; set; }

    public void Form()
    {
        foreach (SimMember member in Members)
        {
            member.Form(Initial);
        }
    }

    public void MemberStarted(SimMember member) => connections.MemberStarted(member.Number);

    public void MemberEnded(SimMember member, MemberEnd how)
    {
        connections.MemberEnded(member.Number, how);
        Nemesis.MemberEnded(member, how);
    }

    public void ResetConnection(int a, int b)
    {
        if (a != b)
        {
            connections.Break(a, b);
        }
    }

    public void Post(int number, ReplicaEvent happened)
    {
        if (Members[number].IsUp)
        {
            Members[number].Process.Post(happened);
        }
    }

    /// <summary>Consensus: a datagram, which may even reach the next life of its addressee.</summary>
    public void Send(SimMember from, Message message)
    {
        int to = NumberOf(message.To);
        if (message is { Kind: MessageKind.VoteResponse, Reject: false })
        {
            Checker.ObserveVote(from.Id.Value, message.Term, message.To.Value);
        }
        else if (message.Kind == MessageKind.Vote)
        {
            Checker.ObserveVote(from.Id.Value, message.Term, from.Id.Value);
        }

        if (message.Kind is not (MessageKind.PreVote or MessageKind.PreVoteResponse))
        {
            Checker.ObserveSent(from.Number, message.Term);
        }

        Message copy = Wire.Copy(message);
        Network.SendDatagram(from.Number, to, () =>
        {
            Trace.Add(to, "gets message {0} from n{1}: term {2}, index {3}", (int)copy.Kind, from.Number, copy.Term, copy.Index);
            Post(to, new PeerMessage(copy));
        });
    }

    /// <summary>Proposals and receipts: a stream between two processes.</summary>
    public void Send(SimMember from, ForwardMessage message)
    {
        int to = NumberOf(message.To);
        if (!connections.IsUp(from.Number, to))
        {
            Trace.Add(from.Number, "has no connection for a message to n{0}", to);
            return;
        }

        ForwardMessage copy = Damaged(Wire.Copy(message));
        int life = Members[to].Life;
        Network.SendStream(from.Number, to, () =>
        {
            if (Members[to].IsUp && Members[to].Life == life)
            {
                Trace.Add(to, "gets proposals or receipts from n{0}", from.Number);
                Members[to].Process.Post(new PeerForward(copy));
            }
        });
    }

    /// <summary>Rarely a bit of a proposal flips where no frame's checksum sees it (a bad memory): its own checksum must (L10).</summary>
    private ForwardMessage Damaged(ForwardMessage message)
    {
        if (Network.Calm || message is not ForwardProposals { Items.Count: > 0 } proposals || !damage.Chance(Swarm.DamagedProposals))
        {
            return message;
        }

        int hit = damage.Below(proposals.Items.Count);
        byte[] body = proposals.Items[hit].Body.ToArray();
        body[damage.Below(body.Length)] ^= (byte)(1 << damage.Below(8));
        return proposals with { Items = [.. proposals.Items.Select((item, i) => i == hit ? item with { Body = body } : item)] };
    }

    /// <summary>Whose machine it is: that of a member that joined again has had several ids.</summary>
    public int NumberOf(MemberId id) => numbers[id];

    /// <summary>A machine's disk has begun a new life (E1).</summary>
    public void HasJoined(SimMember member)
    {
        numbers.Add(member.Id, member.Number);
        Coverage.Joined++;
    }

    /// <summary>Both run, each hears the other, and they have shaken hands.</summary>
    public bool AreTogether(SimMember a, SimMember b) => a.IsUp && b.IsUp && AreLinked(a, b) && connections.IsUp(a.Number, b.Number);

    public bool AreLinked(SimMember a, SimMember b) => !Network.IsCut(a.Number, b.Number) && !Network.IsCut(b.Number, a.Number);
}
