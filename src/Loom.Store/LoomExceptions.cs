using Loom.Raft;
using Loom.Store.Collections;

namespace Loom.Store;

/// <summary>What went wrong. Numbers are stable: LOOM1007 is <see cref="NoQuorum"/> for ever.</summary>
public enum LoomErrorCode
{
    /// <summary>A request that can never work; the message says what is wrong.</summary>
    InvalidRequest = 1001,

    /// <summary>The key is empty.</summary>
    EmptyKey = 1002,

    /// <summary>The key does not exist and the request needs it (ignore value or lease).</summary>
    KeyNotFound = 1003,

    /// <summary>A value was given together with ignore value.</summary>
    ValueProvided = 1004,

    /// <summary>A lease was given together with ignore lease.</summary>
    LeaseProvided = 1005,

    /// <summary>The request is too large.</summary>
    RequestTooLarge = 1006,

    /// <summary>No quorum of voters can be reached.</summary>
    NoQuorum = 1007,

    /// <summary>A bounded queue is full.</summary>
    Overloaded = 1008,

    /// <summary>The deadline passed; of a write the outcome is unknown.</summary>
    DeadlineExceeded = 1009,

    /// <summary>The store is stopping.</summary>
    Stopped = 1010,

    /// <summary>This replica failed and serves nothing more.</summary>
    Failed = 1011,

    /// <summary>The revision has been compacted.</summary>
    Compacted = 1012,

    /// <summary>The revision has not been written yet.</summary>
    FutureRevision = 1013,

    /// <summary>The lease does not exist.</summary>
    LeaseNotFound = 1014,

    /// <summary>Too many operations in a transaction.</summary>
    TooManyOperations = 1015,

    /// <summary>A key is put twice in a transaction.</summary>
    DuplicateKey = 1016,

    /// <summary>Leadership changed; nothing was applied.</summary>
    LeaderChanged = 1017,

    /// <summary>The named member does not exist or cannot take leadership.</summary>
    BadMember = 1018,

    /// <summary>The store could not be opened; the message says what to do.</summary>
    CannotOpen = 1019,

    /// <summary>A file is damaged.</summary>
    Corruption = 1020,

    /// <summary>This member does not lead.</summary>
    NotLeader = 1021,

    /// <summary>An unknown sort order or target.</summary>
    InvalidSort = 1022,

    /// <summary>There is no space for what would make the state larger; deletes, compactions and alarms still work. Nothing was applied.</summary>
    NoSpace = 1023,

    /// <summary>A CORRUPT alarm is active: the replicas differ, and writes stop until an operator has looked. Nothing was applied.</summary>
    CorruptAlarm = 1024,

    /// <summary>What is to be written exists already, and was left as it is.</summary>
    TargetExists = 1025,

    /// <summary>This member has no state yet: it takes one from another member. Until then it answers no read.</summary>
    StateAwaited = 1026,

    /// <summary>A lease with this id exists already. Nothing was applied.</summary>
    LeaseExists = 1030,

    /// <summary>The time to live asked for is longer than a lease may have. Nothing was applied.</summary>
    LeaseTooLong = 1031,

    /// <summary>There are as many leases as there may be. Nothing was applied.</summary>
    TooManyLeases = 1032,

    /// <summary>Authentication is enabled, and the caller did not show who he is. Nothing was applied.</summary>
    AuthenticationRequired = 1050,

    /// <summary>The name of a user is empty.</summary>
    UserNameEmpty = 1051,

    /// <summary>The name of a role is empty.</summary>
    RoleNameEmpty = 1052,

    /// <summary>No such user, or another password.</summary>
    AuthenticationFailed = 1053,

    /// <summary>A permission was to be granted, and none was given.</summary>
    PermissionNotGiven = 1054,

    /// <summary>It would lock root out, or a permission's range is empty. Nothing was applied.</summary>
    InvalidAuthManagement = 1055,

    /// <summary>Users or roles changed again and again while the call was under way. Nothing was applied.</summary>
    AuthRevisionOld = 1056,

    /// <summary>Enabling needs a user named root. Nothing was applied.</summary>
    RootUserMissing = 1057,

