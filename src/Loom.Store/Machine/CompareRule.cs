using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Conditions of a transaction. Over a range all keys must hold. Where there is no key, one pair of zeros is compared, so that "create = 0" means absent;
/// except for values: an absent key fails every value compare, NotEqual too. An unknown way to compare holds.
/// </summary>
internal static class CompareRule
{
    public static bool Holds(Compare compare, IReadState state)
    {
        // A condition on numbers of one key needs no record: the index knows them. (The lease stands in the record only.)
        if (compare.Range.IsSingle && compare.Target is (CompareTarget.Version or CompareTarget.Create or CompareTarget.Mod))
        {
            bool exists = state.TryGetHead(compare.Range.Start, out KeyHead head);
            return Relates(compare.Result, Target(compare.Target, exists ? head : default).CompareTo(compare.Number));
        }

        List<KeyValue> pairs = [];
        state.Collect(compare.Range, 0, 0, pairs);
        if (pairs.Count == 0)
        {
            return compare.Target != CompareTarget.Value && Relates(compare.Result, Order(compare, null));
        }

        return pairs.TrueForAll(pair => Relates(compare.Result, Order(compare, pair)));
    }

    private static long Target(CompareTarget target, KeyHead head) => target switch
    {
        CompareTarget.Version => head.Version,
        CompareTarget.Create => head.Create,
        _ => head.At.Main,
    };

    private static int Order(Compare compare, KeyValue? pair) => compare.Target switch
    {
        CompareTarget.Version => (pair?.Version ?? 0).CompareTo(compare.Number),
        CompareTarget.Create => (pair?.CreateRevision ?? 0).CompareTo(compare.Number),
        CompareTarget.Mod => (pair?.ModRevision ?? 0).CompareTo(compare.Number),
        CompareTarget.Value => pair!.Value.Span.SequenceCompareTo(compare.Value.Span),
        CompareTarget.Lease => (pair?.Lease ?? 0).CompareTo(compare.Number),
        _ => 0, // an unknown target compares as equal, as in etcd
    };

    private static bool Relates(CompareResult result, int order) => result switch
    {
        CompareResult.Equal => order == 0,
        CompareResult.Greater => order > 0,
        CompareResult.Less => order < 0,
        CompareResult.NotEqual => order != 0,
        _ => true,
    };
}
