namespace Loom.Store.Mvcc;

/// <summary>What the index knows of the newest version of a key.</summary>
/// <param name="At">Where its record is; of a deleted key, the tombstone's.</param>
/// <param name="IsDeleted">The newest version is a tombstone.</param>
/// <param name="Create">Create revision; 0 when deleted.</param>
/// <param name="Version">Version; 0 when deleted.</param>
internal readonly record struct KeyHead(RecordKey At, bool IsDeleted, long Create, long Version)
{
    /// <summary>What it adds to the content (<see cref="StateContent"/>).</summary>
    public RecordMark Mark { get; init; }
}

/// <summary>One version of a key, as <see cref="KeyIndex.Loader"/> takes it.</summary>
internal readonly record struct KeyVersion(RecordKey At, bool IsDeleted, long Create, long Version, RecordMark Mark);

/// <summary>Receives keys in ordinal byte order; the span is valid during the call only.</summary>
internal interface IKeyVisitor
{
    /// <summary>One key that is live at the revision asked for, and its record. False ends the walk.</summary>
    bool Visit(ReadOnlySpan<byte> key, RecordKey at);
}

/// <summary>Receives versions in key order, each key's oldest first; the span is valid during the call only.</summary>
internal interface IVersionVisitor
{
    /// <summary>One version. False ends the walk.</summary>
    bool Visit(ReadOnlySpan<byte> key, RecordKey at);
}

/// <summary>
/// The ordered index: key → its versions, newest first. Keys are ordered as unsigned bytes, a prefix before what it begins.
/// One writer; lock-free readers from any thread. A reader first takes the published revision R, then asks at a revision ≤ R: versions above it are there or not, it never sees them.
/// Published means <see cref="Publish"/> returned; only then may R be raised (R3: otherwise a reader at R misses a key that was born at R).
/// </summary>
internal interface IKeyIndex
{
    /// <summary>Writer: newest version, unpublished ones included. False: never written, or trimmed away.</summary>
    bool TryGetNewest(ReadOnlySpan<byte> key, out KeyHead head);

    /// <summary>Writer: adds a version. <paramref name="at"/> is greater than every one added before. <paramref name="mark"/> comes back in <see cref="KeyHead.Mark"/>.</summary>
    void Put(ReadOnlySpan<byte> key, RecordKey at, long create, long version, RecordMark mark = default);

    /// <summary>Writer: adds a tombstone. The key is live.</summary>
    void Delete(ReadOnlySpan<byte> key, RecordKey at, RecordMark mark = default);

    /// <summary>Writer: shows everything added so far to readers.</summary>
    void Publish();

    /// <summary>
    /// Writer: one step of compaction at <paramref name="revision"/>: per key keeps every version above it and the newest at or below it, unless that one is a tombstone strictly below it
    /// (a tombstone exactly at the revision stays: a watch from there must deliver that delete). Looks at up to about <paramref name="budget"/> keys and versions from <paramref name="cursor"/> on
    /// (null = start; updated), adds the records that nothing needs any more to <paramref name="removed"/>, and publishes. True when the last key was seen.
    /// Readers that ask below the revision are turned away by the caller; readers at or above it keep their answers while this runs.
    /// </summary>
    bool Compact(long revision, ref byte[]? cursor, int budget, List<RecordKey> removed);

    /// <summary>Any thread: the record of the version that is live at a revision (newest ≤ <paramref name="revision"/>; false when none or a tombstone).</summary>
    bool TryFind(ReadOnlySpan<byte> key, long revision, out RecordKey at);

    /// <summary>
    /// Any thread: the live keys in [start, end) at a revision, in order; an empty <paramref name="end"/> = no upper bound. The writer uses it with long.MaxValue and sees unpublished versions.
    /// A visitor must not wait or read from a disk: what the writer frees is not reused meanwhile. Collect a page of keys, then read their records.
    /// </summary>
    void Visit<TVisitor>(ReadOnlySpan<byte> start, ReadOnlySpan<byte> end, long revision, ref TVisitor visitor)
        where TVisitor : struct, IKeyVisitor;

    /// <summary>
    /// Any thread: what a state compacted at <paramref name="compacted"/> holds at <paramref name="revision"/> (S2), whatever was trimmed so far: every version above the compacted
    /// revision and per key the newest at or below it, unless that one is a tombstone strictly below. Begins behind version <paramref name="after"/> of the key
    /// <paramref name="start"/>. The caller keeps compaction from trimming beyond <paramref name="compacted"/>; a visitor must not wait or read from a disk.
    /// </summary>
    void VisitVersions<TVisitor>(ReadOnlySpan<byte> start, RecordKey after, long compacted, long revision, ref TVisitor visitor)
        where TVisitor : struct, IVersionVisitor;

    /// <summary>Any thread: whether the published index holds this version of the key.</summary>
    bool Contains(ReadOnlySpan<byte> key, RecordKey at);

    /// <summary>Any thread: how many keys in [start, end) are live at a revision. At the newest revision it costs O(log n), at older ones a walk.</summary>
    long Count(ReadOnlySpan<byte> start, ReadOnlySpan<byte> end, long revision);

    /// <summary>Any thread: keys that are live now.</summary>
    long LiveKeys { get; }
}
