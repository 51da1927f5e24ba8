namespace Loom.Raft.Snapshots;

/// <summary>First message of a bulk lane, from the receiver: what it needs.</summary>
/// <param name="MinIndex">The snapshot must stand here or later (S4).</param>
/// <param name="Resume">Id of the manifest whose chunks it already has some of, or 0: a new capture.</param>
/// <param name="Position">Up to where it has them.</param>
internal sealed record SnapshotRequest(long MinIndex, ulong Resume, TransferPosition Position);

/// <summary>The source gives nothing, or nothing more.</summary>
/// <param name="Reason">Why.</param>
/// <param name="Bytes">With <see cref="RefusalReason.Fetching"/>: how much of its own snapshot the source has, so that who waits for it sees it come on.</param>
/// <param name="Text">In words, for the log.</param>
internal sealed record SnapshotRefusal(RefusalReason Reason, long Bytes, string Text);

/// <summary>Why a source refuses. Values are on the wire: never renumber.</summary>
internal enum RefusalReason : byte
{
    /// <summary>It serves as many as it may (S4).</summary>
    Busy = 1,

    /// <summary>It needs a snapshot itself, and is getting one: one that stands in the same datacenter is asked again later (S4).</summary>
    Fetching = 2,

    /// <summary>Its state is older than what is needed (S4).</summary>
    TooOld = 3,

    /// <summary>It has failed, or its state is damaged.</summary>
    Failed = 4,

    /// <summary>It does not have the capture that should be resumed, or not up to that position: start anew.</summary>
    Unknown = 5,

    /// <summary>The capture has been held for as long as one may be (S4): start anew.</summary>
    Expired = 6,

    /// <summary>It is closing, or has not formed.</summary>
    Closing = 7,
}

/// <summary>The source's answer when it gives: chunks follow.</summary>
/// <param name="EstimatedBytes">Roughly how many bytes of state there are in all.</param>
/// <param name="Manifest">Encoded manifest; empty when a transfer goes on: the receiver has it.</param>
internal sealed record SnapshotOffer(long EstimatedBytes, ReadOnlyMemory<byte> Manifest);

/// <summary>After the last chunk, from the source; the receiver answers with an empty SnapshotDone when it has the same.</summary>
/// <param name="Chunks">How many there were.</param>
/// <param name="Bytes">How many bytes of state in them.</param>
/// <param name="Hash">Over all of them (<see cref="TransferPosition"/>).</param>
internal readonly record struct SnapshotEnd(long Chunks, long Bytes, UInt128 Hash);
