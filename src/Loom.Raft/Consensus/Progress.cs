using System.Diagnostics;

namespace Loom.Raft.Consensus;

/// <summary>
/// What a leader knows of one member. Invariant: 0 &lt;= Match &lt; Next (L9).
/// It <i>probes</i> (one append at a time, to find where the logs agree) until an append is accepted, then <i>replicates</i> (pipelined, Next runs ahead of the answers).
/// When the entry that it needs has left this log it <i>needs a snapshot</i>, and nothing but an answer from at or above the log's base ends that.
/// </summary>
internal sealed class Progress(MemberId id, int inflightMessages, long inflightBytes, long next, long now)
{
    /// <summary>Refusals of what was accepted in an earlier confirmation round, each of a later round: a single one may be a mistake of the network.</summary>
    private const int RefusalsUntilForgot = 3;

    private int refusals;
    private long refusedRound;

    public MemberId Id { get; } = id;

    /// <summary>Flushed there, and equal to this log: what the member itself said in this term.</summary>
    public long Match { get; private set; }

    public long Next { get; private set; } = next;

    public bool Replicating { get; private set; }

    public bool NeedsSnapshot { get; private set; }

    /// <summary>The least index of a snapshot that helps it, as it was told; 0 before it was.</summary>
    public long SnapshotIndex { get; private set; }

    /// <summary>When it was last told so.</summary>
    public long SnapshotAskedAt { get; private set; }

    /// <summary>Since when this log is kept from <see cref="SnapshotIndex"/> on (S4).</summary>
    public long PinnedAt { get; private set; }

    /// <summary>Probing: the one append is out. A heartbeat's answer ends the pause, for the append may be lost.</summary>
    public bool ProbePaused { get; set; }

    public Inflights Inflights { get; } = new(inflightMessages, inflightBytes);

    public long LastHeard { get; set; } = now;

    /// <summary>Newest confirmation round that it answered.</summary>
    public long AckedRound { get; private set; }

    /// <summary>Newest commit index sent to it.</summary>
    public long CommitSent { get; set; }

    public long RoundTripNanoseconds { get; private set; }

    /// <summary>Match at the previous heartbeat: a window that did not move between two heartbeats may have lost an append.</summary>
    public long MatchAtHeartbeat { get; set; }

    /// <summary>It goes on refusing what it had acknowledged in this term: it lost its disk, or the end of its log (E1).</summary>
    public bool Forgot => refusals >= RefusalsUntilForgot;

    public bool MaySend => !NeedsSnapshot && (Replicating ? !Inflights.IsFull : !ProbePaused);

    /// <summary>True if the answer raises what is known.</summary>
    public bool AckRound(long round)
    {
        if (round <= AckedRound)
        {
            return false;
        }

        AckedRound = round;
        return true;
    }

    public void ObserveRoundTrip(long nanoseconds) =>
        RoundTripNanoseconds = RoundTripNanoseconds == 0 ? nanoseconds : RoundTripNanoseconds + ((nanoseconds - RoundTripNanoseconds) / 8);

    public void Sent(long lastIndex, long bytes)
    {
        if (Replicating)
        {
            Next = lastIndex + 1;
            AssertOrder();
            Inflights.Add(lastIndex, bytes);
        }
        else
        {
            ProbePaused = true;
        }
    }

    /// <summary>The entry before the next one to send has left this log.</summary>
    public void NeedSnapshot()
    {
        if (!NeedsSnapshot)
        {
            NeedsSnapshot = true;
            Replicating = false;
            Inflights.Clear();
            SnapshotIndex = 0;
            SnapshotAskedAt = long.MinValue;
        }
    }

    /// <summary>It is alive, and told to get a snapshot. The index stays, and this log with it, until the log moved on all the same.</summary>
    public void AskSnapshot(long baseIndex, long now)
    {
        if (SnapshotIndex == 0 || SnapshotIndex < baseIndex)
        {
            SnapshotIndex = baseIndex;
            PinnedAt = now;
        }

        SnapshotAskedAt = now;
    }

    /// <summary>The member holds everything up to here. True if that is news.</summary>
    /// <param name="match">Flushed there and equal to this log.</param>
    /// <param name="baseIndex">Where this log begins: below it nothing can be sent.</param>
    /// <param name="round">Confirmation round in which the append was sent: refusals of earlier ones say nothing any more.</param>
    public bool Accepted(long match, long baseIndex, long round)
    {
        bool news = match > Match;
        if (news)
        {
            Match = match;
        }

        (refusals, refusedRound) = (0, Math.Max(refusedRound, round));
        Inflights.FreeTo(match);
        if (!Replicating && match >= baseIndex)
        {
            NeedsSnapshot = false;
            Replicating = true;
            ProbePaused = false;
            Inflights.Clear();
            Next = Match + 1;
        }
        else if (Next <= Match)
        {
            Next = Match + 1;
        }

        AssertOrder();
        return news;
    }

    /// <summary>The member refused the append after <paramref name="previous"/>. False: an old answer, overtaken by what is known since.</summary>
    /// <param name="previous">Index before the refused append.</param>
    /// <param name="retry">Where the logs may agree.</param>
    /// <param name="round">Confirmation round in which the append was sent.</param>
    public bool Refused(long previous, long retry, long round)
    {
        bool old = NeedsSnapshot || (Replicating ? previous <= Match : previous != Next - 1);
        if (old)
        {
            return false;
        }

        long probe = Math.Max(Match + 1, Math.Min(previous, retry + 1));
        bool again = !Replicating && probe == Next;
        Probe(probe);
        if (again)
        {
            // The member refuses what it had acknowledged: it lost its disk (E1). The same append at once would go back and forth without end,
            // and every duplicate would multiply it; the next heartbeat's answer is soon enough.
            ProbePaused = true;
            refusals += round > refusedRound ? 1 : 0;
            refusedRound = Math.Max(refusedRound, round);
            return false;
        }

        return true;
    }

    /// <summary>Its process died or its connection was lost: what was in flight is gone. A snapshot may be resumed: that need stays.</summary>
    public void ProbeAgain()
    {
        if (!NeedsSnapshot)
        {
            Probe(Match + 1);
        }
    }

    private void Probe(long next)
    {
        Replicating = false;
        ProbePaused = false;
        Inflights.Clear();
        Next = next;
        AssertOrder();
    }

    private void AssertOrder() => Debug.Assert(Match >= 0 && Match < Next, "0 ≤ match < next (L9)");
}
