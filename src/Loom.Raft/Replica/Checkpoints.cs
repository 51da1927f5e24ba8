namespace Loom.Raft.Replica;

/// <summary>The two newest durable checkpoints of the state, as the log must know them. Invariant (L9): previous ≤ checkpoint ≤ applied.</summary>
internal sealed class Checkpoints(in OpenedState opened)
{
    /// <summary>Index of the newest; 0: none.</summary>
    public long Index { get; private set; } = opened.CheckpointIndex;

    /// <summary>Index of the one before it, to which this member may have to fall back: the log is never cut above it. 0: none.</summary>
    public long PreviousIndex { get; private set; } = opened.PreviousCheckpointIndex;

    /// <summary>One was completed. False: it was begun before a snapshot was installed above it, and is on disk only now; the installed state is the newest.</summary>
    public bool Take(CheckpointTaken taken, long applied)
    {
        if (taken.Index < Index)
        {
            return false;
        }

        if (taken.Index > applied || taken.PreviousIndex > taken.Index)
        {
            throw new InvalidOperationException($"checkpoint {taken.Index} after {taken.PreviousIndex} breaks previous ≤ checkpoint ≤ applied ({applied}) (L9)");
        }

        (Index, PreviousIndex) = (taken.Index, taken.PreviousIndex);
        return true;
    }

    /// <summary>A state was installed: it is both.</summary>
    public void Replace(in OpenedState installed) => (Index, PreviousIndex) = (installed.CheckpointIndex, installed.PreviousCheckpointIndex);
}
