using Loom.Raft.Membership;

namespace Loom.Raft.Consensus;

/// <summary>Leads a term: appends, replicates, commits, changes the configuration, confirms that it still leads, hands over.</summary>
internal sealed class Leader
{
    private readonly CoreState state;
    private readonly ConfirmationRounds rounds = new();
    private readonly Replicator replicator;
    private readonly LeaderReads reads;
    private readonly ProposalBudget budget;
    private readonly Transfer transfer = new();
    private long firstOfTerm;
    private long nextHeartbeat;
    private long quorumHeardAt;
    private long committedBefore;

    /// <summary>A member was found where the logs agree: it may lack the news of a commit that was announced while it was probed.</summary>
    private bool noticeDue;

    public Leader(CoreState state)
    {
        this.state = state;
        replicator = new Replicator(state, rounds);
        reads = new LeaderReads(state, rounds, replicator);
        budget = new ProposalBudget(state.Options.UncommittedBytes);
    }

    public bool Transferring => transfer.IsActive;

    public long NextDeadline =>
        Math.Min(Math.Min(nextHeartbeat, reads.NextDeadline), Math.Min(transfer.Deadline, quorumHeardAt + state.ElectionTimeout + 1));

    public ReadOnlySpan<Progress> Members => replicator.Members;

    public long RetainFrom => replicator.RetainFrom();

    /// <summary>The term begins with an entry of its own: only by it can the entries of former terms be known to be committed (E5, figure 8).</summary>
    public void Begin()
    {
        state.Log.Forget();
        state.ClusterTime.StartLeading(state.Now);
        rounds.Begin(state.Now);
        replicator.Begin();
        budget.Clear();
        transfer.End();
        quorumHeardAt = state.Now;
        state.LeaderHeardAt = state.Now;
        nextHeartbeat = state.Now + state.Options.HeartbeatNanoseconds;
        firstOfTerm = state.Log.LastIndex + 1;
        reads.Begin(firstOfTerm);
        committedBefore = state.Commit;
        AppendNoOp();
    }

    /// <summary>An entry that changes nothing.</summary>
    public void AppendNoOp()
    {
        AppendOne(EntryKind.NoOp, ReadOnlyMemory<byte>.Empty);
        replicator.SendAppends();
        AdvanceCommit();
    }

    /// <summary>Steps down: reads are refused; proposals keep waiting for what becomes of their entries (P3).</summary>
    public void End()
    {
        reads.RefuseAll();
        transfer.End();
        budget.Clear();
    }

    public void BeginStep()
    {
        committedBefore = state.Commit;
        noticeDue = false;
        if (replicator.IsSoleVoter)
        {
            // A single voter needs nobody's word: each wake-up of the loop is a confirmed round (T5).
            state.ClusterTime.Confirmed(state.Now);
            quorumHeardAt = state.Now;
            state.LeaderHeardAt = state.Now;
        }
    }

    public void EndStep()
    {
        LeaveJoint();
        if (state.Commit > committedBefore || noticeDue)
        {
            replicator.SendCommitNotices();
        }
    }

    /// <summary>False: no CommitQuorum was heard for E, so this leader may be deposed without knowing it (check-quorum): it must step down.</summary>
    public bool Wake()
    {
        if (state.Now > quorumHeardAt + state.ElectionTimeout && !HearsQuorum())
        {
            return false;
        }

        if (state.Now >= transfer.Deadline)
        {
            AbortTransfer();
        }

        if (state.Now >= nextHeartbeat)
        {
            nextHeartbeat = state.Now + state.Options.HeartbeatNanoseconds;
            replicator.StartRound(votersOnly: false);
            replicator.CheckStalled();
            ConfirmRounds();
        }

        reads.SendRoundIfDue();
        return true;
    }

    public void Heard(MemberId peer)
    {
        if (replicator.Find(peer) is { } member)
        {
            member.LastHeard = state.Now;
        }
    }

    public void Flushed() => AdvanceCommit();

    public void Applied(long index) => budget.Applied(index);

