using System.Globalization;
using Grpc.Core;
using Loom.Raft;
using Loom.Store;

namespace Loom.Server.Etcd.Translation;

/// <summary>
/// etcd's errors: code and exact text are its API (clients compare the text), so each is written once, here.
/// The trailers carry our own words beside them: what happened, what is known of the write, what to do. <c>loom</c> prints those.
/// </summary>
internal static class EtcdError
{
    public const string CodeTrailer = "loom-code";
    public const string OutcomeTrailer = "loom-outcome";
    public const string MessageTrailer = "loom-message-bin";

    public const string NoLeader = "etcdserver: no leader";
    public const string LeaderChanged = "etcdserver: leader changed";
    public const string TimedOut = "etcdserver: request timed out";
    public const string Stopped = "etcdserver: server stopped";
    public const string TooManyRequests = "etcdserver: too many requests";
    public const string EmptyKey = "etcdserver: key is not provided";
    public const string KeyNotFound = "etcdserver: key not found";
    public const string ValueProvided = "etcdserver: value is provided";
    public const string LeaseProvided = "etcdserver: lease is provided";
    public const string TooManyOperations = "etcdserver: too many operations in txn request";
    public const string DuplicateKey = "etcdserver: duplicate key given in txn request";
    public const string TooLarge = "etcdserver: request is too large";
    public const string InvalidSort = "etcdserver: invalid sort option";
    public const string Compacted = "etcdserver: mvcc: required revision has been compacted";
    public const string FutureRevision = "etcdserver: mvcc: required revision is a future revision";
    public const string LeaseNotFound = "etcdserver: requested lease not found";
    public const string LeaseExists = "etcdserver: lease already exists";
    public const string LeaseTooLong = "etcdserver: too large lease TTL";
    public const string NotLeader = "etcdserver: not leader";
    public const string BadTransferee = "etcdserver: bad leader transferee";
    public const string Corrupt = "etcdserver: corrupt cluster";
    public const string DuplicateWatch = "mvcc: duplicate watch ID provided on the WatchStream";
    public const string EmptyWatchRange = "mvcc: watcher range is empty";
    public const string NoSpace = "etcdserver: mvcc: database space exceeded";
    public const string UserEmpty = "etcdserver: user name is empty";
    public const string RoleEmpty = "etcdserver: role name is empty";
    public const string AuthFailed = "etcdserver: authentication failed, invalid user ID or password";
    public const string PermissionNotGiven = "etcdserver: permission not given";
    public const string InvalidAuthManagement = "etcdserver: invalid auth management";
    public const string AuthOldRevision = "etcdserver: revision of auth store is old";
    public const string RootUserMissing = "etcdserver: root user does not exist";
    public const string RootRoleMissing = "etcdserver: root user does not have root role";
    public const string UserExists = "etcdserver: user name already exists";
    public const string UserNotFound = "etcdserver: user name not found";
    public const string RoleExists = "etcdserver: role name already exists";
    public const string RoleNotFound = "etcdserver: role name not found";
    public const string RoleNotGranted = "etcdserver: role is not granted to the user";
    public const string PermissionNotGranted = "etcdserver: permission is not granted to the role";
    public const string AuthNotEnabled = "etcdserver: authentication is not enabled";
    public const string PermissionDenied = "etcdserver: permission denied";
    public const string InvalidToken = "etcdserver: invalid auth token";
    public const string NoPasswordUser = "auth: authentication failed, password was given for no password user";

    /// <summary>An error that the translation itself finds: nothing reached the store.</summary>
    public static RpcException Refused(LoomErrorCode code)
    {
        (StatusCode status, string text) = Words(code);
        return new RpcException(new Status(status, text), Trailers(code, WriteOutcome.NotApplied, null));
    }

    /// <summary>
    /// The reason for which a watch is canceled whose caller may not see it: Go's words for the whole error, because etcd's are so. Null: it is of another kind.
    /// </summary>
    public static string? DenialOf(LoomException exception)
    {
        (StatusCode status, string text) = Words(exception.Code);
        return exception.Code is LoomErrorCode.AuthenticationRequired or LoomErrorCode.InvalidToken or LoomErrorCode.PermissionDenied ? $"rpc error: code = {status} desc = {text}" : null;
    }

    /// <summary>
    /// Some calls of Maintenance report what the auth store says as it says it: to a client they are of an unknown kind. Clients expect that.
    /// </summary>
    public static RpcException FromUnmapped(LoomException exception) => exception.Code switch
    {
        LoomErrorCode.AuthenticationRequired => Unmapped(exception, "auth: user name is empty"),
        LoomErrorCode.PermissionDenied => Unmapped(exception, "auth: permission denied"),
        LoomErrorCode.InvalidToken => Unmapped(exception, "auth: invalid auth token"),
        _ => From(exception),
    };

    private static RpcException Unmapped(LoomException exception, string text) =>
        new(new Status(StatusCode.Unknown, text), Trailers(exception.Code, exception.Outcome, exception.Message));

    /// <summary>The store's error in etcd's words. An unknown outcome wins over every code: clients retry definite ones.</summary>
    public static RpcException From(LoomException exception)
    {
        (StatusCode status, string text) = exception.Outcome == WriteOutcome.Unknown
            ? (StatusCode.Unavailable, TimedOut)
            : Words(exception.Code);
        if (text.Length == 0)
        {
            text = exception.Message;
        }

        return new RpcException(new Status(status, text), Trailers(exception.Code, exception.Outcome, exception.Message));
    }

