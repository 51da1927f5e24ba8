using System.Runtime.InteropServices;
using Loom.Store.Alarms;
using Loom.Store.Auth;
using Loom.Store.Leases;
using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>
/// The state that an entry decides on: everything applied before it, under what it has staged so far. The applier's thread only.
/// Reads of the newest state see the batch; reads of an old revision are of history and never do.
/// </summary>
/// <param name="index">Keys.</param>
/// <param name="records">Their records.</param>
/// <param name="leases">The leases before the entry: none of its changes is in there yet.</param>
internal sealed class StagedView(IKeyIndex index, IRecordReads records, LeaseTable leases) : IReadState
{
    public WriteBatch Batch { get; } = new();

    public long Revision => Batch.Revision;

    public long CompactRevision { get; private set; } = -1;

    /// <summary>The alarms that are active when the entry comes.</summary>
    public AlarmTable Alarms { get; private set; } = AlarmTable.Empty;

    public LeaseTable Leases => leases;

    /// <summary>Users and roles when the entry comes.</summary>
    public AuthState Auth { get; private set; } = AuthState.Initial;

    /// <summary>Cluster time of the entry (T5).</summary>
    public long ClusterTime { get; private set; }

    /// <summary>Term of the entry: of the leader that took it into the log.</summary>
    public long Term { get; private set; }

    /// <summary>Index of the entry.</summary>
    public long EntryIndex { get; private set; }

    public void Begin(long revision, long compactRevision, AlarmTable alarms, AuthState auth, long clusterTime, long term, long index)
    {
        Batch.Begin(revision);
        CompactRevision = compactRevision;
        Alarms = alarms;
        Auth = auth;
        EntryIndex = index;
        ClusterTime = clusterTime;
        Term = term;
    }

    public bool TryGetHead(ReadOnlyMemory<byte> key, out KeyHead head)
    {
        if (Batch.TryFind(key, out Change change))
        {
            head = new KeyHead(change.At, change.IsTombstone, change.Create, change.Version);
            return !change.IsTombstone;
        }

        return index.TryGetNewest(key.Span, out head) && !head.IsDeleted;
    }

    public KeyValue? Find(ReadOnlyMemory<byte> key, long revision)
    {
        if (revision > 0)
        {
            index.Publish();
            return index.TryFind(key.Span, revision, out RecordKey record) ? RecordReads.Read(records, record, key.Span) : null;
        }

        if (Batch.TryFind(key, out Change change))
        {
            return change.IsTombstone ? null : change.ToPair();
        }

        return index.TryGetNewest(key.Span, out KeyHead head) && !head.IsDeleted ? RecordReads.Read(records, head.At, key.Span) : null;
    }

    public long Collect(KeyRange range, long revision, long limit, List<KeyValue>? pairs)
    {
        if (revision > 0)
        {
            // History may hold versions that earlier entries of this batch of entries installed and nobody published yet: show them to this walk.
            // Readers cannot see them: the published revision is still lower.
            index.Publish();
            return ReadView.Collect(index, records, range, revision, limit, pairs);
        }

        if (Batch.Changes.Count == 0)
        {
            return ReadView.Collect(index, records, range, long.MaxValue, limit, pairs);
        }

        if (range.IsSingle)
        {
            KeyValue? pair = pairs is null ? null : Find(range.Start, 0);
            if (pair is not null)
            {
                pairs!.Add(pair);
            }

            return TryGetHead(range.Start, out _) ? 1 : 0;
        }

        return range.IsEmpty() ? 0 : Merge(range, limit, pairs);
    }

    /// <summary>The live keys of a range, in order, without their records: what a delete needs.</summary>
    public void CollectKeys(KeyRange range, List<ReadOnlyMemory<byte>> keys)
    {
        if (range.IsSingle)
        {
            if (TryGetHead(range.Start, out _))
            {
                keys.Add(range.Start);
            }
        }
        else if (!range.IsEmpty())
        {
            var merger = new Merger(Batch.Find(range), 0, null, keys);
            index.Visit(range.Start.Span, range.IsOpenEnded() ? default : range.End.Span, long.MaxValue, ref merger);
            merger.Finish();
        }
    }

    private long Merge(KeyRange range, long limit, List<KeyValue>? pairs)
    {
        List<Found>? found = pairs is null ? null : [];
        var merger = new Merger(Batch.Find(range), limit, found, null);
        index.Visit(range.Start.Span, range.IsOpenEnded() ? default : range.End.Span, long.MaxValue, ref merger);
        merger.Finish();
        if (found is not null)
        {
            Materialise(found, pairs!);
        }

        return merger.Count;
    }

    private void Materialise(List<Found> found, List<KeyValue> pairs)
    {
        // Records in one pipelined read, then both sources in key order.
        List<RecordKey> keys = [];
        foreach (Found item in found)
        {
            if (item.Staged is null)
            {
                keys.Add(item.At);
            }
        }

        List<KeyValue> stored = new(keys.Count);
        RecordReads.ReadMany(records, CollectionsMarshal.AsSpan(keys), stored);
        int next = 0;
        foreach (Found item in found)
        {
            pairs.Add(item.Staged ?? stored[next++]);
        }
    }

    private readonly record struct Found(RecordKey At, KeyValue? Staged);

    /// <summary>Merges the index's walk with the staged changes of the range, both in key order; a staged change hides the stored version.</summary>
    private struct Merger(List<Change> staged, long limit, List<Found>? found, List<ReadOnlyMemory<byte>>? keys) : IKeyVisitor
    {
        private int next;

        public long Count { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            while (next < staged.Count)
            {
                int order = staged[next].Key.Span.SequenceCompareTo(key);
                if (order > 0)
                {
                    break;
                }

                TakeStaged();
                if (order == 0)
                {
                    return true;
                }
            }

            Count++;
            keys?.Add(key.ToArray());
            Add(new Found(at, null));
            return true;
        }

        public void Finish()
        {
            while (next < staged.Count)
            {
                TakeStaged();
            }
        }

        private void TakeStaged()
        {
            Change change = staged[next++];
            if (!change.IsTombstone)
            {
                Count++;
                keys?.Add(change.Key);
                Add(new Found(change.At, found is null ? null : change.ToPair()));
            }
        }

        private readonly void Add(Found item)
        {
            if (found is not null && (limit <= 0 || found.Count < limit))
            {
                found.Add(item);
            }
        }
    }
}
