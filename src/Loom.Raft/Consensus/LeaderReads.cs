namespace Loom.Raft.Consensus;

/// <summary>
/// R1 on the leader. A request is answered once a round <i>sent after it arrived</i> is confirmed by a CommitQuorum and an entry of this term has committed.
/// Rounds for reads are sent at once when none is open; while one is open, the requests that come meanwhile share the next (at most one per pace, so that a
/// far quorum does not double everybody's wait and a near one is not flooded).
/// </summary>
internal sealed class LeaderReads(CoreState state, ConfirmationRounds rounds, Replicator replicator)
{
    private const long PaceNanoseconds = 2_000_000;

    private readonly ReadIndexQueue queue = new();

    /// <summary>Index of this term's first entry: everything that former leaders committed lies below it.</summary>
    private long firstOfTerm;

    public long NextDeadline => queue.NeedsRoundAfter(rounds.Sent) ? rounds.LastSentAt + PaceNanoseconds : long.MaxValue;

    public void Begin(long firstIndexOfTerm) => firstOfTerm = firstIndexOfTerm;

    public void Request(MemberId from, ulong incarnation, ulong context)
    {
        if (queue.IsFull)
        {
            Answer(from, incarnation, context, -1);
            return;
        }

        long index = Math.Max(state.Commit, firstOfTerm);
        long round = rounds.Sent + 1;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("R1-before-own-term-commit"))
        {
            index = state.Commit;
        }

        if (Diagnostics.Mutations.On("R1-skip-quorum-round"))
        {
            round = 0;
        }

        if (Diagnostics.Mutations.On("R1-round-before-request"))
        {
            round = rounds.Sent;
        }
#endif
        queue.Add(new PendingRead(from, incarnation, context, index, round));
        SendRoundIfDue();
        Serve();
    }

    /// <summary>Sends the round that waiting requests need, unless one is open and was sent just now.</summary>
    public void SendRoundIfDue()
    {
        if (queue.NeedsRoundAfter(rounds.Sent) && (rounds.AllConfirmed || state.Now >= rounds.LastSentAt + PaceNanoseconds))
        {
            replicator.StartRound(votersOnly: true);
        }
    }

    /// <summary>Answers what is confirmed. Also after a commit: the first one of the term opens the gate.</summary>
    public void Serve()
    {
        bool open = state.Commit >= firstOfTerm;
#if LOOM_MUTATIONS
        open |= Diagnostics.Mutations.On("R1-before-own-term-commit");
#endif
        while (open && queue.TryTakeConfirmed(rounds.Confirmed, out PendingRead request))
        {
            Answer(request.From, request.Incarnation, request.Context, request.Index);
        }
    }

    /// <summary>Leadership ends or is handed over: nothing that waits may be answered any more (R1).</summary>
    public void RefuseAll()
    {
        while (queue.TryTake(out PendingRead request))
        {
            long index = -1;
#if LOOM_MUTATIONS
            if (Diagnostics.Mutations.On("R1-answer-at-step-down"))
            {
                index = request.Index;
            }
#endif
            Answer(request.From, request.Incarnation, request.Context, index);
        }
    }

    public void Answer(MemberId from, ulong incarnation, ulong context, long index)
    {
        if (from == state.Self)
        {
            state.Output.Reads.Add(new ReadAnswer(context, index));
            return;
        }

        state.Send(new Message
        {
            Kind = MessageKind.ReadIndexResponse, From = state.Self, To = from, Term = state.Term, Index = Math.Max(index, 0),
            Reject = index < 0, Context = context, Incarnation = incarnation,
        });
    }
}
