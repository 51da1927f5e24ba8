namespace Loom.Store.Mvcc;

/// <summary>
/// The physical side of compaction. Logically it is over when its revision is published; trimming the index and removing records follows in steps,
/// so that no step stops the applier for long. A younger compaction takes over from the start of the keys: it removes what the older one would have.
/// Not part of the replicated state: replicas may be at different steps.
/// </summary>
/// <param name="index">What is trimmed.</param>
/// <param name="records">What is removed.</param>
/// <param name="trimmed">A compaction that everything is trimmed for already; -1: none.</param>
internal sealed class Compaction(IKeyIndex index, IRecordStore records, long trimmed = -1)
{
    private readonly List<RecordKey> removed = [];
    private byte[]? cursor;
    private long revision = trimmed;
    private long done = trimmed;

    /// <summary>The last compaction that ran to its end. Any thread.</summary>
    public long Done => Volatile.Read(ref done);

    public void Begin(long compactTo)
    {
        revision = compactTo;
        cursor = null;
    }

    /// <summary>Looks at up to <paramref name="budget"/> keys. False: nothing was left to do.</summary>
    public bool Step(int budget)
    {
        if (Done == revision)
        {
            return false;
        }

        removed.Clear();
        bool last = index.Compact(revision, ref cursor, budget, removed);
        foreach (RecordKey key in removed)
        {
            records.Remove(key);
        }

        if (last)
        {
            Volatile.Write(ref done, revision);
        }

        return !last;
    }
}
