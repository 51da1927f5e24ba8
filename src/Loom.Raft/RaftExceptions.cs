namespace Loom.Raft;

/// <summary>What is known of a write that failed (P3).</summary>
public enum WriteOutcome : byte
{
    /// <summary>It was not and will not be applied: safe to retry as a new write.</summary>
    NotApplied = 1,

    /// <summary>It may have been applied, or may still be.</summary>
    Unknown = 2,
}

/// <summary>Why a call of a <c>RaftNode</c> failed.</summary>
public enum RaftErrorCode
{
    /// <summary>No leader with a quorum for three election timeouts (N5).</summary>
    NoQuorum = 1,

    /// <summary>A bounded queue is full (P5).</summary>
    Overloaded = 2,

    /// <summary>The deadline passed, or the caller cancelled, before the outcome was known.</summary>
    DeadlineExceeded = 3,

    /// <summary>The node is stopping or stopped.</summary>
    Stopped = 4,

    /// <summary>This member failed (disk, apply): it acknowledges nothing more.</summary>
    Failed = 5,

    /// <summary>Leadership changed and every attempt was superseded (P3).</summary>
    LeaderChanged = 6,

    /// <summary>The payload is larger than the node accepts.</summary>
    TooLarge = 7,

    /// <summary>The named member cannot take leadership.</summary>
    BadTransferTarget = 8,

    /// <summary>The data directory, address or configuration cannot be used; the message says what to do.</summary>
    CannotOpen = 9,

    /// <summary>This member does not lead.</summary>
    NotLeader = 10,

    /// <summary>A file of the log or identity is damaged.</summary>
    Corruption = 11,

    /// <summary>The disk has no space for it; nothing was changed.</summary>
    NoSpace = 12,

    /// <summary>A write went on while this member took its state from a snapshot, and its session ended before that: whether it was applied cannot be known any more.</summary>
    OutcomeLost = 13,
}

/// <summary>A call of a <c>RaftNode</c> failed.</summary>
public class RaftException : Exception
{
    /// <summary>Creates it.</summary>
    public RaftException(RaftErrorCode code, string message, WriteOutcome outcome = WriteOutcome.NotApplied, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Outcome = outcome;
    }

    /// <summary>What happened.</summary>
    public RaftErrorCode Code { get; }

    /// <summary>For a write: what is known of it.</summary>
    public WriteOutcome Outcome { get; }
}

/// <summary>What a disk or a peer holds is damaged: names the file, the offset and the remedy. Never repaired in silence.</summary>
public sealed class CorruptionException : RaftException
{
    /// <summary>Creates it.</summary>
    public CorruptionException(string file, long offset, string what, string remedy)
        : base(RaftErrorCode.Corruption, $"{file} is damaged at offset {offset}: {what}. {remedy}")
    {
        File = file;
        Offset = offset;
    }

    /// <summary>The same damage, and what came of trying to mend it.</summary>
    internal CorruptionException(CorruptionException damage, string more)
        : base(RaftErrorCode.Corruption, $"{damage.Message} {more}")
    {
        File = damage.File;
        Offset = damage.Offset;
    }

    /// <summary>The damaged file.</summary>
    public string File { get; }

    /// <summary>Where in it, in bytes.</summary>
    public long Offset { get; }
}

/// <summary>
/// No state on this member's disk can be used, and its log does not reach back far enough to rebuild one: it needs a snapshot of another member that holds at least <see cref="MinIndex"/>.
/// </summary>
public sealed class SnapshotNeededException : RaftException
{
    /// <summary>Creates it.</summary>
    public SnapshotNeededException(long minIndex, string what, Exception? inner = null)
        : base(
            RaftErrorCode.Corruption,
            $"This member needs a snapshot from another member that holds at least entry {minIndex}: {what}. Nothing was changed on its disk",
            WriteOutcome.NotApplied,
            inner) => MinIndex = minIndex;

    /// <summary>What the snapshot must hold at least: the log of this member begins after it.</summary>
    public long MinIndex { get; }
}
