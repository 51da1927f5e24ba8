namespace Loom.Raft.Snapshots;

/// <summary>What a <see cref="SnapshotSource"/> needs of its replica. From any thread.</summary>
internal interface ISnapshotOrigin
{
    /// <summary>Why this member cannot give a state of that index or later now; null: it can.</summary>
    SnapshotRefusal? Refuse(long minIndex);

    /// <summary>
    /// Captures the state between two applied batches; the state goes on. Answers once, from any thread: null if it cannot be captured. May never answer while the member closes.
    /// The answer must be quick: it is given by a thread that others wait for.
    /// </summary>
    void Capture(Action<CapturedSnapshot?> captured);
}
