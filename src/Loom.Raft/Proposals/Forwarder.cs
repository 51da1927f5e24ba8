using Loom.Raft.Consensus;
using Loom.Raft.Replica;

namespace Loom.Raft.Proposals;

/// <summary>
/// Gets proposals to the leader, here or elsewhere, and follows each attempt: refused, in a log at (index, term), superseded, or not known (P3).
/// Sends again on a new leader, a lost connection or silence, but never what has a receipt: the log itself decides that (D4),
/// either by apply or by a committed entry of a later term at or before its place.
/// Bounds (P5): bytes per message, bytes without a receipt; the rest stays in the ready queue, which the proposer's window bounds.
/// </summary>
internal sealed class Forwarder
{
    private readonly ReplicaOptions options;
    private readonly IRaftLog log;
    private readonly List<ForwardMessage> outbox;
    private readonly Queue<Pending> ready = new();
    private readonly Dictionary<ulong, Pending> unreceipted = [];
    private readonly SortedSet<MemberId> connected = [];
    private long bytesInFlight;
    private ulong nextTag;

    /// <param name="options">Settings and bounds.</param>
    /// <param name="log">Terms of committed entries.</param>
    /// <param name="outbox">Where messages go.</param>
    /// <param name="firstTag">Random: a receipt for this member's former life must not be taken for one of ours (it would name another entry).</param>
    public Forwarder(ReplicaOptions options, IRaftLog log, List<ForwardMessage> outbox, ulong firstTag)
    {
        this.options = options;
        this.log = log;
        this.outbox = outbox;
        nextTag = firstTag == 0 ? 1 : firstTag;
    }

    /// <summary>Silence after which an attempt is repeated.</summary>
    public long ResendAfter => options.ElectionTimeout;

    /// <summary>Pause after a refusal.</summary>
    public long RetryAfter => options.HeartbeatInterval / 2;

    /// <summary>Committed entries were handed over up to here …</summary>
    public long CommittedIndex { get; private set; }

    /// <summary>… the last one of this term.</summary>
    public long CommittedTerm { get; private set; }

    /// <summary>Outcomes of everything up to here were taken: what is not settled was not applied there.</summary>
    public long AppliedIndex { get; set; }

    public void Connected(MemberId peer) => connected.Add(peer);

    public void Disconnected(MemberId peer) => connected.Remove(peer);

    /// <summary>Queues it for the next <see cref="Flush"/>.</summary>
    public void Enqueue(Pending pending)
    {
        Set(pending, PendingState.Ready);
        ready.Enqueue(pending);
    }

    /// <summary>Sends what is ready to the leader; with this member leading, puts it into <paramref name="here"/> instead.</summary>
    public void Flush(long now, MemberId leader, List<Pending> here)
    {
        if (leader == options.Id)
        {
            while (ready.TryDequeue(out var pending))
            {
                if (pending.State == PendingState.Ready)
                {
                    Begin(pending);
                    here.Add(pending);
                }
            }
        }
        else if (!leader.IsNone && connected.Contains(leader))
        {
            while (ready.Count > 0 && bytesInFlight < options.MaxForwardInFlightBytes && NextMessage(now, leader) is { Count: > 0 } items)
            {
                outbox.Add(new ForwardProposals(options.Id, leader, items));
            }
        }
    }

    private List<ProposalItem> NextMessage(long now, MemberId leader)
    {
        var items = new List<ProposalItem>(Math.Min(ready.Count, 64));
        long bytes = 0;
        while (ready.TryPeek(out var pending))
        {
            if (pending.State != PendingState.Ready)
            {
                ready.Dequeue();
                continue;
            }

            bytes += pending.Body.Length;
            if (items.Count > 0 && bytes > options.MaxForwardBytes)
            {
                break;
            }

            ready.Dequeue();
            var tag = Begin(pending);
            unreceipted.Add(tag, pending);
            pending.SentAt = now;
            pending.SentTo = leader;
            Set(pending, PendingState.Forwarded);
            items.Add(new ProposalItem(tag, pending.Kind, pending.Body));
        }

        return items;
    }

    /// <summary>The core's answer to one that was proposed here. True: refused.</summary>
    public bool AnsweredHere(Pending pending, in ProposalAnswer answer)
    {
        if (answer.Refusal == ProposalRefusal.None)
        {
            Set(pending, PendingState.Appended);
            pending.ReceiptForNewest(answer.Index, answer.Term);
            return false;
        }

        pending.RefuseNewest();
        return true;
    }

    /// <summary>A receipt from a leader. Returns the proposal if its newest attempt was refused or turned out to be superseded, else null.</summary>
    public Pending? Receipt(in ProposalAnswer answer)
    {
        if (!unreceipted.Remove(answer.Tag, out var pending))
        {
            return null;
        }

        if (answer.Refusal != ProposalRefusal.None)
        {
            return pending.Refused(answer.Tag) && pending.State == PendingState.Forwarded ? pending : null;
        }

        if (pending.Receipt(answer.Tag, answer.Index, answer.Term) && pending.State == PendingState.Forwarded)
        {
            Set(pending, PendingState.Appended);
        }

        // The receipt may come after the log went another way there.
        return IsSuperseded(pending, CommittedIndex + 1, CommittedTerm) && pending.State == PendingState.Appended ? pending : null;
    }

    /// <summary>What <see cref="Pending.Supersede"/> says, given that the entry before <paramref name="from"/> and all before it are committed here and a term was reached.</summary>
    public bool IsSuperseded(Pending pending, long from, long term) => pending.Supersede(from, term, log, AppliedIndex);

    /// <summary>An entry committed. True when its term is new: then <see cref="Pending.Supersede"/> is due for every unsettled proposal.</summary>
    public bool Committed(long index, long term)
    {
        var newTerm = term > CommittedTerm;
        CommittedIndex = index;
        CommittedTerm = term;
        return newTerm;
    }

    /// <summary>Waits before the next attempt.</summary>
    public void BackOff(Pending pending, long now)
    {
        Set(pending, PendingState.Backoff);
        pending.RetryAt = now + RetryAfter;
    }

    /// <summary>When this one wants attention, or <see cref="long.MaxValue"/>.</summary>
    public long DueAt(Pending pending) => pending.State switch
    {
        PendingState.Backoff => pending.RetryAt,
        PendingState.Forwarded => pending.SentAt + ResendAfter,
        _ => long.MaxValue,
    };

    /// <summary>No attempt is followed any more.</summary>
    public void Forget(Pending pending, PendingState state)
    {
        pending.ForgetTags(unreceipted);
        Set(pending, state);
    }

    private ulong Begin(Pending pending)
    {
        var tag = nextTag++;
        if (nextTag == 0)
        {
            nextTag = 1;
        }

        var forgotten = pending.Begin(tag);
        if (forgotten != 0)
        {
            unreceipted.Remove(forgotten);
        }

        return tag;
    }

    private void Set(Pending pending, PendingState state)
    {
        if (pending.State == PendingState.Forwarded)
        {
            bytesInFlight -= pending.Body.Length;
        }

        pending.State = state;
        if (state == PendingState.Forwarded)
        {
            bytesInFlight += pending.Body.Length;
        }
    }
}
