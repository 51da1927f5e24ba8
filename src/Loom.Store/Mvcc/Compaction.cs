namespace Loom.Store.Mvcc;

/// <summary>
/// The physical side of compaction. Logically it is over when its revision is published; trimming the index and removing records follows in steps,
/// so that no step stops the applier for long. A younger compaction takes over from the start of the keys: it removes what the older one would have.
/// Not part of the replicated state: replicas may be at different steps.
/// </summary>
internal sealed class Compaction(IKeyIndex index, IRecordStore records)
{
    private readonly List<RecordKey> removed = [];
    private byte[]? cursor;
    private long revision = -1;
    private long done = -1;
    private long removedRecords;

    /// <summary>The last compaction that ran to its end. Any thread.</summary>
    public long Done => Volatile.Read(ref done);

    /// <summary>Records removed so far. Any thread.</summary>
    public long RemovedRecords => Volatile.Read(ref removedRecords);

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

        Volatile.Write(ref removedRecords, removedRecords + removed.Count);
        if (last)
        {
            Volatile.Write(ref done, revision);
        }

        return !last;
    }
}
