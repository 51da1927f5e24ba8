namespace Loom.Raft.Host;

/// <summary>The sentence for each way in which a call can fail.</summary>
internal static class CallErrors
{
    public static RaftException Of(RaftErrorCode code, WriteOutcome known, string? detail = null) => new(code, Text(code, known, detail), known);

    private static string Text(RaftErrorCode code, WriteOutcome known, string? detail)
    {
        string what = code switch
        {
            RaftErrorCode.NoQuorum => "no leader with a quorum of voters was heard for three election timeouts",
            RaftErrorCode.Overloaded => "this member has more work waiting than it accepts; try again later",
            RaftErrorCode.DeadlineExceeded => "the call was cancelled or its time ran out",
            RaftErrorCode.Stopped => "this member is stopping",
            RaftErrorCode.Failed => "this member has failed and acknowledges nothing more",
            RaftErrorCode.LeaderChanged => "the leader changed and the write was superseded",
            RaftErrorCode.TooLarge => "the payload is larger than this member accepts",
            RaftErrorCode.BadTransferTarget => "the named member cannot take leadership: it is no voter, or is not caught up",
            RaftErrorCode.Corruption => "the state of this member differs from that of the majority and is being replaced by a healthy member's; ask another member",
            RaftErrorCode.NotLeader => "this member does not lead",
            RaftErrorCode.NoSpace => "the disk of this member is full",
            RaftErrorCode.OutcomeLost => "this member took its state from another one, and the session of the write had ended",
            _ => code.ToString(),
        };
        string outcome = known == WriteOutcome.Unknown ? " The write may have been applied, or may still be." : "";
        return $"{char.ToUpperInvariant(what[0])}{what[1..]}{(detail is null ? "" : $" ({detail})")}.{outcome}";
    }

    /// <summary>The caller was gone before the call began.</summary>
    public static RaftException CancelledBefore() => Of(RaftErrorCode.DeadlineExceeded, WriteOutcome.NotApplied);

    public static RaftException Failed(Exception cause, WriteOutcome known) => new(RaftErrorCode.Failed, Text(RaftErrorCode.Failed, known, cause.Message), known, cause);

}
