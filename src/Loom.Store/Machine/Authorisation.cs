using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Model;

namespace Loom.Store.Machine;

/// <summary>
/// Who may do what: the one place where that is decided, for commands when they are applied (and before they are proposed, so that what will be refused stays out of the log), and for reads and watches
/// against the state that they read. As in etcd: a transaction is judged by all its compares and both its branches, taken or not, nested ones too; a previous pair needs reading; whoever
/// attaches a key to a lease, renews it or ends it, must be allowed to write all its keys, because that decides over their lives; root may do everything.
/// </summary>
/// <remarks>
/// A command names the auth revision at which its caller was found out. If users or roles have changed since, it is refused and its replica judges anew: so a permission that was taken away holds for
/// everything after that in the log, and a name that was deleted and given again is not mistaken for the one before.
/// </remarks>
internal static class Authorisation
{
    /// <summary>Why a command may not be applied, or 0.</summary>
    public static LoomErrorCode Check(Command command, AuthState auth, ILeaseKeys leases)
    {
        if (command.Caller is not { } caller || !auth.IsEnabled)
        {
            return 0;
        }

        LoomErrorCode refusal = Identify(caller, auth, out AuthUser? user);
        return refusal != 0 ? refusal
            : user!.IsRoot || IsPermitted(command, new Grants(user.RangesIn(auth), leases)) ? 0
            : LoomErrorCode.PermissionDenied;
    }

    /// <summary>Why a caller may not read a range, or 0. Authentication is enabled.</summary>
    public static LoomErrorCode CheckRead(AuthState auth, AuthUser user, KeyRange range) =>
        user.IsRoot || user.RangesIn(auth).MayRead(range) ? 0 : LoomErrorCode.PermissionDenied;

    /// <summary>Why a caller may not run a read-only transaction, or 0: as for one that writes. Authentication is enabled.</summary>
    public static LoomErrorCode CheckRead(AuthState auth, AuthUser user, Transaction transaction, ILeaseKeys leases) =>
        user.IsRoot || IsPermitted(transaction, new Grants(user.RangesIn(auth), leases)) ? 0 : LoomErrorCode.PermissionDenied;

    /// <summary>Whether a caller may renew a lease: each of an entry is judged by itself, so that one who may not does not hold up another.</summary>
    public static bool MayRenew(Command command, long lease, AuthState auth, ILeaseKeys leases) =>
        command.Caller is not { } caller || !auth.IsEnabled
            || (auth.FindUser(caller.User) is { } user && (user.IsRoot || MayUse(lease, user.RangesIn(auth), leases)));

    private static LoomErrorCode Identify(Caller caller, AuthState auth, out AuthUser? user)
    {
        user = null;
        if (caller.IsAnonymous)
        {
            return LoomErrorCode.AuthenticationRequired;
        }

        if (IsOld(caller, auth))
        {
            return LoomErrorCode.AuthRevisionOld;
        }

        user = auth.FindUser(caller.User);
        return user is null ? LoomErrorCode.PermissionDenied : 0;
    }

    private static bool IsOld(Caller caller, AuthState auth) =>
#if LOOM_MUTATIONS
        !Raft.Diagnostics.Mutations.On("A1-old-revision-passes") &&
#endif
        caller.AuthRevision != auth.Revision;

    private static bool IsPermitted(Command command, Grants grants) => command switch
    {
        PutCommand put => IsPermitted(put.Put, grants),
        DeleteCommand delete => IsPermitted(delete.Delete, grants),
        TransactionCommand transaction => IsPermitted(transaction.Transaction, grants),
        LeaseGrantCommand => true,
        LeaseRevokeCommand revoke => grants.MayUse(revoke.Id),

        // Each of its leases is judged by itself.
        LeaseRenewCommand => true,

        // Compaction, alarms, users and roles: root's, as is whatever is not named here.
        _ => false,
    };

    private static bool IsPermitted(PutOperation put, Grants grants) =>
        grants.MayWrite(KeyRange.Single(put.Key))
            && (!ShowsPrevious(put.PreviousPair) || grants.MayRead(KeyRange.Single(put.Key)))
            && (put.Lease == 0 || grants.MayUse(put.Lease));

    private static bool IsPermitted(DeleteOperation delete, Grants grants) =>
        grants.MayWrite(delete.Range) && (!ShowsPrevious(delete.PreviousPairs) || grants.MayRead(delete.Range));

    private static bool IsPermitted(Transaction transaction, Grants grants)
    {
        foreach (Compare compare in transaction.Compares)
        {
            if (!grants.MayRead(compare.Range))
            {
                return false;
            }
        }

        return IsPermitted(transaction.Success, grants) && (SkipsFailure || IsPermitted(transaction.Failure, grants));
    }

    private static bool ShowsPrevious(bool asked) =>
#if LOOM_MUTATIONS
        !Raft.Diagnostics.Mutations.On("A1-previous-pair-unchecked") &&
#endif
        asked;

    private static bool SkipsFailure =>
#if LOOM_MUTATIONS
        Raft.Diagnostics.Mutations.On("A1-one-branch-checked");
#else
        false;
#endif

    private static bool IsPermitted(IReadOnlyList<Operation> operations, Grants grants)
    {
        foreach (Operation operation in operations)
        {
            bool isPermitted = operation switch
            {
                PutOperation put => IsPermitted(put, grants),
                DeleteOperation delete => IsPermitted(delete, grants),
                RangeOperation range => grants.MayRead(range.Query.Range),
                NestedOperation nested => IsPermitted(nested.Transaction, grants),
                _ => false,
            };
            if (!isPermitted)
            {
                return false;
            }
        }

        return true;
    }

    private static bool MayUse(long lease, PermissionRanges ranges, ILeaseKeys leases) =>
#if LOOM_MUTATIONS
        Raft.Diagnostics.Mutations.On("A1-lease-keys-unchecked") ||
#endif
        leases.MayWriteKeys(lease, ranges);

    /// <summary>What one command's caller may do. A lease that the command names often is looked at once: its keys are the same all through the judgement.</summary>
    private sealed class Grants(PermissionRanges ranges, ILeaseKeys leases)
    {
        // No more than the command names.
        private SortedSet<long>? usable;

        public bool MayRead(KeyRange range) => ranges.MayRead(range);

        public bool MayWrite(KeyRange range) => ranges.MayWrite(range);

        public bool MayUse(long lease)
        {
            if (usable?.Contains(lease) == true)
            {
                return true;
            }

            // The first that may not be used ends the judgement: nothing to remember.
            return Authorisation.MayUse(lease, ranges, leases) && (usable ??= []).Add(lease);
        }
    }
}
