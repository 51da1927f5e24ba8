using System.Runtime.InteropServices;
using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>What becomes of a state that comes in chunks.</summary>
internal interface IStateSink
{
    /// <summary>A record, verified. Its bytes are the chunk's.</summary>
    void Take(in StateRecord record);

    /// <summary>All versions of the key whose records came last, oldest first.</summary>
    void EndKey(ReadOnlySpan<byte> key, ReadOnlySpan<KeyVersion> versions);
}

/// <summary>
/// Takes the chunks of a state in, one after the other. Every chunk is verified before anything of it is taken: checksums, that it follows the one before, order, and that each
/// version is one that S2 keeps; at the end the whole is compared with what its header says.
/// </summary>
internal sealed class StateIntake(StateHeader header, IStateSink sink)
{
    private readonly List<KeyVersion> versions = [];
    private StateCursor cursor = StateCursor.Start;
    private ReadOnlyMemory<byte> end;
    private ContentSums sums;
    private long liveKeys;

    /// <exception cref="RaftException">The chunk is damaged, or of a newer version; nothing of it was taken.</exception>
    /// <exception cref="LoomException">The sink failed; a part of the chunk may be in.</exception>
    public void Take(StateChunk chunk)
    {
        List<StateRecord> taken = StateChunkCodec.Decode(chunk, end);
        if (!Verify(taken).Encode().Span.SequenceEqual(chunk.Cursor.Span))
        {
            throw StateChunkCodec.Damaged("it ends at another place than it says");
        }

        foreach (StateRecord record in taken)
        {
            Take(record);
        }

        end = chunk.Cursor.ToArray();
    }

    /// <summary>That was the last one.</summary>
    /// <exception cref="RaftException">Corruption: all together they are not what the header names.</exception>
    public void Complete()
    {
        EndKey();
#if LOOM_MUTATIONS
        if (Raft.Diagnostics.Mutations.On("S5-unchecked-install"))
        {
            return;
        }
#endif
        if (liveKeys != header.LiveKeys || sums != header.Content)
        {
            throw new RaftException(
                RaftErrorCode.Corruption,
                $"The state that was collected is not the one that its header names: {liveKeys} live keys and {sums}, expected {header.LiveKeys} and {header.Content}. Nothing was changed. Take the state from another member.");
        }
    }

    /// <summary>Order, and that every version is one that S2 keeps. Nothing is taken yet.</summary>
    private StateCursor Verify(List<StateRecord> taken)
    {
        StateCursor place = cursor;
        foreach (StateRecord record in taken)
        {
            ReadOnlyMemory<byte> key = KeyOf(record);
            if (!place.Precedes(key.Span, record.At) || record.At.Sub < 0)
            {
                throw StateChunkCodec.Damaged($"record {record.At.Main}.{record.At.Sub} is out of order");
            }

            bool first = !place.Key.Span.SequenceEqual(key.Span);
            bool kept = record.At.Main > header.State.CompactRevision
                || (first && !(RecordCodec.IsTombstone(record.Bytes.Span) && record.At.Main < header.State.CompactRevision));
            if (!kept || record.At.Main > header.State.Revision || record.At.Main < 0)
            {
                throw StateChunkCodec.Damaged($"record {record.At.Main}.{record.At.Sub} does not belong to a state at {header.State.Revision} that is compacted at {header.State.CompactRevision}");
            }

            place = new(key, record.At);
        }

        return place;
    }

    private static ReadOnlyMemory<byte> KeyOf(StateRecord record)
    {
        try
        {
            ReadOnlyMemory<byte> key = RecordCodec.Read(record.At, record.Bytes).Key;
            return key.IsEmpty ? throw StateChunkCodec.Damaged($"record {record.At.Main}.{record.At.Sub} has an empty key") : key;
        }
        catch (LoomException fault)
        {
            throw StateChunkCodec.Damaged(fault.Message);
        }
    }

    private void Take(in StateRecord record)
    {
        RecordHeader pair = RecordCodec.ReadHeader(record.At, record.Bytes.Span);
        if (!cursor.Key.Span.SequenceEqual(pair.Key))
        {
            EndKey();
        }

        sink.Take(record);

        // The chunk does not live as long as the place.
        cursor = new(versions.Count > 0 ? cursor.Key : pair.Key.ToArray(), record.At);
        KeyVersion version = new(record.At, pair.IsTombstone, pair.Create, pair.Version, RecordMark.Of(record.At, record.Bytes.Span));
        sums = sums.With(version.Mark);
        versions.Add(version);
    }

    private void EndKey()
    {
        if (versions.Count == 0)
        {
            return;
        }

        sink.EndKey(cursor.Key.Span, CollectionsMarshal.AsSpan(versions));
        liveKeys += versions[^1].IsDeleted ? 0 : 1;
        versions.Clear();
    }
}
