using Loom.Raft.Membership;
using Loom.Simulation.Engine;
using Loom.Simulation.Network;

namespace Loom.Simulation.Cluster;

/// <summary>A member as the seed places it.</summary>
internal readonly record struct Place(string Name, int Datacenter, MemberRole Role);

/// <summary>
/// Everything that a seed draws before it starts: topology, timings, disks, clocks, workload, and how often what goes wrong.
/// Each kind of fault is off in about half of the seeds (swarm testing): what is always on hides what is rare.
/// </summary>
internal sealed record Swarm
{
    public required IReadOnlyList<Place> Places { get; init; }

    public PlacementGoal Goal { get; init; }

    public long Heartbeat { get; init; }

    public long ElectionTimeout { get; init; }

    public required NetworkRates Network { get; init; }

    public long WriteLatency { get; init; }

    public long FlushLatency { get; init; }

    public double SlowFlush { get; init; }

    public long SlowFlushBy { get; init; }

    public int SegmentBytes { get; init; }

    public int InflightMessages { get; init; }

    public long AppendBytes { get; init; }

    public double ClockSkew { get; init; }

    public long SafetyPhase { get; init; }

    public int Clients { get; init; }

    public long ThinkTime { get; init; }

    public int WindowKeys { get; init; }

    public int MaxValueBytes { get; init; }

    /// <summary>Mean time between faults of a kind, ns; 0 = never.</summary>
    public long CrashEvery { get; init; }

    /// <summary>Share of crashes that cut the power: what was not flushed is lost or torn, block by block.</summary>
    public double PowerCut { get; init; }

    /// <summary>Share of crashes that take a whole datacenter, and all members.</summary>
    public double CrashDatacenter { get; init; }

    public double CrashAll { get; init; }

    public long DownFor { get; init; }

    public long PartitionEvery { get; init; }

    public long PartitionFor { get; init; }

    public long PauseEvery { get; init; }

    public long PauseFor { get; init; }

    public long ClogEvery { get; init; }

    public long FlushErrorEvery { get; init; }

    public long WipeEvery { get; init; }

    public long DamageEvery { get; init; }

    /// <summary>Mean time between old copies of a disk that are put back.</summary>
    public long OldCopyEvery { get; init; }

    public long TransferEvery { get; init; }

    public long ConfigureEvery { get; init; }

    /// <summary>Share of new leaders that are at once cut off from some members, and stopped soon after: their last entries are where logs part.</summary>
    public double HuntLeaders { get; init; }

    public double DamagedProposals { get; init; }

    /// <summary>Applied entries from checkpoint to checkpoint.</summary>
    public long CheckpointEntries { get; init; }

    /// <summary>How long the disk takes for a checkpoint, on average.</summary>
    public long CheckpointLatency { get; init; }

    /// <summary>Share of starts at which the newest checkpoint of the records turns out to be damaged, and the one before must do.</summary>
    public double BadCheckpoint { get; init; }

    /// <summary>Applied entries that stay in a log; few, so that who was away for a moment needs a snapshot, or so many that nobody ever does.</summary>
    public long CatchUpEntries { get; init; }

    /// <summary>Bytes of log kept for members behind, and for one that collects a snapshot.</summary>
    public long RetainedBytes { get; init; }

    public long PinnedBytes { get; init; }

    public long PinFor { get; init; }

    /// <summary>Bytes of a snapshot's chunk.</summary>
    public int ChunkBytes { get; init; }

    /// <summary>Share of starts at which a member behind whose checkpoints entries have left the log finds none of them whole.</summary>
    public double LostState { get; init; }

    /// <summary>Mean time between resets of a random connection.</summary>
    public long ResetEvery { get; init; }

    /// <summary>Mean time between two proposals about leases; 0: there are none.</summary>
    public long LeaseEvery { get; init; }

    /// <summary>Mean time between disks that become full.</summary>
    public long FullDiskEvery { get; init; }

    public long FullDiskFor { get; init; }

    public int Voters => Places.Count(p => p.Role == MemberRole.Voter);

