using Loom.Raft.Sessions;
using Loom.Store.Leases;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Put: version + 1 and the create revision kept while the key lives; after a deletion it is born again with version 1.
/// A put without a lease detaches the old one.
/// </summary>
internal static class PutRule
{
    public static Decision Decide(PutOperation put, StagedView state, bool wantsResult)
    {
        // etcd looks at the lease first here, and at the key first inside a transaction.
        LoomErrorCode refusal = CheckLease(put, state.Leases);
        if (refusal == 0)
        {
            refusal = CheckKey(put, state);
        }

        if (refusal != 0 || !TryStage(put, state, wantsResult, out PutResult? result))
        {
            return Decision.Refuse(refusal != 0 ? refusal : LoomErrorCode.KeyNotFound, state.Batch.BeginRevision);
        }

        return new Decision(new Outcome(0, 0, state.Revision, 0), result);
    }

    /// <summary>The lease must be there; one that is due and has not ended yet is.</summary>
    public static LoomErrorCode CheckLease(PutOperation put, LeaseTable leases) =>
        put.Lease != 0 && !leases.TryFind(put.Lease, out _) ? LoomErrorCode.LeaseNotFound : 0;

    /// <summary>Keeping a value or lease needs one.</summary>
    public static LoomErrorCode CheckKey(PutOperation put, IReadState state) =>
        (put.IgnoreValue || put.IgnoreLease) && !state.TryGetHead(put.Key, out _) ? LoomErrorCode.KeyNotFound : 0;

    /// <summary>False: the key that the put wants to keep something of is gone, which only an earlier operation of the same transaction can bring about.</summary>
    public static bool TryStage(PutOperation put, StagedView state, bool wantsResult, out PutResult? result)
    {
        result = null;
        bool keeps = put.IgnoreValue || put.IgnoreLease;
        KeyValue? previous = keeps || (put.PreviousPair && wantsResult) ? state.Find(put.Key, 0) : null;
        if (keeps && previous is null)
        {
            return false;
        }

        bool exists = state.TryGetHead(put.Key, out KeyHead head);
        long revision = state.Batch.BeginRevision + 1;
        long version = exists ? head.Version + 1 : 1;
#if LOOM_MUTATIONS
        if (Raft.Diagnostics.Mutations.On("T4-apply-reads-local-state") && wantsResult)
        {
            version++;
        }
#endif
        state.Batch.Put(
            put.Key,
            put.IgnoreValue ? previous!.Value : put.Value,
            exists ? head.Create : revision,
            version,
            put.IgnoreLease ? previous!.Lease : put.Lease);
        result = wantsResult ? new PutResult(new Revision(revision), put.PreviousPair ? previous : null) : null;
        return true;
    }
}
