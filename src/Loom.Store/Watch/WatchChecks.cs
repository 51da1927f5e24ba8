using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;

namespace Loom.Store.Watch;

/// <summary>What makes a watch impossible whatever the state.</summary>
internal static class WatchChecks
{
    private static readonly Fault EmptyRange = new(LoomErrorCode.InvalidRequest, "the watched range is empty: its end is not above its start. Give a greater end, or none for one key");
    private static readonly Fault NegativeRevision = new(LoomErrorCode.InvalidRequest, "a watch cannot begin at a negative revision. Give one that a write or read returned, or none");

    public static void Check(WatchQuery query)
    {
        ArgumentNullException.ThrowIfNull(query);
        Fault? fault = RequestChecks.Check(new RangeQuery(query.Range))
            ?? (query.Range.IsEmpty() ? EmptyRange : query.From.Number < 0 ? NegativeRevision : null);
        if (fault is { } found)
        {
            throw Refusals.ToException(found);
        }
    }
}