    public void OnAppendResponse(Message m)
    {
        if (replicator.Find(m.From) is not { } member)
        {
            return;
        }

        member.LastHeard = state.Now;
        if (member.AckRound(m.Round))
        {
            ConfirmRounds();
        }

        if (m.Reject)
        {
            // A hint below the base: the logs agree nowhere in what is left of this one.
            long retry = m.RejectHint < state.Log.Log.BaseIndex ? m.RejectHint : state.Log.LastWithTermAtMost(m.RejectHint, m.LogTerm);
            if (member.Refused(m.Index, retry, m.Round))
            {
                replicator.SendAppends(member);
                replicator.AskSnapshot(member);
            }

            return;
        }

        // A match beyond the log's end cannot come from a follower of this term; nothing is built on it.
        if (m.Index <= state.Log.LastIndex)
        {
            bool found = !member.Replicating;
            if (member.Accepted(m.Index, state.Log.Log.BaseIndex, m.Round))
            {
                AdvanceCommit();
            }

            noticeDue = found && member.Replicating;
            replicator.SendAppends(member);
            OrderCampaign();
        }
    }

    public void OnHeartbeatResponse(Message m)
    {
        if (replicator.Find(m.From) is not { } member)
        {
            return;
        }

        member.LastHeard = state.Now;
        long roundTrip = rounds.Age(m.Round, state.Now);
        if (member.AckRound(m.Round))
        {
            if (roundTrip >= 0)
            {
                member.ObserveRoundTrip(roundTrip);
            }

            ConfirmRounds();
        }

        if (!member.Replicating)
        {
            member.ProbePaused = false;
            if (member.Next > state.Log.LastIndex)
            {
                replicator.SendEmptyAppend(member);
            }
            else
            {
                replicator.SendAppends(member);
            }

            replicator.AskSnapshot(member);
        }
    }

    /// <summary>What was in flight to the dead process is gone.</summary>
    public void PeerDied(MemberId peer) => replicator.Find(peer)?.ProbeAgain();

    public void Propose(IReadOnlyList<ProposalItem> items)
    {
        var entries = new Entry[items.Count];
        int count = 0;
        long bytes = 0;
        long cost = 0;
        long next = state.Log.LastIndex + 1;
        long stamp = state.ClusterTime.StampAt(state.Now);
        for (int i = 0; i < items.Count; i++)
        {
            ProposalItem item = items[i];
            long itemCost = ProposalBudget.CostOf(item.Body.Length);
            ProposalRefusal refusal = Refusal(item, itemCost, cost);
            if (refusal != ProposalRefusal.None)
            {
                state.Output.Proposals.Add(new ProposalAnswer(item.Tag, refusal, 0, 0));
                continue;
            }

            entries[count] = new Entry(next + count, state.Term, item.Kind, stamp, item.Body);
            state.Output.Proposals.Add(new ProposalAnswer(item.Tag, ProposalRefusal.None, next + count, state.Term));
            count++;
            bytes += item.Body.Length;
            cost += itemCost;
        }

        if (count > 0)
        {
            budget.Add(next + count - 1, cost);
            Append(count == entries.Length ? entries : entries[..count], bytes);
            replicator.SendAppends();
            AdvanceCommit();
        }
    }

    /// <summary>
    /// E4: appends the configuration, or the joint one that leads to it. False: not now, or never; a leader that would be no voter any more hands over first, and whoever wants the change asks the next one.
    /// </summary>
    public bool ProposeConfiguration(Configuration configuration) =>
        MayChange && ConfigurationChange.Towards(state.Quorum.Configuration, configuration) is { } next && TryAppend(next);

    /// <summary>One change at a time, after an entry of this term has committed: before that a former leader's change, which this log does not hold, may still be under way.</summary>
    private bool MayChange => state.Commit >= firstOfTerm && state.Configurations.Index <= state.Commit && !transfer.IsActive;

    /// <summary>A joint configuration that is committed, by its own rule, is left (E4).</summary>
    private void LeaveJoint()
    {
        Configuration current = state.Quorum.Configuration;
        bool may = MayChange;
#if LOOM_MUTATIONS
        may |= Diagnostics.Mutations.On("E4-leave-joint-too-early");
#endif
        if (current.IsJoint && may)
        {
            TryAppend(ConfigurationChange.Left(current));
        }
    }

    private bool TryAppend(Configuration next)
    {
        if (next.Find(state.Self)?.Role != MemberRole.Voter)
        {
            BeginTransfer(BestAmong(next));
            return false;
        }

        AppendOne(EntryKind.Configuration, ConfigurationCodec.Encode(next));
        state.Configurations.Append(state.Log.LastIndex, next);
        replicator.Reconfigure();
        replicator.SendAppends();
        AdvanceCommit();
        return true;
    }

