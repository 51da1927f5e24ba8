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
    private CheckpointFile? newest;
    private CheckpointFile? previous;
    private bool inForce = !isInstallation;

    /// <summary>Log index of the newest checkpoint; 0: none.</summary>
    public long Index => newest?.Index ?? 0;

    /// <summary>What a recovery found: the checkpoint that it opened, and the one before it.</summary>
    public void Found(CheckpointFile opened, CheckpointFile? before)
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
        if (!inForce)
        {
            files.WriteInstalled(file);
            newest = file;
            return;
        }

        files.Write(file);
        if (newest?.Index == file.Index)
        {
            // Nothing was applied since: it took the place of the one before.
            newest = file;
            return;
        }

        if (previous is not null)
        {
            files.Delete(previous.Index);
            files.Flush();
        }

        previous = newest;
        newest = file;
        if (previous is not null)
        {
            device.DeleteBelow(LogExtent.Of(files.PathOf(previous.Index), previous.Log).Begin);
        }
    }
}
