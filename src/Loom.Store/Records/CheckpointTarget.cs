using Loom.Raft.Consensus;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>
/// Where the checkpoints of one generation of records go. Keeps the newest two usable: their files, and the record files that the older of them needs (H15).
/// One thread at a time.
/// </summary>
/// <param name="files">The checkpoint files.</param>
/// <param name="clusterId">Whose they are.</param>
/// <param name="member">Whose they are.</param>
/// <param name="generation">Of the records.</param>
/// <param name="isInstallation">The records are not in force: until <see cref="Adopted"/> what is written is an installed state.</param>
internal sealed class CheckpointTarget(CheckpointFiles files, ulong clusterId, MemberId member, long generation, bool isInstallation = false)
{
    private KeptCheckpoint? newest;
    private KeptCheckpoint? previous;
    private bool inForce = !isInstallation;

    /// <summary>Log index of the newest checkpoint; 0: none.</summary>
    public long Index => newest?.Name.Index ?? 0;

    /// <summary>What a recovery found: the checkpoint that it opened, and the one before it.</summary>
    public void Found(KeptCheckpoint opened, KeptCheckpoint? before)
    {
        newest = opened;
        previous = before;
    }

    /// <summary>The installed state is in force, and is the only checkpoint.</summary>
    public void Adopted() => inForce = true;

    /// <summary>Durable on return. The record files are.</summary>
    public void Write(StoredState state, byte[] log, RecordDevice device)
    {
        CheckpointFile file = new()
        {
            ClusterId = clusterId,
            Member = member,
            Generation = generation,
            Stored = state,
            PageBytes = device.PageBytes,
            SegmentBytes = device.SegmentBytes,
            Log = log,
        };
        KeptCheckpoint kept = new(new(file.Index), file);
        if (!inForce)
        {
            files.WriteInstalled(file);
            newest = kept;
            return;
        }

        CheckpointName? steppedBack = files.Write(file);
        if (previous is { } superfluous && superfluous.Name != steppedBack)
        {
            files.Delete(superfluous.Name);
            files.Flush();
        }

        previous = newest is not null && steppedBack is { } name ? newest with { Name = name } : newest;
        newest = kept;
        if (previous is not null)
        {
            KeptCheckpoint oldest = previous;
#if LOOM_MUTATIONS
            oldest = Raft.Diagnostics.Mutations.On("S-drop-previous-segments") ? kept : oldest;
#endif
            device.DeleteBelow(LogExtent.Of(files.PathOf(oldest.Name), oldest.File.Log).Begin);
        }
    }
}

/// <summary>A checkpoint that is there.</summary>
internal sealed record KeptCheckpoint(CheckpointName Name, CheckpointFile File);
