using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Sessions;

namespace Loom.Raft.Proposals;

/// <summary>
/// The one door for writes of this process (D4). A proposal waits for its place in the session's window, gets an id for ever, goes to the leader as
/// often as needed, and is settled by this replica's own apply, found by that id; or it is certain never to be applied (P3).
/// The caller may leave earlier (deadline, cancel); the proposal is settled all the same, or 1,024 abandoned writes would wedge the process (P1).
/// Bounds (P5): <see cref="ReplicaOptions.MaxWaitingProposals"/>, <see cref="ReplicaOptions.MaxProposalQueueBytes"/> → NotApplied(Overloaded).
/// </summary>
internal sealed class Proposer
{
    /// <summary>Sequences in flight per session (P1).</summary>
    public const int Window = 1024;

    private readonly ReplicaOptions options;
    private readonly Forwarder forwarder;
    private readonly List<ProposalCompletion> completions;
    private readonly PendingProposals commands = new(Window);
    private readonly ProposalQueue queue;
    private readonly SessionOpening opening;
    private readonly List<Pending> scratch = [];

    // Arguments of the walks over all unsettled proposals: static walkers keep the frequent ones free of allocations.
    private MemberId lostPeer;
    private (long Index, long Term) supersededAt;
    private (long Now, RaftErrorCode Expired) sweep;

    public Proposer(ReplicaOptions options, Forwarder forwarder, List<ProposalCompletion> completions, ulong firstNonce)
    {
        this.options = options;
        this.forwarder = forwarder;
        this.completions = completions;
        queue = new ProposalQueue(options);
        opening = new SessionOpening(options, firstNonce);
    }

    /// <summary>When <see cref="Sweep(long, RaftErrorCode)"/> is due.</summary>
    public long SweepAt { get; private set; } = long.MaxValue;

    /// <summary>The session of this process, or 0.</summary>
    public long Session => opening.Session;

    /// <summary>Proposals that are not settled, waiting ones included.</summary>
    public long Unsettled => queue.Count + (commands.Next - commands.Floor);

    /// <summary>How a proposal of this session ended, while it is among the last 1,024 settled (P1).</summary>
    public SettledProposal? FindSettled(ProposalId id) => commands.FindSettled(id);

    /// <summary>Takes a request, or refuses it at once with <paramref name="gate"/> (0: open) or because a bound is reached.</summary>
    public void Submit(long now, ProposalRequest request, RaftErrorCode gate)
    {
        var refusal = gate != 0 ? gate
            : request.Payload.Length > options.MaxProposalBytes ? RaftErrorCode.TooLarge
            : request.Deadline <= now ? RaftErrorCode.DeadlineExceeded
            : queue.IsFull(request) ? RaftErrorCode.Overloaded
            : 0;
        if (refusal != 0)
        {
            completions.Add(new ProposalCompletion(request, default, refusal, WriteOutcome.NotApplied, default));
            return;
        }

        var pending = new Pending { Kind = EntryKind.Command, Payload = request.Payload, Request = request };
        request.Pending = pending;
        queue.Enqueue(pending);
        SweepAt = Math.Min(SweepAt, request.Deadline);
    }

    /// <summary>The caller leaves: it learns what is known now.</summary>
    public void Abandon(ProposalRequest request)
    {
        if (request.Pending is { } pending && ReferenceEquals(pending.Request, request))
        {
            Conclude(pending, RaftErrorCode.DeadlineExceeded);
        }
    }

    /// <summary>Gives ids to those that wait, as far as the window allows, and queues them for the leader.</summary>
    public void Pump()
    {
        if (Session == 0)
        {
            if (queue.Count > 0 && opening.Begin() is { } entry)
            {
                forwarder.Enqueue(entry);
            }

            return;
        }

        while (!commands.IsFull && queue.Take() is { } pending)
        {
            pending.Id = new ProposalId(Session, commands.Add(pending));
            pending.Body = Envelope.Encode(pending.Kind, pending.Id, commands.Floor, pending.Payload.Span);
            forwarder.Enqueue(pending);
        }
    }

    /// <summary>A receipt of a leader elsewhere, or a refusal.</summary>
    public void OnReceipt(long now, in ProposalAnswer answer)
    {
        if (forwarder.Receipt(answer) is { } pending)
        {
            if (answer.Refusal == ProposalRefusal.None)
            {
                Again(pending);
            }
            else
            {
                OnRefused(now, pending, answer.Refusal);
            }
        }
    }

