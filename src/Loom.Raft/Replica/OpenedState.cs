using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>What the applier holds when a replica is built: the state of a checkpoint, or nothing.</summary>
/// <param name="Index">Everything up to here is applied.</param>
/// <param name="Term">Term of that entry.</param>
/// <param name="ClusterTime">Cluster time of that entry (T5).</param>
/// <param name="ApplyHash">Rolling hash up to there (S5).</param>
/// <param name="CheckpointIndex">Index of the newest durable checkpoint; 0: none.</param>
/// <param name="PreviousCheckpointIndex">Index of the one before it; 0: none.</param>
internal readonly record struct OpenedState(long Index, long Term, long ClusterTime, UInt128 ApplyHash, long CheckpointIndex, long PreviousCheckpointIndex)
{
    /// <summary>
    /// L9 at open: the state is not ahead of the log, and the log goes on from it. A state beyond the log, or of another term at its index, shows that the log lost entries that it had promised.
    /// </summary>
    /// <exception cref="CorruptionException">This member is damaged.</exception>
    public void Check(IRaftLog log)
    {
        if (Index > log.LastIndex)
        {
            throw Damaged($"the log ends at entry {log.LastIndex}, but the state holds entry {Index}");
        }

        if (Index < log.BaseIndex)
        {
            throw new SnapshotNeededException(log.BaseIndex, $"the state ends at entry {Index}, and the log begins after entry {log.BaseIndex}");
        }

        if (Index > 0 && log.TermAt(Index) != Term)
        {
            throw Damaged($"entry {Index} is of term {log.TermAt(Index)} in the log and of term {Term} in the state");
        }
    }

    private static CorruptionException Damaged(string what) => new(
        "raft", 0, $"the log of this member has lost its tail (L9): {what}",
        "Move the data directory away and start this member again: it rejoins as a new member and takes everything from the others");
}
