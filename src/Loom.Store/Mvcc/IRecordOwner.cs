namespace Loom.Store.Mvcc;

/// <summary>Whose the records of a store are: what it asks before it gives any of them up. Any thread.</summary>
internal interface IRecordOwner
{
    /// <summary>Bytes that the records of the state take in the store.</summary>
    long NeededBytes { get; }

    /// <summary>Everything that a compaction at this revision drops has left the index.</summary>
    long TrimmedRevision { get; }

    /// <summary>Whether the state, or a reader of it, may still ask for the record of this version of a key.</summary>
    bool Needs(ReadOnlySpan<byte> key, RecordKey at);

    /// <summary>Runs a step in the writer's place, between two batches: it may append. No longer than a fraction of a millisecond.</summary>
    void BetweenBatches(Action step);
}
