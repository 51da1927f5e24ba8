using Loom.Raft.Quorums;

namespace Loom.Raft.Consensus;

/// <summary>Asks for pre-votes, then for votes, and counts them over the positions of the configuration in force.</summary>
internal sealed class Candidate(CoreState state)
{
    private const long Granted = 1;
    private const long Open = 0;
    private const long Refused = -1;

    private long[] votes = [];

    /// <summary>Somebody else's answer says that the vote for ourselves is on disk: it left only after the flush (L8).</summary>
    public bool AnsweredByOthers { get; private set; }

    /// <summary>Asks whether an election would be won (E2): the term does not change, nobody is disturbed.</summary>
    public void AskPreVotes()
    {
        Begin();
        Ask(MessageKind.PreVote, state.Term + 1, transfer: false);
    }

    /// <summary>Asks for votes in the new term, which is saved with the own vote.</summary>
    public void AskVotes(bool transfer)
    {
        Begin();
        Ask(MessageKind.Vote, state.Term, transfer);
    }

    public void OnResponse(Message m)
    {
        int position = state.Quorum.PositionOf(m.From);
        if (position >= 0 && position < votes.Length && votes[position] == Open)
        {
            votes[position] = m.Reject ? Refused : Granted;
            AnsweredByOthers |= !m.Reject;
        }
    }

    /// <summary>Positive: won. Negative: lost. Zero: open. A pre-vote needs a CommitQuorum, a vote the majorities alone (E5).</summary>
    public long Result => state.Role == RaftRole.PreCandidate ? state.Quorum.Reached(votes) : state.Quorum.Elected(votes);

    private void Begin()
    {
        votes = new long[state.Quorum.Count];
        votes[state.Quorum.PositionOf(state.Self)] = Granted;
        AnsweredByOthers = false;
    }

    private void Ask(MessageKind kind, long term, bool transfer)
    {
        CommitQuorum quorum = state.Quorum;
        for (int i = 0; i < quorum.Count; i++)
        {
            MemberId id = quorum.Ids[i];
            if (!quorum.IsVoter(i) || id == state.Self)
            {
                continue;
            }

            var request = new Message
            {
                Kind = kind, From = state.Self, To = id, Term = term, Index = state.Log.LastIndex, LogTerm = state.Log.LastTerm, Transfer = transfer,
            };
            if (kind == MessageKind.PreVote)
            {
                state.Send(request);
            }
            else
            {
                // The request says "I voted for myself": that must not be forgotten (L8).
                state.SendAfterFlush(request);
            }
        }
    }
}
