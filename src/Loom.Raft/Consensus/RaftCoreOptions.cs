namespace Loom.Raft.Consensus;

/// <summary>Settings of a <see cref="RaftCore"/>. Times are nanoseconds of the monotonic clock that Step is given (T1).</summary>
internal sealed record RaftCoreOptions
{
    /// <summary>This member.</summary>
    public required MemberId Self { get; init; }

    /// <summary>Random number of this process' life: with a counter it names a read request (R1).</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>Seed of the only source of randomness (T3).</summary>
    public required ulong Seed { get; init; }

    /// <summary>Time between heartbeats.</summary>
    public long HeartbeatNanoseconds { get; init; } = 100_000_000;

    /// <summary>Election timeout E.</summary>
    public long ElectionTimeoutNanoseconds { get; init; } = 1_000_000_000;

    /// <summary>Appends in flight per peer, in messages and in bytes of bodies (P5).</summary>
    public int InflightMessages { get; init; } = 256;

    /// <inheritdoc cref="InflightMessages"/>
    public long InflightBytes { get; init; } = 4L << 20;

    /// <summary>Bytes of bodies in one append; one larger entry may go alone (P5).</summary>
    public long AppendBytes { get; init; } = 256L << 10;

    /// <summary>Bytes that this leader appended and that are not committed, or committed and not applied here; beyond either, proposals are refused (P5).</summary>
    public long UncommittedBytes { get; init; } = 64L << 20;

    /// <summary>How long a leader keeps its log for a member that is collecting a snapshot (S4), see <see cref="RaftCore.RetainFrom"/>.</summary>
    public long SnapshotPinNanoseconds { get; init; } = 600_000_000_000;

    /// <summary>False: this member neither votes nor campaigns (E1: an incarnation the configuration does not pin). See <see cref="RaftCore.MayVote"/>.</summary>
    public bool MayVote { get; init; } = true;
}
