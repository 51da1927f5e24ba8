using Loom.Raft.Replica;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>Passes on of a state the newest version of each live key, as the chunks of the state that a compaction at its newest revision leaves.</summary>
internal sealed class NewestOnly(IStateInstallation target) : IStateSink
{
    private const int ChunkBytes = 60 * 1024;

    private readonly List<StateRecord> records = [];
    private StateRecord last;
    private ReadOnlyMemory<byte> after;
    private int bytes;

    /// <summary>That was all.</summary>
    public void Complete() => Flush();

    // The chunk does not live as long.
    void IStateSink.Take(in StateRecord record) => last = new StateRecord(record.At, record.Bytes.ToArray());

    void IStateSink.EndKey(ReadOnlySpan<byte> key, ReadOnlySpan<KeyVersion> versions)
    {
        if (versions[^1].IsDeleted)
        {
            return;
        }

        records.Add(last);
        bytes += StateChunkCodec.RecordBytes(last.Bytes);
        if (bytes >= ChunkBytes)
        {
            Flush();
        }
    }

    private void Flush()
    {
        if (records.Count == 0)
        {
            return;
        }

        StateRecord end = records[^1];
        StateChunk chunk = StateChunkCodec.Encode(after, records, new StateCursor(RecordCodec.Key(end.Bytes.Span).ToArray(), end.At).Encode());
        target.Write(chunk);
        after = chunk.Cursor;
        records.Clear();
        bytes = 0;
    }
}
