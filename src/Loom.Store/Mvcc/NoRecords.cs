namespace Loom.Store.Mvcc;

/// <summary>What a machine holds before it is opened (its cluster is still forming): nothing, and nothing may be appended.</summary>
internal sealed class NoRecords : IRecordStore
{
    public static readonly NoRecords Instance = new();

    public long SizeBytes => 0;

    public void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex) => throw new InvalidOperationException("The machine is not open.");

    public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record)
    {
        record = default;
        return false;
    }

    public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results) => results.Clear();

    public void Remove(RecordKey key)
    {
    }

    public void Dispose()
    {
    }
}
