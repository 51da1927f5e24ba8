namespace Loom.Raft.Consensus;

/// <summary>Kinds of consensus messages. Values are on the wire: never renumber.</summary>
internal enum MessageKind : byte
{
    PreVote = 1,
    PreVoteResponse = 2,
    Vote = 3,
    VoteResponse = 4,
    Append = 5,
    AppendResponse = 6,
    Heartbeat = 7,
    HeartbeatResponse = 8,
    TimeoutNow = 9,
    ReadIndex = 10,
    ReadIndexResponse = 11,

    /// <summary>S4: the entries that the receiver needs have left the leader's log; it must get a snapshot at <see cref="Message.Index"/> or above. Its answer, once its log stands there, is an AppendResponse.</summary>
    SnapshotNeeded = 12,

    /// <summary>S5, none of consensus: the sender's rolling hash of its state at an index. Compared by Replica/StateExchange; the core never sees it.</summary>
    StateReport = 13,
}

/// <summary>
/// One consensus message. Like etcd-io/raft's, one flat shape serves all kinds; the comment of a field says who uses it.
/// Durability of what it claims is the sender's duty: messages in <see cref="Output.AfterFlush"/> leave only after the flush (L8).
/// </summary>
internal sealed record Message
{
    public required MessageKind Kind { get; init; }
    public required MemberId From { get; init; }
    public required MemberId To { get; init; }

    /// <summary>Sender's term (of a PreVote: the term it would campaign in).</summary>
    public required long Term { get; init; }

    /// <summary>Append: index before the first entry. Heartbeat: the receiver's match, as far as the leader knows it. Vote, PreVote: candidate's last index. AppendResponse: match, or the rejected index. ReadIndexResponse: the read index. SnapshotNeeded: the least index that helps.</summary>
    public long Index { get; init; }

    /// <summary>Append, Heartbeat, SnapshotNeeded: term at <see cref="Index"/>. Vote, PreVote: candidate's last term. AppendResponse with Reject: the follower's term at <see cref="RejectHint"/>.</summary>
    public long LogTerm { get; init; }

    /// <summary>Append only; never null, consecutive from Index + 1.</summary>
    public IReadOnlyList<Entry> Entries { get; init; } = [];

    /// <summary>Append, Heartbeat, SnapshotNeeded: leader's commit index; the receiver takes it only as far as its log was verified against this leader in this term.</summary>
    public long Commit { get; init; }

    /// <summary>Responses: refused.</summary>
    public bool Reject { get; init; }

    /// <summary>AppendResponse with Reject: where the leader should probe next (fast conflict back-up, thesis 5.3). Append, Heartbeat: up to where the leader's own log is flushed (E1).</summary>
    public long RejectHint { get; init; }

    /// <summary>Heartbeat and its response, Append and its response: number of the leader's confirmation round (ReadIndex, check-quorum, cluster time). A Heartbeat with round 0 is a commit notice and gets no answer (D4).</summary>
    public long Round { get; init; }

    /// <summary>ReadIndex and its response: the asking replica's counter; with its incarnation it names the request (R1). StateReport: upper half of the hash.</summary>
    public ulong Context { get; init; }

    /// <summary>ReadIndex and its response: incarnation of the asking process (R1). StateReport: lower half of the hash.</summary>
    public ulong Incarnation { get; init; }

    /// <summary>Vote, PreVote: campaign ordered by the leader (TimeoutNow), so stickiness does not apply (thesis 3.10).</summary>
    public bool Transfer { get; init; }

    /// <summary>Reserved for read grants (E2): the answer promises. Always false until grants are built.</summary>
    public bool Promises { get; init; }
}
