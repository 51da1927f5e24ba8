namespace Loom.Raft.Consensus;

/// <summary>What an entry of the log is for. Values are on disk and on the wire: never renumber.</summary>
public enum EntryKind : byte
{
    /// <summary>Appended by a new leader so that an entry of its own term can commit (thesis 6.4, figure 8).</summary>
    NoOp = 1,

    /// <summary>A configuration of the cluster (E4). In force from append, rolled back with truncation.</summary>
    Configuration = 2,

    /// <summary>Opens a session; its id is this entry's index (P1).</summary>
    OpenSession = 3,

    /// <summary>A proposal of a session: exactly once (P1).</summary>
    Command = 4,

    // 5 is kept for proposals without a session (P4). No version writes it yet; one that meets it must refuse.

    /// <summary>Reserved for the replicated feature level (D9). No version writes it yet; one that meets it must refuse.</summary>
    FeatureLevel = 15,
}

/// <summary>
/// One entry of the replicated log: a header written by the core and a body made by the proposer (L10).
/// </summary>
/// <param name="Index">Position in the log; the first entry has index 1.</param>
/// <param name="Term">Term of the leader that appended it, stamped in the step that appends.</param>
/// <param name="Kind">What it is for.</param>
/// <param name="ClusterTime">Cluster time in nanoseconds since the cluster was formed (T5); never decreases along the log.</param>
/// <param name="Body">The proposer's bytes (see Proposals/Envelope). GC-owned and never changed after the append.</param>
public readonly record struct Entry(long Index, long Term, EntryKind Kind, long ClusterTime, ReadOnlyMemory<byte> Body);

/// <summary>What a member promised: its current term, and whom it voted for in it. Flushed before any message of that term leaves (L8).</summary>
/// <param name="Term">Current term, 0 before the first election.</param>
/// <param name="Vote">The candidate that has this member's vote in <paramref name="Term"/>, or <see cref="MemberId.None"/>.</param>
internal readonly record struct HardState(long Term, MemberId Vote);
