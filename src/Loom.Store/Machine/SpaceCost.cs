using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Store.Machine;

/// <summary>
/// By how much a command may make the state larger, as etcd reckons it: 256 bytes and key and value per put, 64 per lease; a transaction costs what the larger of its branches does,
/// whichever will run. Zero: it is admitted from the reserve (S6). A delete adds a tombstone, but is how space comes back.
/// </summary>
internal static class SpaceCost
{
    private const int PutOverheadBytes = 256;
    private const int LeaseBytes = 64;

    public static long Of(Command command) => command switch
    {
        PutCommand put => Of(put.Put),
        TransactionCommand transaction => Of(transaction.Transaction),
        LeaseGrantCommand => LeaseBytes,
        _ => 0,
    };

    private static long Of(PutOperation put) => PutOverheadBytes + put.Key.Length + put.Value.Length;

    // etcd does not look into nested transactions, so that puts in them pass a full store. Ours count.
    private static long Of(Transaction transaction) => Math.Max(Of(transaction.Success), Of(transaction.Failure));

    private static long Of(IReadOnlyList<Operation> branch)
    {
        long cost = 0;
        foreach (Operation operation in branch)
        {
            cost += operation switch
            {
                PutOperation put => Of(put),
                NestedOperation nested => Of(nested.Transaction),
                _ => 0,
            };
        }

        return cost;
    }
}
