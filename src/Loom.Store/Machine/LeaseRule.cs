using Loom.Raft.Sessions;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Leases: time is that of the entry (T5), so every replica ends a lease at the same entry, and no leader can end one early, whatever it believes the time to be.
/// A lease ends by an entry only: until then it can be renewed and used, though it is due.
/// </summary>
internal static class LeaseRule
{
    public static Decision Grant(LeaseGrantCommand grant, StagedView state, bool wantsResult)
    {
        LoomErrorCode refusal = state.Leases.TryFind(grant.Id, out _) ? LoomErrorCode.LeaseExists
            : state.Leases.Count >= LeaseTable.MaxLeases ? LoomErrorCode.TooManyLeases
            : 0;
        if (refusal != 0)
        {
            return Decision.Refuse(refusal, state.Revision);
        }

        state.Batch.SetLease(LeaseTerm.From(grant.Id, grant.Seconds, state.ClusterTime));
        return new Decision(new Outcome(0, 0, state.Revision, 0), wantsResult ? new Revision(state.Revision) : null);
    }

    /// <summary>Its keys are deleted at one revision, in key order; without keys there is none.</summary>
    public static Decision Revoke(long id, StagedView state, bool wantsResult)
    {
        if (!state.Leases.TryFind(id, out LeaseTerm term))
        {
            return Decision.Refuse(LoomErrorCode.LeaseNotFound, state.Revision);
        }

        End(term, state);
        return new Decision(new Outcome(0, 0, state.Revision, 1), wantsResult ? new Revision(state.Revision) : null);
    }

    /// <summary>Those that are there get their whole time again, also when they are due; the answer says 0 for those that are not, and less for those that the caller may not renew.</summary>
    public static Decision Renew(LeaseRenewCommand command, StagedView state, bool wantsResult)
    {
        IReadOnlyList<long> ids = command.Ids;
        long renewed = 0;
        long[]? seconds = wantsResult ? new long[ids.Count] : null;
        for (int i = 0; i < ids.Count; i++)
        {
            if (!Authorisation.MayRenew(command, ids[i], state.Auth, state.Leases))
            {
                seconds?[i] = RenewResult.Denied;
            }
            else if (state.Leases.TryFind(ids[i], out LeaseTerm term))
            {
                renewed++;
                state.Batch.SetLease(LeaseTerm.From(term.Id, term.GrantedSeconds, state.ClusterTime));
                seconds?[i] = term.GrantedSeconds;
            }
        }

        return new Decision(new Outcome(0, 0, state.Revision, renewed), seconds is null ? null : new RenewResult(new Revision(state.Revision), seconds));
    }

    /// <summary>Those that are due now end, in the order of their ids, at one revision; the rest were renewed meanwhile, or are gone. None, if another leader's term than the proposer's took it in.</summary>
    public static Decision Expire(LeaseExpireCommand expire, StagedView state, bool wantsResult)
    {
        long ended = 0;
        IReadOnlyList<long> ids = IsOfTerm(expire, state) ? expire.Ids : [];
        for (int i = 0; i < ids.Count; i++)
        {
            if (state.Leases.TryFind(ids[i], out LeaseTerm term) && MayEnd(term, state))
            {
                ended++;
                End(term, state);
            }
        }

        return new Decision(new Outcome(0, 0, state.Revision, ended), wantsResult ? new Revision(state.Revision) : null);
    }

    private static bool IsOfTerm(LeaseExpireCommand expire, StagedView state) =>
#if LOOM_MUTATIONS
        Raft.Diagnostics.Mutations.On("P4-expire-in-another-term") ||
#endif
        expire.Term == state.Term;

    private static bool MayEnd(in LeaseTerm term, StagedView state) =>
#if LOOM_MUTATIONS
        Raft.Diagnostics.Mutations.On("T5-expire-unchecked") ||
#endif
        term.IsDue(state.ClusterTime);

    private static void End(in LeaseTerm term, StagedView state)
    {
        foreach (ReadOnlyMemory<byte> key in state.Leases.KeysOf(term.Id))
        {
            state.Batch.Delete(key);
        }

        state.Batch.EndLease(term);
    }
}

/// <summary>Answer to a renewal.</summary>
/// <param name="Revision">The current revision: renewals add none.</param>
/// <param name="Seconds">Per lease asked for the time that it has now, in seconds; 0: there is no such lease; <see cref="Denied"/>.</param>
internal sealed record RenewResult(Revision Revision, long[] Seconds)
{
    public const long Denied = -1;
}
