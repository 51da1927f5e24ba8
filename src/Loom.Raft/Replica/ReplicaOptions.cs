using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>What a <see cref="ReplicaCore"/> must know, and its bounds. All times in ns.</summary>
internal sealed record ReplicaOptions
{
    public required MemberId Id { get; init; }

    /// <summary>Random number of this process's life: names its session's opening entry and its read contexts.</summary>
    public required ulong Incarnation { get; init; }

    /// <summary>Seed of everything random in here (T3).</summary>
    public required ulong Seed { get; init; }

    public required ulong ClusterId { get; init; }

    public long HeartbeatInterval { get; init; } = 100_000_000;

    public long ElectionTimeout { get; init; } = 1_000_000_000;

    /// <summary>Largest payload of one proposal.</summary>
    public int MaxProposalBytes { get; init; } = 2 * 1024 * 1024;

    /// <summary>Proposals waiting for a place in the session's window (P1, P5): beyond → NotApplied(Overloaded). A reserve of an eighth on top is kept for <see cref="Proposals.ProposalPriority.Reserved"/>.</summary>
    public int MaxWaitingProposals { get; init; } = 16 * 1024;

    /// <summary>Bytes of payloads waiting or in flight from this process (P5): beyond → NotApplied(Overloaded).</summary>
    public long MaxProposalQueueBytes { get; init; } = 64 * 1024 * 1024;

    /// <summary>Reads waiting for their round or for apply: beyond → Overloaded.</summary>
    public int MaxWaitingReads { get; init; } = 64 * 1024;

    /// <summary>Committed entries not yet applied here, beyond which writes are refused before sending (P4), as etcd.</summary>
    public long MaxForwardLag { get; init; } = 5_000;

    /// <summary>Bounds of one <see cref="ApplyWork"/>.</summary>
    public int MaxApplyEntries { get; init; } = 1024;

    /// <summary>Bounds of one <see cref="ApplyWork"/>, in bytes of bodies (one larger entry goes alone).</summary>
    public long MaxApplyBytes { get; init; } = 4 * 1024 * 1024;

    /// <summary>Works handed out and not yet applied: two keep the applier busy while the loop turns.</summary>
    public int MaxApplyWorks { get; init; } = 2;

    /// <summary>Applied entries that stay in the log for members that are a little behind, as etcd's <c>--snapshot-catchup-entries</c>; see <see cref="LogRetention"/>.</summary>
    public long SnapshotCatchUpEntries { get; init; } = 5_000;

    /// <summary>Bytes of log that these entries may take: of large ones fewer stay. It is what an idle member's log costs beyond two checkpoints.</summary>
    public long SnapshotCatchUpBytes { get; init; } = 64L << 20;

    /// <summary>Bytes of log that a leader keeps for members which it hears and which are behind; who lacks more gets a snapshot.</summary>
    public long MaxRetainedBytes { get; init; } = 256L << 20;

    /// <summary>Bytes of log that a leader keeps for a member which is collecting a snapshot (S4); beyond, it may have to collect another one.</summary>
    public long MaxPinnedBytes { get; init; } = 4L << 30;

    /// <summary>Bytes of bodies in one ForwardProposals (P5); one larger proposal goes alone.</summary>
    public long MaxForwardBytes { get; init; } = 256 * 1024;

    /// <summary>Bytes of forwarded proposals sent and without a receipt (P5); more waits here.</summary>
    public long MaxForwardInFlightBytes { get; init; } = 4 * 1024 * 1024;
}
