using System.Globalization;
using Loom.Raft;

namespace Loom.Store;

/// <summary>Faults of the node → exceptions of the store: code, cause, outcome, fix, in that order.</summary>
internal static class Faults
{
    /// <summary>A caller that cancelled gets the exception that .NET callers expect; of a write it says that the outcome is unknown.</summary>
    public static Exception Translate(RaftException fault, bool isWrite, CancellationToken cancellationToken)
    {
        if (fault.Code == RaftErrorCode.DeadlineExceeded && cancellationToken.IsCancellationRequested)
        {
            string what = isWrite ? "The call was cancelled; the write may still be applied." : "The call was cancelled.";
            return new OperationCanceledException(what, fault, cancellationToken);
        }

        LoomErrorCode code = fault.Code switch
        {
            RaftErrorCode.NoQuorum => LoomErrorCode.NoQuorum,
            RaftErrorCode.Overloaded => LoomErrorCode.Overloaded,
            RaftErrorCode.DeadlineExceeded => LoomErrorCode.DeadlineExceeded,
            RaftErrorCode.Stopped => LoomErrorCode.Stopped,
            RaftErrorCode.Failed => LoomErrorCode.Failed,
            RaftErrorCode.LeaderChanged => LoomErrorCode.LeaderChanged,
            RaftErrorCode.TooLarge => LoomErrorCode.RequestTooLarge,
            RaftErrorCode.BadTransferTarget => LoomErrorCode.BadMember,
            RaftErrorCode.CannotOpen => LoomErrorCode.CannotOpen,
            RaftErrorCode.NotLeader => LoomErrorCode.NotLeader,
            RaftErrorCode.Corruption => LoomErrorCode.Corruption,
            RaftErrorCode.NoSpace => LoomErrorCode.NoSpace,
            _ => LoomErrorCode.Failed,
        };
        bool unknown = isWrite && fault.Outcome == WriteOutcome.Unknown;
        string outcome = !isWrite ? "" : unknown ? " Outcome of this write: unknown." : " Outcome of this write: not applied.";
        string message = string.Create(CultureInfo.InvariantCulture, $"LOOM{(int)code}: {fault.Message.TrimEnd('.')}.{outcome} {Fix(code)}").TrimEnd();
        return unknown ? new OutcomeUnknownException(code, message, fault) : new LoomException(code, message, WriteOutcome.NotApplied, fault);
    }

    public static LoomException TooLarge(int bytes, int limit) => new(
        LoomErrorCode.RequestTooLarge,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1006: the request is {bytes} bytes; at most {limit} are accepted. Outcome of this write: not applied. Split it, or raise LoomOptions.MaxRequestBytes on every member."));

    public static LoomException TooManyWaiters(int limit) => new(
        LoomErrorCode.Overloaded,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1008: {limit} reads wait for a revision on this replica already. Try again later, or on another replica."));

    public static LoomException TooManyHashes(int limit) => new(
        LoomErrorCode.Overloaded,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1008: {limit} calls wait for a hash of the history on this replica already; one is computed at a time. Try again later."));

    public static LoomException TooManyRenewals(int limit) => new(
        LoomErrorCode.Overloaded,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1008: {limit} leases wait for their renewal on this replica already. Nothing was applied. Try again after a moment, or on another replica."));

    public static LoomException TooManyPasswords(int limit) => new(
        LoomErrorCode.Overloaded,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1008: {limit} passwords wait to be looked at on this member already. Nothing was applied. Try again after a moment, or on another member; and keep tokens, which cost nothing."));

    public static LoomException LongPassword(int limit) => new(
        LoomErrorCode.InvalidRequest,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1001: the password is longer than {limit} bytes, of which bcrypt would not look at the rest. Nothing was applied. Choose a shorter one."));

    public static LoomException QuotaReached(long bytes, long quota) => new(
        LoomErrorCode.NoSpace,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1023: the state is {bytes} bytes, and the quota is {quota}. Outcome of this write: not applied. Delete keys and compact the history, or raise the quota on every member; puts then work again by themselves."));

    public static LoomException NoDisk(string why) => new(
        LoomErrorCode.NoSpace,
        $"LOOM1023: {why}. Outcome of this write: not applied. Free disk (loom status shows where); puts then work again by themselves.");

    public static LoomException RevisionNotReached(long revision, long current, TimeSpan timeout) => new(
        LoomErrorCode.DeadlineExceeded,
        string.Create(CultureInfo.InvariantCulture, $"LOOM1009: this replica is at revision {current} and did not reach {revision} within {timeout.TotalSeconds} s. Check that it is connected (loom status), or read on another replica."));

    public static LoomException OfBackup(string path, RaftException fault)
    {
        LoomErrorCode code = fault.Code == RaftErrorCode.CannotOpen ? LoomErrorCode.CannotOpen : LoomErrorCode.Corruption;
        return new LoomException(code, string.Create(CultureInfo.InvariantCulture, $"LOOM{(int)code}: {path}: {fault.Message} Nothing was changed."), WriteOutcome.NotApplied, fault);
    }

    public static LoomException TargetExists(string path) => new(
        LoomErrorCode.TargetExists, $"LOOM1025: {path} exists already. Nothing was changed. Choose another name, or move it away.");

    public static LoomException Condemned() => new(
        LoomErrorCode.Corruption,
        "LOOM1020: the state of this member was found to differ from that of the majority, so it serves none of it; it is being replaced by a healthy member's. Ask another member until then.");

    public static LoomException StateAwaited() => new(
        LoomErrorCode.StateAwaited,
        "LOOM1026: this member has no state yet, and answers nothing from an empty one: its cluster has not formed yet, or it is new or its own could not be used, and it takes another member's. Ask another member until then.");

    public static LoomException BadBump(long bump, long revision) => new(
        LoomErrorCode.InvalidRequest, string.Create(CultureInfo.InvariantCulture, $"LOOM1001: the revision {revision} cannot be raised by {bump}. Nothing was changed. Raise it by 0 or more; the default is {LoomBackup.DefaultRevisionBump}."));

    public static LoomException Closed() => new(LoomErrorCode.Stopped, "LOOM1010: the store is closed. Nothing was applied. Open it again, or call another member.");

    private static string Fix(LoomErrorCode code) => code switch
    {
        LoomErrorCode.NoQuorum => "Writes and linearizable reads resume when a majority of voters is back; local reads still work.",
        LoomErrorCode.Overloaded => "Try again after a moment, with fewer calls in flight.",
        LoomErrorCode.DeadlineExceeded => "Read the key to learn what happened before writing it again; see `loom status` for the cause.",
        LoomErrorCode.Stopped => "Call another member, or wait until this one is open again.",
        LoomErrorCode.Failed => "This member serves nothing more: see its log, mend the cause and restart it. Other members go on.",
        LoomErrorCode.LeaderChanged => "Try again.",
        LoomErrorCode.BadMember => "Name a voter that is connected; `loom member list` shows them.",
        LoomErrorCode.NotLeader => "Ask the leader; `loom status` names it.",
        _ => "",
    };
}