    private static (StatusCode Status, string Text) Words(LoomErrorCode code) => code switch
    {
        LoomErrorCode.EmptyKey => (StatusCode.InvalidArgument, EmptyKey),
        LoomErrorCode.KeyNotFound => (StatusCode.InvalidArgument, KeyNotFound),
        LoomErrorCode.ValueProvided => (StatusCode.InvalidArgument, ValueProvided),
        LoomErrorCode.LeaseProvided => (StatusCode.InvalidArgument, LeaseProvided),
        LoomErrorCode.TooManyOperations => (StatusCode.InvalidArgument, TooManyOperations),
        LoomErrorCode.DuplicateKey => (StatusCode.InvalidArgument, DuplicateKey),
        LoomErrorCode.RequestTooLarge => (StatusCode.InvalidArgument, TooLarge),
        LoomErrorCode.InvalidSort => (StatusCode.InvalidArgument, InvalidSort),
        LoomErrorCode.InvalidRequest => (StatusCode.InvalidArgument, ""),
        LoomErrorCode.Compacted or LoomErrorCode.NewEpoch => (StatusCode.OutOfRange, Compacted),
        LoomErrorCode.FutureRevision => (StatusCode.OutOfRange, FutureRevision),
        LoomErrorCode.LeaseNotFound => (StatusCode.NotFound, LeaseNotFound),
        LoomErrorCode.LeaseExists => (StatusCode.FailedPrecondition, LeaseExists),
        LoomErrorCode.LeaseTooLong => (StatusCode.OutOfRange, LeaseTooLong),
        LoomErrorCode.NoQuorum => (StatusCode.Unavailable, NoLeader),
        LoomErrorCode.LeaderChanged => (StatusCode.Unavailable, LeaderChanged),
        LoomErrorCode.DeadlineExceeded => (StatusCode.Unavailable, TimedOut),
        LoomErrorCode.Stopped or LoomErrorCode.Failed or LoomErrorCode.StateAwaited or LoomErrorCode.WatchLost => (StatusCode.Unavailable, Stopped),
        LoomErrorCode.Overloaded or LoomErrorCode.TooManyLeases => (StatusCode.ResourceExhausted, TooManyRequests),
        LoomErrorCode.NotLeader => (StatusCode.FailedPrecondition, NotLeader),
        LoomErrorCode.BadMember => (StatusCode.FailedPrecondition, BadTransferee),
        LoomErrorCode.Corruption or LoomErrorCode.CorruptAlarm => (StatusCode.DataLoss, Corrupt),
        LoomErrorCode.NoSpace => (StatusCode.ResourceExhausted, NoSpace),
        >= LoomErrorCode.AuthenticationRequired and <= LoomErrorCode.TooMuchAuth => AuthWords(code),
        _ => (StatusCode.Unknown, ""),
    };

    private static (StatusCode Status, string Text) AuthWords(LoomErrorCode code) => code switch
    {
        LoomErrorCode.AuthenticationRequired or LoomErrorCode.UserNameEmpty => (StatusCode.InvalidArgument, UserEmpty),
        LoomErrorCode.RoleNameEmpty => (StatusCode.InvalidArgument, RoleEmpty),
        LoomErrorCode.AuthenticationFailed => (StatusCode.InvalidArgument, AuthFailed),
        LoomErrorCode.PermissionNotGiven => (StatusCode.InvalidArgument, PermissionNotGiven),
        LoomErrorCode.InvalidAuthManagement => (StatusCode.InvalidArgument, InvalidAuthManagement),
        LoomErrorCode.AuthRevisionOld => (StatusCode.InvalidArgument, AuthOldRevision),
        LoomErrorCode.RootUserMissing => (StatusCode.FailedPrecondition, RootUserMissing),
        LoomErrorCode.RootRoleMissing => (StatusCode.FailedPrecondition, RootRoleMissing),
        LoomErrorCode.UserExists => (StatusCode.FailedPrecondition, UserExists),
        LoomErrorCode.UserNotFound => (StatusCode.FailedPrecondition, UserNotFound),
        LoomErrorCode.RoleExists => (StatusCode.FailedPrecondition, RoleExists),
        LoomErrorCode.RoleNotFound => (StatusCode.FailedPrecondition, RoleNotFound),
        LoomErrorCode.RoleNotGranted => (StatusCode.FailedPrecondition, RoleNotGranted),
        LoomErrorCode.PermissionNotGranted => (StatusCode.FailedPrecondition, PermissionNotGranted),
        LoomErrorCode.AuthNotEnabled => (StatusCode.FailedPrecondition, AuthNotEnabled),
        LoomErrorCode.PermissionDenied => (StatusCode.PermissionDenied, PermissionDenied),
        LoomErrorCode.InvalidToken => (StatusCode.Unauthenticated, InvalidToken),
        LoomErrorCode.NoPasswordUser => (StatusCode.Unknown, NoPasswordUser),

        // etcd knows no bounds here: our own words.
        _ => (StatusCode.ResourceExhausted, ""),
    };

    private static Metadata Trailers(LoomErrorCode code, WriteOutcome outcome, string? message)
    {
        var trailers = new Metadata
        {
            { CodeTrailer, "LOOM" + ((int)code).ToString(CultureInfo.InvariantCulture) },
            { OutcomeTrailer, outcome == WriteOutcome.Unknown ? "unknown" : "not-applied" },
        };
        if (message is not null)
        {
            // Binary, because a message may hold any text and header values may not.
            trailers.Add(MessageTrailer, System.Text.Encoding.UTF8.GetBytes(message));
        }

        return trailers;
    }
}