    /// <summary>The answer of the core here.</summary>
    public void OnAnswerHere(long now, Pending pending, in ProposalAnswer answer)
    {
        if (forwarder.AnsweredHere(pending, answer))
        {
            OnRefused(now, pending, answer.Refusal);
        }
    }

    private void OnRefused(long now, Pending pending, ProposalRefusal refusal)
    {
        if (pending.NoOpenAttempt && pending.Kind != EntryKind.OpenSession)
        {
            if (pending.Request is null)
            {
                Settle(pending, applied: false, default);
                return;
            }

            if (refusal == ProposalRefusal.Overloaded)
            {
                Conclude(pending, RaftErrorCode.Overloaded);
                return;
            }
        }

        forwarder.BackOff(pending, now);
        SweepAt = Math.Min(SweepAt, pending.RetryAt);
    }

    /// <summary>Its newest attempt is over: the next one, unless nobody waits and it is certain that none applies (P3).</summary>
    private void Again(Pending pending)
    {
        if (pending.NoOpenAttempt && pending.Request is null && pending.Kind != EntryKind.OpenSession)
        {
            Settle(pending, applied: false, default);
            return;
        }
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("P1-retry-with-new-sequence") && pending.Kind == EntryKind.Command && !commands.IsFull)
        {
            var retry = new Pending { Kind = pending.Kind, Payload = pending.Payload, Request = pending.Request };
            if (pending.Request is { } asked)
            {
                pending.Request = null;
                asked.Pending = retry;
                Settle(pending, applied: false, default);
                queue.Enqueue(retry);
                return;
            }
        }
#endif
        forwarder.Enqueue(pending);
    }

    /// <summary>Another leader or term: what has no receipt is sent again; what has one waits for the log. Nobody fails by this alone (P3).</summary>
    public void OnLeaderChanged()
    {
        ForEachUnsettled(static (self, pending) =>
        {
#if LOOM_MUTATIONS
            if (Diagnostics.Mutations.On("P3-fail-on-step-down") && pending.Request is not null)
            {
                self.Complete(pending, RaftErrorCode.LeaderChanged, WriteOutcome.NotApplied, default);
            }

            if (Diagnostics.Mutations.On("P3-superseded-by-new-leader") && pending.State == PendingState.Appended)
            {
                pending.Restart();
                self.Again(pending);
            }
#endif
            if (pending.State is PendingState.Forwarded or PendingState.Backoff)
            {
                self.Again(pending);
            }
        });
    }

    /// <summary>The forward lane to a peer broke: what was sent on it may have arrived or not.</summary>
    public void OnDisconnected(MemberId peer)
    {
        forwarder.Disconnected(peer);
        lostPeer = peer;
        ForEachUnsettled(static (self, pending) =>
        {
            if (pending.State == PendingState.Forwarded && pending.SentTo == self.lostPeer)
            {
#if LOOM_MUTATIONS
                if (Diagnostics.Mutations.On("P3-lost-connection-is-refusal"))
                {
                    pending.Restart();
                }
#endif
                self.Again(pending);
            }
        });
    }

    /// <summary>
    /// Called for every committed entry in order, before it is handed to the applier: supersedes attempts (P3), and finds out whether this process proposed it.
    /// </summary>
    public bool OnCommitted(in Entry entry, out bool wantsResult)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("D4-complete-by-index"))
        {
            wantsResult = FindAt(entry.Index) is not null;
            return wantsResult;
        }
#endif
        if (forwarder.Committed(entry.Index, entry.Term))
        {
            Supersede(entry.Index, entry.Term);
        }

        wantsResult = false;
        if (!Envelope.Has(entry.Kind) || entry.Body.Length < Envelope.HeaderBytes)
        {
            return false;
        }

        var header = Envelope.ReadHeader(entry.Body.Span);
        if (entry.Kind == EntryKind.OpenSession)
        {
            return opening.IsOurs(header);
        }

        var pending = Session != 0 && header.Id.Session == Session ? commands.Find(header.Id.Sequence) : null;
        wantsResult = pending?.Request is not null;
        return pending is not null;
    }

    private void Supersede(long index, long term)
    {
        supersededAt = (index, term);
        ForEachUnsettled(static (self, pending) =>
        {
            if (self.forwarder.IsSuperseded(pending, self.supersededAt.Index, self.supersededAt.Term) && pending.State == PendingState.Appended)
            {
                self.Again(pending);
            }
        });
    }

    /// <summary>An entry of ours was applied here: the only way in which a caller learns success (D4).</summary>
    public void OnOutcome(in LocalOutcome outcome)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("D4-complete-by-index") && FindAt(outcome.Index) is { Kind: not EntryKind.OpenSession } taken)
        {
            Finish(taken, outcome with { Verdict = ApplyVerdict.Applied });
            return;
        }
