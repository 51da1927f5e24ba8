using System.Runtime.InteropServices;
using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>
/// The state at one revision, read in key order while the applier goes on. It holds no copy and no old tree: versions above its revision are passed over, and nothing at or below it
/// goes as long as it is open, because compaction waits (<see cref="OpenCaptures"/>). Its reads wait for no reader of the applier's.
/// </summary>
internal sealed class StateSnapshot : IStateSnapshot
{
    // Records that are read from a disk together.
    private const int PageRecords = 256;

    private readonly StateGeneration generation;
    private readonly StateHeader header;
    private readonly Action<StateSnapshot> close;
    private readonly List<RecordKey> page = new(PageRecords);
    private readonly List<StateRecord> taken = [];
    private readonly ReadOnlyMemory<byte>[] found = new ReadOnlyMemory<byte>[PageRecords];
    private string? ended;

    public StateSnapshot(StatePosition at, StateGeneration generation, StateHeader header, Action<StateSnapshot> close)
    {
        At = at;
        this.generation = generation;
        this.header = header;
        this.close = close;
        Header = header.Encode();
    }

    /// <inheritdoc/>
    public StatePosition At { get; }

    /// <inheritdoc/>
    public ReadOnlyMemory<byte> Header { get; }

    /// <inheritdoc/>
    public long EstimatedBytes => header.Content.Bytes + (header.Content.Records * StateChunkCodec.RecordOverheadBytes);

    /// <inheritdoc/>
    public StateChunk? Read(ReadOnlyMemory<byte> after, int maxBytes)
    {
        ThrowIfEnded();
        if (!StateCursor.TryDecode(after, out StateCursor cursor))
        {
            throw new RaftException(RaftErrorCode.Corruption, "The place after which a state is to be read is not one that it gave. Begin it again.");
        }

        taken.Clear();
        try
        {
            cursor = Take(cursor, maxBytes - StateChunkCodec.EmptyBytes(after));
        }
        catch (LoomException fault)
        {
            ThrowIfEnded();
            throw SnapshotFaults.Translate(fault);
        }

        // Trimming begins only after it was ended: what was read before that is whole.
        ThrowIfEnded();
        return taken.Count == 0 ? null : StateChunkCodec.Encode(after, taken, cursor.Encode());
    }

    /// <summary>Any thread: what it captured may go from now on.</summary>
    public void End(string why) => Volatile.Write(ref ended, why);

    /// <inheritdoc/>
    public void Dispose()
    {
        End("it was closed");
        close(this);
    }

    /// <summary>Takes records until they fill what is left, but at least one; returns where it ends.</summary>
    private StateCursor Take(StateCursor cursor, int left)
    {
        while (true)
        {
            var collector = new Collector(page, Math.Clamp(left / AverageBytes(), 1, PageRecords));
            page.Clear();
            generation.Index.VisitVersions(cursor.Key.Span, cursor.At, header.State.CompactRevision, header.State.Revision, ref collector);
            Span<RecordKey> keys = CollectionsMarshal.AsSpan(page);
            generation.Records.ReadMany(keys, found.AsSpan(0, keys.Length));
            for (int i = 0; i < keys.Length; i++)
            {
                ReadOnlyMemory<byte> record = found[i].IsEmpty ? throw Missing(keys[i]) : found[i];
                left -= StateChunkCodec.RecordBytes(record);
                if (left < 0 && taken.Count > 0)
                {
                    return cursor;
                }

                taken.Add(new(keys[i], record));
                cursor = new(record.Slice(RecordCodec.HeaderBytes, RecordCodec.Key(record.Span).Length), keys[i]);
            }

            if (keys.Length < collector.Limit || left <= 0)
            {
                return cursor;
            }
        }
    }

    private int AverageBytes() => header.Content.Records == 0 ? 1 : (int)Math.Clamp(EstimatedBytes / header.Content.Records, 1, 1 << 20);

    private void ThrowIfEnded()
    {
        if (generation.IsCondemned)
        {
            throw new RaftException(RaftErrorCode.Corruption, "This capture is of a state that differs from that of the majority (S5). Take it from another member.");
        }

        if (Volatile.Read(ref ended) is { } why)
        {
            throw new RaftException(RaftErrorCode.Stopped, $"This capture of the state cannot be read any more: {why}. Capture it again.");
        }
    }

    private static LoomException Missing(RecordKey at) => new(
        LoomErrorCode.Corruption, $"The record of revision {at.Main}.{at.Sub} is gone. Nothing was changed. Take the state from another member, and restart this one.");

    private readonly struct Collector(List<RecordKey> found, int limit) : IVersionVisitor
    {
        public int Limit => limit;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            found.Add(at);
            return found.Count < limit;
        }
    }
}
