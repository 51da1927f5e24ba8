using Loom.Store.Leases;
using Loom.Store.Machine;

namespace Loom.Store.Reads;

/// <summary>Refusals → exceptions at the public edge: code, cause, outcome, fix, in that order.</summary>
internal static class Refusals
{
    public static LoomException ToException(LoomErrorCode code) => new(code, $"LOOM{(int)code}: {Cause(code)}");

    public static LoomException ToException(Fault fault) => new(fault.Code, $"LOOM{(int)fault.Code}: {fault.Message}. Nothing was applied.");

    private static string Cause(LoomErrorCode code) => code switch
    {
        LoomErrorCode.Compacted => "the revision has been compacted. Read at a newer revision, or without one.",
        LoomErrorCode.FutureRevision => "the revision has not been written yet. Use a revision that a write or read returned; AtLeast waits for one.",
        LoomErrorCode.KeyNotFound => "the key does not exist, and the put wants to keep its value or lease. Nothing was applied. Put it with a value first.",
        LoomErrorCode.LeaseNotFound => "the lease does not exist. Nothing was applied. Grant a lease first, or put without one.",
        LoomErrorCode.LeaseExists => "a lease with this id exists. Nothing was applied. Choose another id, or leave it out, and one is chosen.",
        LoomErrorCode.TooManyLeases => $"there are {LeaseTable.MaxLeases} leases already. Nothing was applied. Let keys share a lease, or revoke leases that nobody needs.",
        LoomErrorCode.NoSpace => "no space is left for puts: a NOSPACE alarm is active. Nothing was applied. Delete keys and compact the history, or raise --quota-backend-bytes; the alarm then clears itself (loom status shows it).",
        LoomErrorCode.AuthenticationRequired => "authentication is enabled, and the caller did not show who he is. Nothing was applied. Authenticate, and send the token with each call.",
        LoomErrorCode.AuthenticationFailed => "there is no such user, or the password is another. Check both.",
        LoomErrorCode.AuthRevisionOld => "users or roles changed again and again while the call was under way. Nothing was applied. Try again.",
        LoomErrorCode.InvalidAuthManagement => "it would leave nobody who may change users: while authentication is enabled, the user root, the role root and that he has it stay. Nothing was applied. Disable authentication first.",
        LoomErrorCode.RootUserMissing => "there is no user named root, who alone could change users then. Nothing was applied. Add the user root, and give it the role root.",
        LoomErrorCode.RootRoleMissing => "the user root does not have the role root, so nobody could change users then. Nothing was applied. Give it that role; it need not be made.",
        LoomErrorCode.UserExists => "a user of this name exists. Nothing was applied. Choose another name, or change that user.",
        LoomErrorCode.UserNotFound => "there is no user of this name. Nothing was applied. Check the name, or add the user.",
        LoomErrorCode.RoleExists => "a role of this name exists. Nothing was applied. Choose another name, or change that role.",
        LoomErrorCode.RoleNotFound => "there is no role of this name. Nothing was applied. Check the name, or add the role.",
        LoomErrorCode.RoleNotGranted => "the user does not have this role. Nothing was applied. Check both names.",
        LoomErrorCode.PermissionNotGranted => "the role has no permission on exactly this range. Nothing was applied. Give the range as it was granted.",
        LoomErrorCode.AuthNotEnabled => "authentication is not enabled, so there are no tokens. Call without one.",
        LoomErrorCode.PermissionDenied => "the caller may not do this. Nothing was applied. Ask whoever manages users for a role that permits it.",
        LoomErrorCode.InvalidToken => "the token is none, or none any more. Nothing was applied. Authenticate again.",
        LoomErrorCode.NoPasswordUser => "the user was made without a password, and none will do. Authenticate as another user, or add it again with one.",
        LoomErrorCode.TooMuchAuth => "there are as many users, roles or permissions as there may be (10,000 users, 10,000 roles, 1,000 roles of a user, 1,000 permissions of a role, 8 MiB together). Nothing was applied. Let users share roles, and roles cover ranges.",
        LoomErrorCode.CorruptAlarm => "a CORRUPT alarm is active: the replicas differ, and every write is refused. Nothing was applied. Find the member that differs (loom status shows each one's hash), then disarm the alarm.",
        _ => $"refused ({code}). Nothing was applied. See the documentation of this code.",
    };
}
