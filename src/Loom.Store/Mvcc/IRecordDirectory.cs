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

    /// <summary>
    /// The state that was opened here, and every checkpoint of it, is wrong (S5): no <see cref="Open"/> uses one of them again, only what is installed after this. Durable on return. Any thread.
    /// </summary>
    void Condemn();

    /// <summary>Begins an empty store beside the present one, for a state that is installed (S3). Not on the applier's thread; one at a time.</summary>
    IRecordInstallation BeginInstall();
}

/// <summary>
/// A store that is filled beside the present one. Order: everything is appended, <see cref="Complete"/>, later, once the log's base is flushed, <see cref="Adopt"/>; a crash in between is finished by
/// <see cref="IRecordDirectory.Open"/>. Disposed before it is complete it is deleted; a complete one that was not adopted stays for <see cref="IRecordDirectory.Open"/>, or until the next begins.
/// </summary>
internal interface IRecordInstallation : IDisposable
{
    /// <summary>The store: append in any order, from one thread.</summary>
    IRecordStore Records { get; }

    /// <summary>Makes the records durable as a checkpoint that is not in force yet. Blocks as long as the disk takes.</summary>
    void Complete(StoredState state);

    /// <summary>The applier's thread: puts it in the place of every checkpoint so far, durable on return. A checkpoint that is under way is waited for.</summary>
    void Adopt();

    /// <summary>Deletes the records that it replaced; their store is closed.</summary>
    void DeleteReplaced();
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
