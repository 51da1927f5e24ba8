using Loom.Raft.Sessions;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Compact: history below the revision may go. The current revision may be compacted and stays readable; one that is compacted already is refused
/// (Kubernetes relies on it). A store never compacted stands at -1, so a first compaction of 0 is allowed. It adds no revision.
/// </summary>
internal static class CompactRule
{
    public static Decision Decide(long revision, StagedView state, bool wantsResult)
    {
        if (revision <= state.CompactRevision)
        {
            return Decision.Refuse(LoomErrorCode.Compacted, state.Revision);
        }

        if (revision > state.Revision)
        {
            return Decision.Refuse(LoomErrorCode.FutureRevision, state.Revision);
        }

        state.Batch.Compact(revision);
        return new Decision(new Outcome(0, 0, state.Revision, 0), wantsResult ? new Revision(state.Revision) : null);
    }
}
