using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>
/// The index named a record that the record store does not hold. For a reader it means that compaction overtook the read:
/// try again at the new revision. When the compacted revision has not moved, it is corruption.
/// </summary>
internal sealed class RecordGoneException(RecordKey at) : Exception($"The record of revision {at.Main}.{at.Sub} is gone.")
{
    public RecordKey At { get; } = at;
}

/// <summary>Index entries → pairs.</summary>
internal static class RecordReads
{
    private const int Chunk = 256;

    public static KeyValue Read(IRecordReads records, RecordKey at, ReadOnlySpan<byte> key)
    {
        if (!records.TryRead(at, out ReadOnlyMemory<byte> record))
        {
            throw new RecordGoneException(at);
        }

        KeyValue pair = RecordCodec.Read(at, record);
        return pair.Key.Span.SequenceEqual(key)
            ? pair
            : throw new LoomException(LoomErrorCode.Corruption, $"LOOM1020: the record of revision {at.Main}.{at.Sub} belongs to another key. Restart this member with an empty records directory: it is rebuilt from the log.");
    }

    /// <summary>Reads many in chunks, so that a large range pipelines its disk reads without a second copy of everything.</summary>
    public static void ReadMany(IRecordReads records, ReadOnlySpan<RecordKey> keys, List<KeyValue> pairs)
    {
        var results = new ReadOnlyMemory<byte>[Math.Min(keys.Length, Chunk)];
        for (int from = 0; from < keys.Length; from += Chunk)
        {
            ReadOnlySpan<RecordKey> part = keys.Slice(from, Math.Min(Chunk, keys.Length - from));
            records.ReadMany(part, results.AsSpan(0, part.Length));
            for (int i = 0; i < part.Length; i++)
            {
                pairs.Add(results[i].IsEmpty ? throw new RecordGoneException(part[i]) : RecordCodec.Read(part[i], results[i]));
            }
        }
    }
}