    /// <summary>Enabling needs the user root to have the role root. Nothing was applied.</summary>
    RootRoleMissing = 1058,

    /// <summary>A user of this name exists. Nothing was applied.</summary>
    UserExists = 1059,

    /// <summary>There is no user of this name. Nothing was applied.</summary>
    UserNotFound = 1060,

    /// <summary>A role of this name exists. Nothing was applied.</summary>
    RoleExists = 1061,

    /// <summary>There is no role of this name. Nothing was applied.</summary>
    RoleNotFound = 1062,

    /// <summary>The user does not have this role. Nothing was applied.</summary>
    RoleNotGranted = 1063,

    /// <summary>The role does not have a permission on this range. Nothing was applied.</summary>
    PermissionNotGranted = 1064,

    /// <summary>Authentication is not enabled, so there are no tokens.</summary>
    AuthNotEnabled = 1065,

    /// <summary>The caller may not do this. Nothing was applied.</summary>
    PermissionDenied = 1066,

    /// <summary>The token is none, or none any more. Authenticate again. Nothing was applied.</summary>
    InvalidToken = 1067,

    /// <summary>A password was given for a user that was made without one.</summary>
    NoPasswordUser = 1068,

    /// <summary>There are as many users, roles or permissions as there may be. Nothing was applied.</summary>
    TooMuchAuth = 1069,

    /// <summary>The state was taken up again from a backup: revisions that another epoch named are not of this history. A watch ends so.</summary>
    NewEpoch = 1040,

    /// <summary>What a watch delivered may have been wrong: this member's state was found to differ from that of the majority.</summary>
    WatchLost = 1041,

    /// <summary>A write under a fence was refused: the claim of its holder does not stand any more. Nothing was applied.</summary>
    FenceLost = 1070,

    /// <summary>A claim has gone before its turn came: its lease ended, or its key was deleted. Nothing is held.</summary>
    ClaimLost = 1071,

    /// <summary>A key or value under the prefix of a configuration is no text.</summary>
    InvalidConfiguration = 1072,
}

/// <summary>A call of the store failed. The message says: code, cause, outcome, fix, in that order.</summary>
public class LoomException : Exception
{
    /// <summary>Creates it.</summary>
    public LoomException(LoomErrorCode code, string message, WriteOutcome outcome = WriteOutcome.NotApplied, Exception? inner = null)
        : base(message, inner)
    {
        Code = code;
        Outcome = outcome;
    }

    /// <summary>What went wrong.</summary>
    public LoomErrorCode Code { get; }

    /// <summary>For a write: NotApplied (safe to retry) or Unknown.</summary>
    public WriteOutcome Outcome { get; }
}

/// <summary>The outcome of a write is not known: it may have been applied, or may still be.</summary>
public sealed class OutcomeUnknownException : LoomException
{
    /// <summary>Creates it.</summary>
    public OutcomeUnknownException(LoomErrorCode code, string message, Exception? inner = null)
        : base(code, message, WriteOutcome.Unknown, inner)
    {
    }
}

/// <summary>A write under a fence was refused in apply, by every replica alike: the claim of its holder does not stand any more (<see cref="LoomErrorCode.FenceLost"/>). Nothing was applied.</summary>
public sealed class FenceLostException : LoomException
{
    /// <summary>Creates it.</summary>
    public FenceLostException(string message, FencingToken token)
        : base(LoomErrorCode.FenceLost, message) => Token = token;

    /// <summary>The claim that has gone.</summary>
    public FencingToken Token { get; }
}

/// <summary>A watch cannot go on, or not begin, because the history that it needs is gone (<see cref="LoomErrorCode.Compacted"/>), or was another one (<see cref="LoomErrorCode.NewEpoch"/>).</summary>
public sealed class WatchCompactedException : LoomException
{
    /// <summary>Creates it.</summary>
    public WatchCompactedException(string message, long compactRevision)
        : this(LoomErrorCode.Compacted, message, compactRevision)
    {
    }

    internal WatchCompactedException(LoomErrorCode code, string message, long compactRevision)
        : base(code, message) => CompactRevision = compactRevision;

    /// <summary>The oldest revision from which a watch can begin.</summary>
    public long CompactRevision { get; }
}
