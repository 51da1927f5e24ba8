namespace Loom.Store.Mvcc;

/// <summary>Key of a record: a revision (S1). Sub counts the changes inside one transaction from 0.</summary>
internal readonly record struct RecordKey(long Main, int Sub) : IComparable<RecordKey>
{
    /// <summary>Smaller than every record's.</summary>
    public static readonly RecordKey BeforeAll = new(-1, 0);

    public int CompareTo(RecordKey other) => Main != other.Main ? Main.CompareTo(other.Main) : Sub.CompareTo(other.Sub);
}

/// <summary>Reads of records by revision.</summary>
internal interface IRecordReads
{
    /// <summary>
    /// Reads one record into a fresh or shared array that the caller must not change. Synchronous; a cold one costs a disk read. Not found for a key that the index
    /// calls live is damage: only the caller knows what is live. A removed record may still be found.
    /// </summary>
    bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record);

    /// <summary>Reads many, pipelined; results[i] is empty where keys[i] is absent.</summary>
    void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results);
}

/// <summary>
/// The append-only store of records by revision: FASTER in production (Records/), a dictionary in the simulator. What survives a crash is the newest checkpoint. Each record is written once.
/// One writer (the applier); readers from any thread. A record carries a checksum seeded with its key and is verified at every read:
/// damage throws, it is never served. Disposed after the applier has ended; readers may be under way, and one that comes later meets a closed store.
/// </summary>
internal interface IRecordStore : IRecordReads, IDisposable
{
    /// <summary>The applier's own reads, which wait for no reader. Its thread only.</summary>
    IRecordReads WriterReads => this;

    /// <summary>Appends a record. Visible to <see cref="IRecordReads.TryRead"/> at once; the writer publishes the revision afterwards. <paramref name="appliedIndex"/> is the log index of the entry.</summary>
    void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex);

    /// <summary>
    /// Takes the space for records of so many bytes together, what the store puts around each included, none of which is larger than <paramref name="largest"/>, so that none of their appends
    /// finds the disk full (S6). The writer's thread. False: there is none, for the reason given, and nothing may be appended. Always true where nothing is on a disk, as by default.
    /// </summary>
    bool TryReserve(long bytes, long largest, out string? obstacle)
    {
        obstacle = null;
        return true;
    }

    /// <summary>Bytes held (memory and disk together) for status.</summary>
    long SizeBytes { get; }

    /// <summary>What it adds to each record, on average.</summary>
    int RecordOverheadBytes => 0;

    /// <summary>
    /// Begins a checkpoint of everything appended so far, and of nothing appended afterwards. The applier's thread; returns at once, and the checkpoint before stays usable until this one is durable.
    /// False: one is under way, or this store keeps none, as by default. <paramref name="completed"/> is called once, from any thread: null when it is durable. It must only signal.
    /// </summary>
    bool BeginCheckpoint(StoredState state, Action<Exception?> completed) => false;

    /// <summary>
    /// Gives space back where there is much to give: what the owner does not need. The writer's thread; returns at once, the work is done by a thread of the store's own. Call it often.
    /// </summary>
    void Reclaim(IRecordOwner owner)
    {
    }

    /// <summary>A checkpoint would give space back, although nothing was appended since the last one.</summary>
    bool WantsCheckpoint => false;

    /// <summary>Disposes of it. False: a thread of it did not end in time and may still write in its directory, which nobody may open then.</summary>
    bool Close()
    {
        Dispose();
        return true;
    }

    /// <summary>Removes a record that compaction made unreachable. May be lazy.</summary>
    void Remove(RecordKey key);
}
