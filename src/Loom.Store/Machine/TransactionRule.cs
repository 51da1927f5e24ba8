using Loom.Raft.Sessions;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// A transaction, in etcd's order of steps: all compares first, nested ones too, against the state before it; then, along the branches taken, what may refuse it
/// (puts, then the revisions of ranges); only then the operations, in order, later ones seeing earlier writes. One refusal and nothing is written.
/// </summary>
internal static class TransactionRule
{
    public static Decision Decide(Transaction transaction, StagedView state, bool wantsResult)
    {
        List<bool> path = [];
        Choose(transaction, state, path);
        int at = 0;
        LoomErrorCode refusal = Check(transaction, state, path, ref at, static (operation, view) => operation is PutOperation put ? CheckPut(put, view) : 0);
        if (refusal == 0)
        {
            refusal = CheckRanges(transaction, state, path);
        }

        at = 0;
        if (refusal != 0 || !TryRun(transaction, state, state, path, ref at, wantsResult, out List<OperationResult> results))
        {
            return Decision.Refuse(refusal != 0 ? refusal : LoomErrorCode.KeyNotFound, state.Batch.BeginRevision);
        }

        var outcome = new Outcome(0, path[0] ? 1 : 0, state.Revision, 0);
        return new Decision(outcome, wantsResult ? new TransactionResult(new Revision(state.Revision), path[0], results) : null);
    }

    /// <summary>Runs a read-only transaction on a published state.</summary>
    public static LoomErrorCode Read(Transaction transaction, IReadState state, out TransactionResult? result)
    {
        List<bool> path = [];
        Choose(transaction, state, path);
        LoomErrorCode refusal = CheckRanges(transaction, state, path);
        int at = 0;
        result = refusal == 0 && TryRun(transaction, state, null, path, ref at, true, out List<OperationResult> results)
            ? new TransactionResult(new Revision(state.Revision), path[0], results)
            : null;
        return refusal;
    }

    private static IReadOnlyList<Operation> Branch(Transaction transaction, bool held) => held ? transaction.Success : transaction.Failure;

    /// <summary>Which branch each transaction takes, in the order in which the branches meet them.</summary>
    private static void Choose(Transaction transaction, IReadState state, List<bool> path)
    {
        bool held = true;
        foreach (Compare compare in transaction.Compares)
        {
            if (!CompareRule.Holds(compare, state))
            {
                held = false;
                break;
            }
        }

        path.Add(held);
        foreach (Operation operation in Branch(transaction, held))
        {
            if (operation is NestedOperation nested)
            {
                Choose(nested.Transaction, state, path);
            }
        }
    }

    private static LoomErrorCode Check<TState>(Transaction transaction, TState state, List<bool> path, ref int at, Func<Operation, TState, LoomErrorCode> check)
        where TState : IReadState
    {
        foreach (Operation operation in Branch(transaction, path[at++]))
        {
            LoomErrorCode refusal = operation is NestedOperation nested ? Check(nested.Transaction, state, path, ref at, check) : check(operation, state);
            if (refusal != 0)
            {
                return refusal;
            }
        }

        return 0;
    }

    private static LoomErrorCode CheckPut(PutOperation put, StagedView state)
    {
        LoomErrorCode refusal = PutRule.CheckKey(put, state);
        return refusal != 0 ? refusal : PutRule.CheckLease(put, state.Leases);
    }

    /// <summary>Against the revision before the transaction: its own is still the future. Negative ones count as old, unlike outside of a transaction.</summary>
    private static LoomErrorCode CheckRanges(Transaction transaction, IReadState state, List<bool> path)
    {
        int at = 0;
        return Check(transaction, state, path, ref at, static (operation, view) =>
        {
            long revision = operation is RangeOperation range ? range.Query.Revision : 0;
            return revision == 0 ? 0
                : revision > view.Revision ? LoomErrorCode.FutureRevision
                : revision < view.CompactRevision ? LoomErrorCode.Compacted
                : 0;
        });
    }

    private static bool TryRun(
        Transaction transaction, IReadState reads, StagedView? writes, List<bool> path, ref int at, bool wantsResult, out List<OperationResult> results)
    {
        results = [];
        foreach (Operation operation in Branch(transaction, path[at++]))
        {
            OperationResult? result = null;
            switch (operation)
            {
                case PutOperation put:
                    if (!PutRule.TryStage(put, writes!, wantsResult, out PutResult? answer))
                    {
                        return false;
                    }

                    result = answer;
                    break;
                case DeleteOperation delete:
                    DeleteRule.Stage(delete, writes!, wantsResult, out DeleteResult? deleted);
                    result = deleted;
                    break;
                case RangeOperation range:
                    result = wantsResult ? new RangeOperationResult(RangeRule.Run(range.Query, reads)) : null;
                    break;
                case NestedOperation nested:
                    bool held = path[at];
                    if (!TryRun(nested.Transaction, reads, writes, path, ref at, wantsResult, out List<OperationResult> inner))
                    {
                        return false;
                    }

                    result = wantsResult ? new NestedResult(new TransactionResult(new Revision(reads.Revision), held, inner)) : null;
                    break;
            }

            if (result is not null)
            {
                results.Add(result);
            }
        }

        return true;
    }
}