    public static Swarm Draw(SimRandom random)
    {
        IReadOnlyList<Place> places = DrawPlaces(random);
        bool several = places.Where(p => p.Role == MemberRole.Voter).Select(p => p.Datacenter).Distinct().Count() > 1;
        long election = random.Pick<long>([50, 100, 100, 200, 300, 1000]) * Ns.Millisecond;
        NetworkRates network = NetworkRates.Draw(random, election);
        SimRandom checkpoints = random.Split("checkpoints");
        SimRandom copies = random.Split("old copies");
        SimRandom snapshots = random.Split("snapshots");
        SimRandom leases = random.Split("leases");
        long safety = (random.Between(20, 60) * election) + (random.Between(1, 3) * Ns.Second);
        return new Swarm
        {
            Places = places,
            Goal = several && random.Chance(0.25) ? PlacementGoal.TwoDatacenters : PlacementGoal.Majority,
            ElectionTimeout = election,
            Heartbeat = election / 10,
            Network = network,
            WriteLatency = random.Between(5, 100) * Ns.Microsecond,
            FlushLatency = random.Between(100, election / 20 / Ns.Microsecond) * Ns.Microsecond,
            SlowFlush = random.Chance(0.3) ? random.Double() * 0.05 : 0,
            SlowFlushBy = random.Between(10, 400) * Ns.Millisecond,
            SegmentBytes = random.Pick([64, 128, 256, 1024]) * 1024,
            // A wide window over a network that reorders is answered by refusals, each of which makes the leader send the window again. Lanes are TCP: it is no setting to live in.
            InflightMessages = network.Reorder > 0 ? random.Pick([1, 4]) : random.Pick([1, 4, 256]),
            AppendBytes = random.Pick([200L, 4096L, 256L << 10]),
            // Far beyond real crystals in some seeds: only grants may lean on clock rates (G1), ReadIndex and elections must not.
            ClockSkew = random.Chance(0.5) ? random.Double() * (random.Chance(0.6) ? 0.4 : 0.05) : 0,
            SafetyPhase = Math.Min(safety, 8 * Ns.Second),
            Clients = (int)random.Between(2, 8),
            ThinkTime = random.Between(2, 60) * Ns.Millisecond,
            WindowKeys = (int)random.Between(2, 6),
            MaxValueBytes = random.Chance(0.2) ? 20_000 : random.Chance(0.5) ? 400 : 30,
            CrashEvery = Rate(random, 0.75, 3, 20, election),
            PowerCut = random.Pick([0.0, 0.5, 1.0, 1.0]),
            CrashDatacenter = random.Chance(0.4) ? random.Double() * 0.5 : 0,
            CrashAll = random.Chance(0.5) ? random.Double() * 0.5 : 0,
            DownFor = random.Between(1, 50) * election / 10,
            PartitionEvery = Rate(random, 0.6, 3, 20, election),
            PartitionFor = random.Between(5, 60) * election / 10,
            PauseEvery = Rate(random, 0.4, 4, 30, election),
            PauseFor = random.Between(1, 40) * election / 10,
            ClogEvery = Rate(random, 0.3, 3, 20, election),
            FlushErrorEvery = Rate(random, 0.2, 10, 60, election),
            WipeEvery = Rate(random, 0.35, 6, 40, election),
            DamageEvery = Rate(random, 0.15, 10, 60, election),
            OldCopyEvery = Rate(copies, 0.3, 3, 20, election),
            TransferEvery = Rate(random, 0.3, 4, 30, election),
            ConfigureEvery = Rate(random, 0.4, 3, 20, election),
            ResetEvery = Rate(random, 0.4, 1, 10, election),
            DamagedProposals = random.Chance(0.2) ? 0.02 : 0,
            HuntLeaders = random.Chance(0.35) ? 0.3 + (random.Double() * 0.7) : 0,
            FullDiskEvery = Rate(random, 0.2, 5, 30, election),
            FullDiskFor = random.Between(5, 60) * election / 10,
            CheckpointEntries = checkpoints.Pick([5L, 20, 100, 100, 1_000, 1_000_000]),
            CheckpointLatency = checkpoints.Between(1, 50) * election / 50,
            BadCheckpoint = checkpoints.Chance(0.3) ? 0.3 : 0,
            CatchUpEntries = snapshots.Pick([0L, 1, 10, 50, 5_000]),
            RetainedBytes = snapshots.Pick([0L, 1_000, 100_000, 256L << 20]),
            PinnedBytes = snapshots.Pick([8L << 20, 4L << 30]),
            // As the product's, always longer than a transfer takes: a pin that ends before it lets the same member begin again for ever (S4).
            PinFor = snapshots.Chance(0.3) ? snapshots.Between(300, 600) * election : 600 * Ns.Second,
            ChunkBytes = (int)snapshots.Between(8_000, 64_000),
            LeaseEvery = leases.Chance(0.35) ? leases.Between(1, 10) * election / 10 : 0,
            LostState = snapshots.Chance(0.3) ? 0.2 : 0,
        };
    }

    private static long Rate(SimRandom random, double share, int low, int high, long election) =>
        random.Chance(share) ? random.Between(low, high) * election : 0;

    private static Place[] DrawPlaces(SimRandom random)
    {
        int kind = random.Below(100);
        return kind switch
        {
            < 6 => Make((0, MemberRole.Voter)),
            < 40 => Make((0, MemberRole.Voter), (1, MemberRole.Voter), (2, MemberRole.Voter)),
            < 50 => Make((0, MemberRole.Voter), (0, MemberRole.Voter), (0, MemberRole.Voter)),
            < 78 => Make((0, MemberRole.Voter), (1, MemberRole.Voter), (2, MemberRole.Voter), (0, MemberRole.Standby), (1, MemberRole.Standby), (2, MemberRole.Standby)),
            _ => Make((0, MemberRole.Voter), (0, MemberRole.Voter), (1, MemberRole.Voter), (1, MemberRole.Voter), (2, MemberRole.Voter)),
        };
    }

    private static Place[] Make(params (int Datacenter, MemberRole Role)[] places) =>
        [.. places.Select((p, i) => new Place($"m{i}", p.Datacenter, p.Role))];
}
