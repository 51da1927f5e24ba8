using Loom.Raft.Replica;

namespace Loom.Store.Mvcc;

/// <summary>What is kept with the records at a checkpoint, and given back with them.</summary>
/// <param name="At">Where in the log the records stand, and Raft's section.</param>
/// <param name="State">What the machine itself must know (<see cref="Snapshots.StateHeader"/>): opaque here.</param>
internal sealed record StoredState(StatePosition At, ReadOnlyMemory<byte> State);

/// <summary>Where the records of a replica live across restarts: FASTER's files in production (Records/), memory in the simulator.</summary>
internal interface IRecordDirectory
{
    /// <summary>
    /// Opens the newest checkpoint that is whole, else the one before it, and shows every record of it to a rebuild of its own. With none: an empty store, if the log reaches back to its start.
    /// Once, before everything else; the directory is this process's alone.
    /// </summary>
    /// <exception cref="Raft.SnapshotNeededException">Nothing there can be used, and the log does not go back to its start. Nothing was changed.</exception>
    /// <exception cref="Raft.RaftException">CannotOpen: it belongs to another cluster or member, or to a newer version.</exception>
    OpenedRecords Open(StateOrigin origin, Func<StoredState, IRecordRebuild> rebuild);
}

/// <summary>Builds from records what lives in memory only. May throw Corruption from either member: then the checkpoint is not usable.</summary>
internal interface IRecordRebuild
{
    /// <summary>One record, its checksum verified; in no promised order, and the same one perhaps twice.</summary>
    void Add(RecordKey at, ReadOnlySpan<byte> record);

    /// <summary>All were added: checks that together they are the state that was kept.</summary>
    void Finish();
}

/// <summary>A store that was opened.</summary>
/// <param name="Records">The records.</param>
/// <param name="State">What was kept with them; null: the store is empty.</param>
/// <param name="PreviousIndex">Log index of the checkpoint before this one; 0: there is none.</param>
internal sealed record OpenedRecords(IRecordStore Records, StoredState? State, long PreviousIndex);
