using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>Where in the log a state stands, and what Raft keeps beside the application's state.</summary>
/// <param name="Index">Index of the last entry that is in it.</param>
/// <param name="Term">Term of that entry.</param>
/// <param name="Section">Opaque bytes of Raft (sessions, apply hash, cluster time): kept with the state and given back, checksummed, never looked into.</param>
public readonly record struct StatePosition(long Index, long Term, ReadOnlyMemory<byte> Section);

/// <summary>Whose state is opened, and how far back the log reaches.</summary>
/// <param name="ClusterId">State of another cluster or member is refused by name.</param>
/// <param name="Member">This member.</param>
/// <param name="LogBase">
/// Index before the first entry of the log. A whole installation whose index is this and which is newer than the newest checkpoint was interrupted after the log's base record
/// had been flushed: it is finished. Any other installation that was not switched to is deleted.
/// </param>
/// <param name="LogLast">Index of the last entry of the log: a checkpoint beyond it shows that the log lost its tail (L9), so the member is damaged.</param>
/// <param name="StartOver">Gives up whatever is there and opens an empty state, because a snapshot will replace it: only after <see cref="SnapshotNeededException"/>.</param>
public readonly record struct StateOrigin(ulong ClusterId, MemberId Member, long LogBase, long LogLast, bool StartOver = false);

/// <summary>What an opened machine holds.</summary>
/// <param name="At">The state that was opened.</param>
/// <param name="PreviousIndex">Index of the checkpoint before it, to which the member may have to fall back: the log is cut only below it (L9). 0: there is none.</param>
public sealed record StateCheckpoint(StatePosition At, long PreviousIndex);
