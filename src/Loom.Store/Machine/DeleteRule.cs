using Loom.Raft.Sessions;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>Delete: one tombstone per live key in the range, in key order. Nothing there: nothing changes, the revision included.</summary>
internal static class DeleteRule
{
    public static Decision Decide(DeleteOperation delete, StagedView state, bool wantsResult)
    {
        long deleted = Stage(delete, state, wantsResult, out DeleteResult? result);
        return new Decision(new Outcome(0, 0, state.Revision, deleted), result);
    }

    public static long Stage(DeleteOperation delete, StagedView state, bool wantsResult, out DeleteResult? result)
    {
        List<KeyValue> previous = [];
        if (wantsResult && delete.PreviousPairs)
        {
            state.Collect(delete.Range, 0, 0, previous);
        }

        List<ReadOnlyMemory<byte>> keys = [];
        state.CollectKeys(delete.Range, keys);
        foreach (ReadOnlyMemory<byte> key in keys)
        {
            state.Batch.Delete(key);
        }

        result = wantsResult ? new DeleteResult(new Revision(state.Revision), keys.Count, previous) : null;
        return keys.Count;
    }
}
