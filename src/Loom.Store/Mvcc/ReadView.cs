using System.Runtime.InteropServices;
using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>
/// The published state at one revision, for readers on any thread. It costs nothing to make and holds nothing open, so compaction may overtake it:
/// whoever reads through it asks afterwards whether the compacted revision has passed the revision that was read, and if so discards the answer
/// (Reads/LocalReads does; compaction publishes its revision before it trims, so a trimmed answer is always noticed).
/// </summary>
internal readonly struct ReadView(IKeyIndex index, IRecordReads records, long revision, long compactRevision) : IReadState
{
    public long Revision => revision;

    public long CompactRevision => compactRevision;

    public bool TryGetHead(ReadOnlyMemory<byte> key, out KeyHead head)
    {
        // The index keeps create and version for its writer only; a reader takes them from the record of its own revision.
        KeyValue? pair = Find(key, 0);
        head = pair is null ? default : new KeyHead(new RecordKey(pair.ModRevision, 0), false, pair.CreateRevision, pair.Version);
        return pair is not null;
    }

    public KeyValue? Find(ReadOnlyMemory<byte> key, long at) =>
        index.TryFind(key.Span, at <= 0 ? revision : at, out RecordKey record) ? RecordReads.Read(records, record, key.Span) : null;

    public long Collect(KeyRange range, long at, long limit, List<KeyValue>? pairs) =>
        Collect(index, records, range, at <= 0 ? revision : at, limit, pairs);

    /// <summary>The walk itself, shared with the applier's reads of history.</summary>
    internal static long Collect(IKeyIndex index, IRecordReads records, KeyRange range, long at, long limit, List<KeyValue>? pairs)
    {
        if (range.IsSingle)
        {
            if (!index.TryFind(range.Start.Span, at, out RecordKey record))
            {
                return 0;
            }

            pairs?.Add(RecordReads.Read(records, record, range.Start.Span));
            return 1;
        }

        if (range.IsEmpty())
        {
            return 0;
        }

        ReadOnlySpan<byte> end = range.IsOpenEnded() ? default : range.End.Span;
        if (pairs is null)
        {
            return index.Count(range.Start.Span, end, at);
        }

        var collector = new Collector([], limit);
        index.Visit(range.Start.Span, end, at, ref collector);
        RecordReads.ReadMany(records, CollectionsMarshal.AsSpan(collector.Found), pairs);

        // A walk that the limit did not end has met every key.
        return limit > 0 && collector.Found.Count >= limit ? index.Count(range.Start.Span, end, at) : collector.Found.Count;
    }

    private readonly struct Collector(List<RecordKey> found, long limit) : IKeyVisitor
    {
        public List<RecordKey> Found => found;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            found.Add(at);
            return limit <= 0 || found.Count < limit;
        }
    }
}
