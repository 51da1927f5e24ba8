namespace Loom.Store.Mvcc;

/// <summary>
/// The physical side of compaction. Logically it is over when its revision is published; trimming the index and removing records follows in steps,
/// so that no step stops the applier for long. A younger compaction takes over where the older one stands, and then goes round once more: taking over from the start,
/// compactions that come faster than one is trimmed would never reach the last keys.
/// Not part of the replicated state: replicas may be at different steps.
/// </summary>
/// <param name="index">What is trimmed.</param>
/// <param name="records">What is removed.</param>
/// <param name="trimmed">A compaction that everything is trimmed for already; -1: none.</param>
internal sealed class Compaction(IKeyIndex index, IRecordStore records, long trimmed = -1)
{
    private readonly List<RecordKey> removed = [];
    private byte[]? cursor;
    private long newest = trimmed;
    private long round = trimmed;
    private long done = trimmed;

    /// <summary>The last compaction that ran to its end. Any thread.</summary>
    public long Done => Volatile.Read(ref done);

    public void Begin(long compactTo) => newest = compactTo;

    /// <summary>Looks at up to <paramref name="budget"/> keys. False: nothing was left to do.</summary>
    public bool Step(int budget)
    {
        if (Done == newest)
        {
            return false;
        }

        // What a round began with, all keys are trimmed to at its end.
        round = cursor is null ? newest : round;
        removed.Clear();
        bool isRound = index.Compact(newest, ref cursor, budget, removed);
        foreach (RecordKey key in removed)
        {
            records.Remove(key);
        }

        if (isRound)
        {
            Volatile.Write(ref done, round);
        }

        return Done != newest;
    }
}