#endif
        switch (outcome.Kind)
        {
            case EntryKind.OpenSession when opening.Opened(outcome) is { } entry:
                forwarder.Forget(entry, PendingState.Settled);
                break;
            case EntryKind.Command when outcome.Id.Session == Session && commands.Find(outcome.Id.Sequence) is { } command:
                Finish(command, outcome);
                break;
        }
    }

    private void Finish(Pending pending, in LocalOutcome outcome)
    {
        switch (outcome.Verdict)
        {
            case ApplyVerdict.Applied or ApplyVerdict.Deduplicated:
                var deduplicated = outcome.Verdict == ApplyVerdict.Deduplicated;
                var result = new ProposalResult(outcome.Index, outcome.Outcome, deduplicated ? null : outcome.Result, deduplicated);
                Complete(pending, 0, default, result);
                Settle(pending, applied: true, result with { Result = null });
                break;
            case ApplyVerdict.SessionExpired:
                RestartSession();
                break;
            default:
                // The window and the floor are ours: a refusal by them means that this sequence was settled without us. Success is never said of it (P1).
                Complete(pending, RaftErrorCode.Failed, WriteOutcome.Unknown, default);
                Settle(pending, applied: false, default);
                break;
        }
    }

    /// <summary>
    /// Our session ended at an entry that we applied just now. Everything of it that was applied came earlier in the log and was completed;
    /// everything that comes later is refused on every replica. So what is unsettled was not applied and never will be under its old id:
    /// it starts again under a new session, without a chance of applying twice (P1).
    /// </summary>
    private void RestartSession()
    {
        opening.End();
        scratch.Clear();
        commands.DrainTo(scratch);
        foreach (var pending in scratch)
        {
            forwarder.Forget(pending, PendingState.Settled);
            if (pending.Request is { } request)
            {
                var again = new Pending { Kind = pending.Kind, Payload = pending.Payload, Request = request };
                pending.Request = null;
                request.Pending = again;
                queue.Restart(again);
            }
            else
            {
                queue.Release(pending);
            }
        }
    }

    /// <summary>Everything up to here is applied, and the outcomes of it were taken.</summary>
    public void OnApplied(long index) => forwarder.AppliedIndex = index;

    /// <summary>What to ask a state that takes the place of entries which were not applied here.</summary>
    public SessionInquiry Inquire()
    {
        var ids = new List<ProposalId>();
        for (var number = commands.Floor; number < commands.Next; number++)
        {
            if (commands.Find(number) is { } pending)
            {
                ids.Add(pending.Id);
            }
        }

        return new SessionInquiry(ids, opening.Owner);
    }

    /// <summary>
    /// The state jumped to (index, term) (P3). What its sessions know is settled; what they do not know was not applied there, so it waits on, and attempts whose place was passed are over.
    /// </summary>
    public void OnJump(long index, long term, SessionInquiry inquiry, SessionAnswers answers)
    {
        if (answers.Opened != 0 && opening.Owner == inquiry.Opening)
        {
            forwarder.Forget(opening.Found(answers.Opened), PendingState.Settled);
        }

        var ended = false;
        for (var i = 0; i < inquiry.Ids.Count; i++)
        {
#if LOOM_MUTATIONS
            if (Diagnostics.Mutations.On("P3-absent-in-snapshot-is-refusal") && answers.Decisions[i] is null && commands.Find(inquiry.Ids[i].Sequence) is { } absent)
            {
                Complete(absent, RaftErrorCode.LeaderChanged, WriteOutcome.NotApplied, default);
            }
#endif
            if (answers.Decisions[i] is { } decision && inquiry.Ids[i].Session == Session && commands.Find(inquiry.Ids[i].Sequence) is { } pending)
            {
                ended |= decision.Verdict == SessionVerdict.SessionExpired;
                Finish(pending, index, decision);
            }
        }

        if (ended)
        {
            RestartSession();
        }

        OnApplied(index);
        _ = forwarder.Committed(index, term);
        Supersede(index, term);
    }

    private void Finish(Pending pending, long index, in SessionDecision decision)
    {
        switch (decision.Verdict)
        {
            case SessionVerdict.Repeat:
                var result = new ProposalResult(index, decision.Outcome, null, Deduplicated: true);
                Complete(pending, 0, default, result);
                Settle(pending, applied: true, result);
                break;
            case SessionVerdict.SessionExpired:
                // It ended among the entries that were not applied here: what may have been in them before that is not known, and the rest starts again.
                if (!pending.NoOpenAttempt)
                {
                    Complete(pending, RaftErrorCode.OutcomeLost, WriteOutcome.Unknown, default);
                }

                break;
            default:
                Complete(pending, RaftErrorCode.Failed, WriteOutcome.Unknown, default);
                Settle(pending, applied: false, default);
                break;
        }
    }

    /// <summary>Looks at deadlines, pauses and silences. <paramref name="expired"/> says why a deadline passed: DeadlineExceeded or NoQuorum.</summary>
    public void Sweep(long now, RaftErrorCode expired)
    {
        sweep = (now, expired);
        SweepAt = long.MaxValue;
        ForEachUnsettled(static (self, pending) => self.Sweep(pending));
        queue.ForEach(SweepDeadline);
    }

    private void Sweep(Pending pending)
    {
        SweepDeadline(pending);
        var due = forwarder.DueAt(pending);
        if (due <= sweep.Now)
        {
            Again(pending);
        }
        else
        {
            SweepAt = Math.Min(SweepAt, due);
        }
    }

    private void SweepDeadline(Pending pending)
    {
        if (pending.Request is not { } request)
        {
            return;
        }

        if (request.Deadline <= sweep.Now)
        {
            Conclude(pending, sweep.Expired);
        }
        else
        {
            SweepAt = Math.Min(SweepAt, request.Deadline);
        }
    }

    /// <summary>Something was sent: its silence must be noticed.</summary>
    public void NoticeSent(long now) => SweepAt = Math.Min(SweepAt, now + forwarder.ResendAfter);

    /// <summary>Every caller is answered with what is known; for a replica that failed or closes.</summary>
    public void ConcludeAll(RaftErrorCode code)
    {
        ForEachUnsettled((self, pending) => self.ConcludeIfAsked(pending, code));
        queue.ForEach(pending => ConcludeIfAsked(pending, code));
    }

    private void ConcludeIfAsked(Pending pending, RaftErrorCode code)
    {
        if (pending.Request is not null)
        {
            Conclude(pending, code);
        }
    }

    /// <summary>The caller stops waiting. NotApplied only if no attempt is open (P3); then the sequence is settled: it will not be sent again.</summary>
    private void Conclude(Pending pending, RaftErrorCode code)
    {
        var certain = pending.NoOpenAttempt;
#if LOOM_MUTATIONS
        certain |= Diagnostics.Mutations.On("P3-not-applied-too-early");
#endif
        Complete(pending, code, certain ? WriteOutcome.NotApplied : WriteOutcome.Unknown, default);
        if (pending.State == PendingState.Waiting)
        {
            pending.State = PendingState.Settled;
            queue.Release(pending);
        }
        else if (pending.NoOpenAttempt)
        {
            Settle(pending, applied: false, default);
        }
    }

    private void Complete(Pending pending, RaftErrorCode error, WriteOutcome known, in ProposalResult result)
    {
        if (pending.Request is { } request)
        {
            request.Pending = null;
            pending.Request = null;
            completions.Add(new ProposalCompletion(request, pending.Id, error, known, result));
        }
    }

    private void Settle(Pending pending, bool applied, in ProposalResult result)
    {
        forwarder.Forget(pending, PendingState.Settled);
        commands.Settle(pending, pending.Id.Sequence, applied, result);
        queue.Release(pending);
    }

    private void ForEachUnsettled(Action<Proposer, Pending> act)
    {
        for (var number = commands.Floor; number < commands.Next; number++)
        {
            if (commands.Find(number) is { } pending)
            {
                act(this, pending);
            }
        }

        if (opening.Pending is { } entry)
        {
            act(this, entry);
        }
    }

#if LOOM_MUTATIONS
    private Pending? FindAt(long index)
    {
        Pending? found = null;
        ForEachUnsettled((_, pending) => found = pending.SitsAt(index) ? pending : found);
        return found;
    }
#endif
}
