using Loom.Raft.Sessions;

namespace Loom.Raft.Proposals;

/// <summary>What the sessions of an installed state are asked about the proposals of this process (P3): entries that would have answered never come by here.</summary>
/// <param name="Ids">Commands that are not settled.</param>
/// <param name="Opening">The session on its way, if one is.</param>
internal sealed record SessionInquiry(IReadOnlyList<ProposalId> Ids, SessionOwner? Opening);

/// <summary>The answers.</summary>
/// <param name="Decisions">One per id; null: not applied, keep waiting.</param>
/// <param name="Opened">The session that was on its way, if it is open; else 0.</param>
internal sealed record SessionAnswers(IReadOnlyList<SessionDecision?> Decisions, long Opened)
{
    public static SessionAnswers Of(SessionInquiry inquiry, SessionTable sessions)
    {
        var decisions = new SessionDecision?[inquiry.Ids.Count];
        for (var i = 0; i < decisions.Length; i++)
        {
            decisions[i] = sessions.Find(inquiry.Ids[i]);
        }

        return new SessionAnswers(decisions, inquiry.Opening is { } owner ? sessions.FindSession(owner) : 0);
    }
}
