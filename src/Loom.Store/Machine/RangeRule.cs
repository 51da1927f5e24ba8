using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// A range query as late etcd 3.5 answers it, its quirks included: the count ignores limit and filters; a sort order or any filter fetches everything before the cut;
/// a sort target without an order sorts ascending, but only what the limit let through in key order.
/// </summary>
internal static class RangeRule
{
    /// <summary>Refusal by revision of a query of its own (inside a transaction: <see cref="TransactionRule"/>).</summary>
    public static LoomErrorCode CheckRevision(long revision, IReadState state)
    {
        if (revision > state.Revision)
        {
            return LoomErrorCode.FutureRevision;
        }

        long at = revision <= 0 ? state.Revision : revision;
        return at < state.CompactRevision ? LoomErrorCode.Compacted : 0;
    }

    /// <summary>Runs a query whose revision was checked.</summary>
    public static RangeResult Run<TState>(RangeQuery query, TState state)
        where TState : IReadState
    {
        var revision = new Revision(state.Revision);
        if (query.CountOnly)
        {
            return new RangeResult(revision, [], false, state.Collect(query.Range, query.Revision, 0, null));
        }

        bool filtered = (query.MinModRevision | query.MaxModRevision | query.MinCreateRevision | query.MaxCreateRevision) != 0;
        bool fetchesAll = query.Limit <= 0 || query.SortOrder != SortOrder.None || filtered;

        // One more than asked for tells whether there is more. (A limit of long.MaxValue stays one.)
        long limit = fetchesAll ? 0 : query.Limit == long.MaxValue ? query.Limit : query.Limit + 1;
        List<KeyValue> pairs = [];
        long count = state.Collect(query.Range, query.Revision, limit, pairs);
        if (filtered)
        {
            pairs.RemoveAll(pair => !Passes(query, pair));
        }

        Sort(query, pairs);
        bool more = query.Limit > 0 && pairs.Count > query.Limit;
        if (more)
        {
            pairs.RemoveRange((int)query.Limit, pairs.Count - (int)query.Limit);
        }

        if (query.KeysOnly)
        {
            for (int i = 0; i < pairs.Count; i++)
            {
                pairs[i] = pairs[i] with { Value = default };
            }
        }

        return new RangeResult(revision, pairs, more, count);
    }

    private static bool Passes(RangeQuery query, KeyValue pair) =>
        (query.MinModRevision == 0 || pair.ModRevision >= query.MinModRevision)
        && (query.MaxModRevision == 0 || pair.ModRevision <= query.MaxModRevision)
        && (query.MinCreateRevision == 0 || pair.CreateRevision >= query.MinCreateRevision)
        && (query.MaxCreateRevision == 0 || pair.CreateRevision <= query.MaxCreateRevision);

    private static void Sort(RangeQuery query, List<KeyValue> pairs)
    {
        SortOrder order = query.SortTarget != SortTarget.Key && query.SortOrder == SortOrder.None ? SortOrder.Ascend : query.SortOrder;
        if (order is SortOrder.Ascend or SortOrder.Descend)
        {
            int sign = order == SortOrder.Ascend ? 1 : -1;

            // etcd's sort is unstable: any order of equals is right. Ours ends ties by key, so that every replica answers alike.
            pairs.Sort((x, y) =>
            {
                int by = sign * CompareBy(query.SortTarget, x, y);
                return by != 0 ? by : x.Key.Span.SequenceCompareTo(y.Key.Span);
            });
        }
    }

    private static int CompareBy(SortTarget target, KeyValue x, KeyValue y) => target switch
    {
        SortTarget.Version => x.Version.CompareTo(y.Version),
        SortTarget.Create => x.CreateRevision.CompareTo(y.CreateRevision),
        SortTarget.Mod => x.ModRevision.CompareTo(y.ModRevision),
        SortTarget.Value => x.Value.Span.SequenceCompareTo(y.Value.Span),
        _ => x.Key.Span.SequenceCompareTo(y.Key.Span),
    };
}
