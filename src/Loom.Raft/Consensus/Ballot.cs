namespace Loom.Raft.Consensus;

/// <summary>Answers requests for votes and pre-votes, in every role (E1 to E3, L8).</summary>
internal sealed class Ballot(CoreState state)
{
    /// <summary>
    /// Stickiness (E2): this member hears a leader, so it takes no part in deposing it. Liveness only, free of promises; a leader's own order (transfer) overrides it,
    /// and a leader whose process was seen to die is not heard any more.
    /// </summary>
    public bool IsSticky(Message request, long leaderHeardAt)
    {
        if (request.Transfer)
        {
            return false;
        }
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E2-no-stickiness"))
        {
            return false;
        }
#endif
        return state.Role == RaftRole.Leader || (!state.Leader.IsNone && state.Now - leaderHeardAt <= state.ElectionTimeout);
    }

    /// <summary>A request of this term or, for a pre-vote, of a later one. True if a vote (not a pre-vote) was given.</summary>
    public bool Answer(Message request)
    {
        bool preVote = request.Kind == MessageKind.PreVote;
        bool grant = MayVote() && IsFree(request, preVote) && state.Log.IsUpToDate(request.Index, request.LogTerm);
        if (preVote)
        {
            // A granted pre-vote speaks of the term the candidate would campaign in, a refusal of the term here. Neither promises anything (L8).
            state.Send(Response(request, MessageKind.PreVoteResponse, grant ? request.Term : state.Term, !grant));
            return false;
        }

        if (grant)
        {
            state.SaveHardState(state.Term, request.From);
        }

        state.SendAfterFlush(Response(request, MessageKind.VoteResponse, state.Term, !grant));
        return grant;
    }

    /// <summary>A request from a term that is over: the sender learns the term here (E3).</summary>
    public void Refuse(Message request)
    {
        bool preVote = request.Kind == MessageKind.PreVote;
        state.Send(Response(request, preVote ? MessageKind.PreVoteResponse : MessageKind.VoteResponse, state.Term, reject: true));
    }

    /// <summary>
    /// A life that the configuration does not pin never votes (E1). Whoever else is asked does: the candidate's configuration says whose votes count, and a member that was made a voter
    /// may not have heard of it yet. If it refused, the others could be without a majority though all but one of them live.
    /// </summary>
    private bool MayVote()
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E1-unpinned-votes"))
        {
            return true;
        }
#endif
        return state.MayVote;
    }

    private bool IsFree(Message request, bool preVote)
    {
        if (preVote && request.Term > state.Term)
        {
            return true;
        }
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E3-two-votes-in-a-term"))
        {
            return true;
        }
#endif
        return state.Vote == request.From || (state.Vote.IsNone && state.Leader.IsNone);
    }

    private static Message Response(Message request, MessageKind kind, long term, bool reject) =>
        new() { Kind = kind, From = request.To, To = request.From, Term = term, Reject = reject };
}
