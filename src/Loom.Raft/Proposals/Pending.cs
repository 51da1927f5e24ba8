using Loom.Raft.Consensus;

namespace Loom.Raft.Proposals;

/// <summary>Where a proposal stands on its way into the log.</summary>
internal enum PendingState : byte
{
    /// <summary>Waits for a place in the window, or for a session.</summary>
    Waiting,

    /// <summary>Has its id; goes to the leader with the next flush of the forwarder.</summary>
    Ready,

    /// <summary>Refused before append; tried again at <see cref="Pending.RetryAt"/> or when the leader changes.</summary>
    Backoff,

    /// <summary>Sent to the leader, no receipt yet.</summary>
    Forwarded,

    /// <summary>Appended by the leader: the log decides, nobody needs to do anything.</summary>
    Appended,

    /// <summary>Applied here, or certain never to be.</summary>
    Settled,
}

/// <summary>One try to get a proposal into the log. <paramref name="Term"/> 0: no receipt yet.</summary>
internal readonly record struct Attempt(ulong Tag, long Index, long Term)
{
    public bool HasReceipt => Term != 0;
}

/// <summary>
/// What the proposer knows of one proposal that is not settled. Invariant (P3): an attempt counts as open until it was refused before append
/// or superseded; only a proposal without an open attempt may be called NotApplied.
/// </summary>
internal sealed class Pending
{
    /// <summary>Attempts remembered one by one; older ones become <see cref="lost"/>, which errs towards Unknown.</summary>
    private const int MaxAttempts = 4;

    private Attempt current;
    private List<Attempt>? earlier;
    private bool lost;

    public required EntryKind Kind { get; init; }

    public required ReadOnlyMemory<byte> Payload { get; init; }

    /// <summary>Null once its caller was answered; the proposal may still have to be settled (P1).</summary>
    public ProposalRequest? Request { get; set; }

    public ProposalId Id { get; set; }

    /// <summary>The encoded envelope; made once per id, so every attempt carries the same bytes.</summary>
    public ReadOnlyMemory<byte> Body { get; set; }

    public PendingState State { get; set; }

    /// <summary>When and to whom it was forwarded last.</summary>
    public long SentAt { get; set; }

    public MemberId SentTo { get; set; }

    public long RetryAt { get; set; }

    /// <summary>No attempt is in a log or on its way to one.</summary>
    public bool NoOpenAttempt => current.Tag == 0 && !lost && (earlier is null || earlier.Count == 0);

    /// <summary>Starts an attempt. Returns the tag of an older one that is no longer followed, or 0.</summary>
    public ulong Begin(ulong tag)
    {
        ulong forgotten = 0;
        if (current.Tag != 0)
        {
            earlier ??= new List<Attempt>(MaxAttempts);
            if (earlier.Count == MaxAttempts - 1)
            {
                forgotten = earlier[0].Tag;
                earlier.RemoveAt(0);
                lost = true;
            }

            earlier.Add(current);
        }

        current = new Attempt(tag, 0, 0);
        return forgotten;
    }

    /// <summary>The attempt is in a log at (index, term). True if it is the newest one.</summary>
    public bool Receipt(ulong tag, long index, long term)
    {
        if (current.Tag == tag)
        {
            current = new Attempt(tag, index, term);
            return true;
        }

        for (var i = 0; earlier is not null && i < earlier.Count; i++)
        {
            if (earlier[i].Tag == tag)
            {
                earlier[i] = new Attempt(tag, index, term);
            }
        }

        return false;
    }

    /// <summary>The newest attempt, made here, is in the log at (index, term).</summary>
    public void ReceiptForNewest(long index, long term) => current = new Attempt(current.Tag, index, term);

    /// <summary>The newest attempt, made here, was refused before append.</summary>
    public void RefuseNewest() => current = default;

    /// <summary>The attempt was refused before append. True if it is the newest one.</summary>
    public bool Refused(ulong tag)
    {
        if (current.Tag == tag)
        {
            current = default;
            return true;
        }

        earlier?.RemoveAll(a => a.Tag == tag);
        return false;
    }

    /// <summary>
    /// An entry of <paramref name="term"/> committed at <paramref name="index"/>. Terms never decrease along the log, so whatever an older term put
    /// there or behind can never commit: those attempts are over (P3). So are those before it whose place, committed by now, holds an entry of another term
    /// in <paramref name="log"/>, be it an older one: a later leader may carry an entry of term 7 to where an attempt of term 8 had stood.
    /// And so are those whose place is applied here though this proposal is not settled: its outcome would be known (a snapshot may have carried the state past the place,
    /// or the entry there may have left the log).
    /// True if one was the newest attempt.
    /// </summary>
    public bool Supersede(long index, long term, IRaftLog? log = null, long applied = 0)
    {
        bool IsOver(in Attempt a) => a.Tag != 0 && a.HasReceipt && (a.Index <= applied || (a.Index >= index ? a.Term < term : log is not null && a.Index >= log.BaseIndex && log.TermAt(a.Index) != a.Term));

        earlier?.RemoveAll(a => IsOver(a));
        if (!IsOver(current))
        {
            return false;
        }

        current = default;
        return true;
    }

    /// <summary>Takes every tag without a receipt out of <paramref name="forget"/>.</summary>
    public void ForgetTags(Dictionary<ulong, Pending> forget)
    {
        if (current.Tag != 0 && !current.HasReceipt)
        {
            forget.Remove(current.Tag);
        }

        for (var i = 0; earlier is not null && i < earlier.Count; i++)
        {
            if (!earlier[i].HasReceipt)
            {
                forget.Remove(earlier[i].Tag);
            }
        }
    }

#if LOOM_MUTATIONS
    public bool SitsAt(long index) => current.Index == index;

    public void Restart()
    {
        current = default;
        earlier = null;
        lost = false;
    }
#endif
}
