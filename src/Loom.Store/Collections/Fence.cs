using Loom.Store.Model;
using static Loom.Store.Conditions;

namespace Loom.Store.Collections;

/// <summary>
/// A transaction under the condition that a claim stands (F1), and its answer without it. The condition is one more of the transaction's own, so that the outcome alone, which survives a retry (P1), says that both held.
/// When they did not, the failure branch tells which: it reads the claim first if it writes nothing (a read does no harm where the fence has fallen), and is nested under the fence once more if it writes.
/// </summary>
/// <param name="token">What must stand.</param>
internal sealed class Fence(FencingToken token)
{
    public FencingToken Token => token;

    /// <summary>A create revision belongs to one life of one key: an equal one is the same claim, without a gap in between.</summary>
    public Compare Stands { get; } = CreateRevision(token.Key) == token.Revision;

    public static bool Writes(IReadOnlyList<Operation> operations) => operations.Any(operation => operation is not RangeOperation);

    public Transaction Around(Transaction transaction) => new(
        [Stands, .. transaction.Compares],
        transaction.Success,
        Writes(transaction.Failure)
            ? [new NestedOperation(new Transaction([Stands], transaction.Failure, []))]
            : [new RangeOperation(new RangeQuery(KeyRange.Single(token.Key)) { KeysOnly = true }), .. transaction.Failure]);

    /// <summary>The answer without the fence; null: it has fallen. Not for an answer that lost its results.</summary>
    public TransactionResult? Judge(Transaction transaction, TransactionResult result)
    {
        if (result.Succeeded)
        {
            return result;
        }

        if (Writes(transaction.Failure))
        {
            return result.Results is [NestedResult { Result: { Succeeded: true } nested }] ? result with { Results = nested.Results } : null;
        }

        bool stood = result.Results is [RangeOperationResult { Result.Pairs: [KeyValue claim] }, ..] && claim.CreateRevision == token.Revision.Number;
        return stood ? result with { Results = [.. result.Results.Skip(1)] } : null;
    }
}
