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

    /// <summary>An error that the translation itself finds: nothing reached the store.</summary>
    public static RpcException Refused(LoomErrorCode code)
    {
        (StatusCode status, string text) = Words(code);
        return new RpcException(new Status(status, text), Trailers(code, WriteOutcome.NotApplied, null));
    }

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
        _ => (StatusCode.Unknown, ""),
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