    /// <summary>The one that holds most, of those that were heard lately, vote now and will vote then; None: there is none.</summary>
    private MemberId BestAmong(Configuration next)
    {
        Progress? best = null;
        foreach (Progress member in replicator.Members)
        {
            bool fit = member.Id != state.Self && state.Now - member.LastHeard <= state.ElectionTimeout
                && state.Quorum.IsVoter(state.Quorum.PositionOf(member.Id)) && next.Find(member.Id)?.Role == MemberRole.Voter;
            best = fit && (best is null || member.Match > best.Match) ? member : best;
        }

        return best?.Id ?? MemberId.None;
    }

    public void RequestRead(MemberId from, ulong incarnation, ulong context)
    {
        // From the order to campaign on, another leader may exist before this one hears of it (E6).
        if (transfer.IsActive)
        {
            reads.Answer(from, incarnation, context, -1);
            return;
        }

        if (replicator.IsSoleVoter)
        {
            ConfirmRounds();
        }

        reads.Request(from, incarnation, context);
        if (replicator.IsSoleVoter)
        {
            ConfirmRounds();
        }
    }

    /// <summary>E6: no new proposals, no reads; the target catches up, is told to campaign, and has until the deadline.</summary>
    public void BeginTransfer(MemberId target)
    {
        int position = state.Quorum.PositionOf(target);
        if (target == state.Self || !state.Quorum.IsVoter(position) || transfer.Target == target)
        {
            return;
        }

        reads.RefuseAll();
        transfer.Start(target, state.Now + state.ElectionTimeout);
        replicator.SendAppends(replicator.Members[position]);
        OrderCampaign();
    }

    private void AbortTransfer()
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E6-no-deadline"))
        {
            transfer.Start(transfer.Target, state.Now + state.ElectionTimeout);
            return;
        }
#endif
        transfer.End();
        state.Output.StateChanged = true;
    }

    private void OrderCampaign()
    {
        if (transfer.IsActive && !transfer.Ordered && replicator.Find(transfer.Target) is { } member && member.Match == state.Log.LastIndex)
        {
            transfer.Ordered = true;
            state.Send(new Message { Kind = MessageKind.TimeoutNow, From = state.Self, To = transfer.Target, Term = state.Term });
        }
    }

    private ProposalRefusal Refusal(in ProposalItem item, long itemCost, long cost)
    {
        if (item.Kind is not (EntryKind.OpenSession or EntryKind.Command))
        {
            return ProposalRefusal.Invalid;
        }

        if (transfer.IsActive)
        {
            return ProposalRefusal.Transferring;
        }

        return budget.Admits(itemCost, cost) ? ProposalRefusal.None : ProposalRefusal.Overloaded;
    }

    private void AppendOne(EntryKind kind, ReadOnlyMemory<byte> body) =>
        Append([new Entry(state.Log.LastIndex + 1, state.Term, kind, state.ClusterTime.StampAt(state.Now), body)], body.Length);

    private void Append(Entry[] entries, long bytes)
    {
        state.Log.Log.Append(entries);
        state.ClusterTime.Appended(entries[^1].ClusterTime);
        if (bytes <= state.Options.AppendBytes)
        {
            state.Log.Remember(entries[0].Index, new LogSlice(entries, bytes));
        }
    }

    private bool HearsQuorum()
    {
        quorumHeardAt = Math.Max(quorumHeardAt, replicator.HeardReached());
        state.LeaderHeardAt = quorumHeardAt;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E2-no-check-quorum"))
        {
            return true;
        }
#endif
        return state.Now <= quorumHeardAt + state.ElectionTimeout;
    }

    private void ConfirmRounds()
    {
        if (rounds.Confirm(replicator.RoundReached()))
        {
            state.ClusterTime.Confirmed(state.Now);
            quorumHeardAt = Math.Max(quorumHeardAt, replicator.HeardReached());
            state.LeaderHeardAt = quorumHeardAt;
            reads.Serve();
            reads.SendRoundIfDue();
        }
    }

    /// <summary>
    /// E5: an index is committed once a CommitQuorum holds it flushed and its entry is of this term; what lies below it is committed by it.
    /// Counting replicas of an older term's entry would commit what a later leader may still overwrite (figure 8).
    /// </summary>
    private void AdvanceCommit()
    {
        long index = Math.Min(replicator.MatchReached(), state.Log.LastIndex);
        if (index <= state.Commit)
        {
            return;
        }
#if LOOM_MUTATIONS
        bool ofThisTerm = index >= firstOfTerm || Diagnostics.Mutations.On("E5-count-replicas-for-older-term");
#else
        bool ofThisTerm = index >= firstOfTerm;
#endif
        if (ofThisTerm && state.CommitTo(index))
        {
            budget.Committed(index);
            reads.Serve();
        }
    }
}
