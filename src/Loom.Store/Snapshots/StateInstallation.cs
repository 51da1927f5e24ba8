using System.Runtime.InteropServices;
using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>A state that was collected whole: what the machine switches to.</summary>
internal sealed record InstalledState(StateHeader Header, IKeyIndex Index, IRecordStore Records, StateContent Content);

/// <summary>
/// Collects a state beside the present one (S3): records into a store of their own, keys into an index that is built from the order in which they come.
/// Every chunk is verified before anything of it is taken: checksums, that it follows the one before, order, and that each version is one that S2 keeps.
/// </summary>
internal sealed class StateInstallation : IStateInstallation
{
    private readonly StateHeader header;
    private readonly IRecordInstallation records;
    private readonly Action close;
    private readonly KeyIndex.Loader index = new();
    private readonly ContentLoader content = new();
    private readonly List<KeyVersion> versions = [];
    private StateCursor cursor = StateCursor.Start;
    private ReadOnlyMemory<byte> end;
    private long liveKeys;
    private InstalledState? completed;
    private bool failed;
    private bool disposed;

    public StateInstallation(StatePosition at, StateHeader header, IRecordInstallation records, Action close)
    {
        At = at;
        this.header = header;
        this.records = records;
        this.close = close;
    }

    /// <inheritdoc/>
    public StatePosition At { get; }

    /// <inheritdoc/>
    public void Write(StateChunk chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        if (completed is not null || failed || disposed)
        {
            throw new InvalidOperationException("a chunk came after the end of an installation");
        }

        List<StateRecord> taken = StateChunkCodec.Decode(chunk, end);
        StateCursor last = Verify(taken);
        if (!last.Encode().Span.SequenceEqual(chunk.Cursor.Span))
        {
            throw StateChunkCodec.Damaged("it ends at another place than it says");
        }

        try
        {
            foreach (StateRecord record in taken)
            {
                Take(record);
            }
        }
        catch (LoomException fault)
        {
            // A part of the chunk may be in.
            failed = true;
            throw SnapshotFaults.Translate(fault);
        }

        end = chunk.Cursor.ToArray();
    }

    /// <inheritdoc/>
    public void Complete()
    {
        if (completed is not null)
        {
            return;
        }

        EndKey();
        if (liveKeys != header.LiveKeys || content.Sums != header.Content)
        {
            throw new RaftException(
                RaftErrorCode.Corruption,
                $"The state that was collected is not the one that its header names: {liveKeys} live keys and {content.Sums}, expected {header.LiveKeys} and {header.Content}. Nothing was changed. Take the state from another member.");
        }

        records.Complete(new StoredState(At, header.Encode()));
        completed = new InstalledState(header, index.Complete(), records.Records, content.Complete());
    }

    /// <summary>The applier's thread: puts the whole in force, on the disk too, and gives it over. From here on it belongs to the machine.</summary>
    public InstalledState Take()
    {
        InstalledState state = completed ?? throw new InvalidOperationException("an installation that is not complete cannot be switched to");
        records.Adopt();
        return state;
    }

    /// <summary>The state that it replaced is closed.</summary>
    public void DeleteReplaced() => records.DeleteReplaced();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        records.Dispose();
        close();
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

    private void Take(StateRecord record)
    {
        records.Records.Append(record.At, record.Bytes.Span, At.Index);
        Model.KeyValue pair = RecordCodec.Read(record.At, record.Bytes);
        if (!cursor.Key.Span.SequenceEqual(pair.Key.Span))
        {
            EndKey();
        }

        // The chunk does not live as long as the place.
        cursor = new(versions.Count > 0 ? cursor.Key : pair.Key.ToArray(), record.At);
        versions.Add(new(record.At, RecordCodec.IsTombstone(record.Bytes.Span), pair.CreateRevision, pair.Version, RecordMark.Of(record.At, record.Bytes.Span)));
    }

    private void EndKey()
    {
        if (versions.Count == 0)
        {
            return;
        }

        ReadOnlySpan<KeyVersion> all = CollectionsMarshal.AsSpan(versions);
        index.Add(cursor.Key.Span, all);
        content.Add(all);
        liveKeys += all[^1].IsDeleted ? 0 : 1;
        versions.Clear();
    }
}
