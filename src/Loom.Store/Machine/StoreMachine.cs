using Loom.Store.Commands;
using Loom.Store.Mvcc;

namespace Loom.Store.Machine;

/// <summary>
/// Decides what a committed command changes: a pure function of (state, command) (T4). It stages into the view's batch and never touches the store;
/// a refusal is an answer that leaves the batch empty (D8). Whether an answer is wanted must not influence the batch or the outcome.
/// </summary>
internal static class StoreMachine
{
    public static Decision Decide(Command command, StagedView state, bool wantsResult)
    {
        // Proposers checked the same before; here it protects the state from a proposer that did not (another version, another client).
        LoomErrorCode refusal = RequestChecks.Check(command) is { } fault ? fault.Code : Authorisation.Check(command, state.Auth, state.Leases);
        refusal = refusal != 0 ? refusal : AlarmRule.Stops(state.Alarms, command);
        Decision decision = refusal != 0
            ? Decision.Refuse(refusal, state.Batch.BeginRevision)
            : command switch
            {
                PutCommand put => PutRule.Decide(put.Put, state, wantsResult),
                DeleteCommand delete => DeleteRule.Decide(delete.Delete, state, wantsResult),
                TransactionCommand transaction => TransactionRule.Decide(transaction.Transaction, state, wantsResult),
                CompactCommand compact => CompactRule.Decide(compact.Revision, state, wantsResult),
                LeaseGrantCommand grant => LeaseRule.Grant(grant, state, wantsResult),
                LeaseRevokeCommand revoke => LeaseRule.Revoke(revoke.Id, state, wantsResult),
                LeaseRenewCommand renew => LeaseRule.Renew(renew, state, wantsResult),
                LeaseExpireCommand expire => LeaseRule.Expire(expire, state, wantsResult),
                AlarmCommand alarm => AlarmRule.Decide(alarm, state, wantsResult),
                AuthCommand auth => AuthRule.Decide(auth, state, wantsResult),
                AuthenticateCommand login => AuthRule.Authenticate(login, state, wantsResult),
                _ => throw new ArgumentOutOfRangeException(nameof(command)),
            };
        if (decision.Outcome.Code != 0)
        {
            state.Batch.Discard();
        }

        return decision;
    }
}
