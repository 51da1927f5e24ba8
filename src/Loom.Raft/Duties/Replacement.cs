using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Duties;

/// <summary>A configuration to propose, and why, in words.</summary>
internal sealed record ProposedChange(Configuration Configuration, string What);

/// <summary>
/// How a member that lost its directory comes back (E1): it is taken in as a learner under a new id, catches up, and takes its predecessor's place, voter or standby. A pure function of what the leader sees;
/// the core lets one change through at a time (E4). The waits of E7 do not bind it: the role and the datacenter stay the same, and so does what may be lost.
/// </summary>
internal static class Replacement
{
    /// <summary>A learner that is unheard for so long, while its predecessor is heard again, is given up.</summary>
    public const long LearnerPatience = 60_000_000_000;

    /// <summary>Entries that a learner may lack when it takes the place: what is replicated in the time that the change takes.</summary>
    public const long CaughtUp = 1_000;

    /// <summary>What to propose now, or null.</summary>
    /// <param name="current">The configuration in force.</param>
    /// <param name="newcomers">Who waits under a member's name.</param>
    /// <param name="peers">What the leader knows of the other members.</param>
    /// <param name="self">The leader.</param>
    /// <param name="lastIndex">The end of its log.</param>
    /// <param name="silence">Whoever had the name before must be unheard for so long.</param>
    /// <param name="now">The time.</param>
    public static ProposedChange? Next(
        Configuration current, IReadOnlyList<Member> newcomers, IReadOnlyList<PeerView> peers, MemberId self, long lastIndex, long silence, long now)
    {
        if (current.IsJoint)
        {
            return null;
        }

        foreach (Member learner in current.Members)
        {
            if (learner.Role == MemberRole.Learner && Predecessor(current, learner) is { } predecessor
                && (Promote(learner, predecessor) ?? GiveUp(learner, predecessor)) is { } change)
            {
                return change;
            }
        }

        foreach (Member newcomer in newcomers)
        {
            if (current.Find(newcomer.Id) is null && Predecessor(current, newcomer) is { } predecessor && IsSilent(predecessor.Id, silence))
            {
                return TakeIn(current, newcomer, predecessor);
            }
        }

        return null;

        ProposedChange? Promote(Member learner, Member predecessor) =>
            IsSilent(predecessor.Id, silence) && !IsSilent(learner.Id, silence) && HasCaughtUp(learner.Id)
                ? new(With(current, m => m.Id != predecessor.Id, learner with { Role = predecessor.Role }),
                    $"{learner.Name} ({learner.Id}) has caught up and takes the place of {predecessor.Id} as {predecessor.Role}")
                : null;

        ProposedChange? GiveUp(Member learner, Member predecessor) =>
            IsSilent(learner.Id, LearnerPatience) && !IsSilent(predecessor.Id, silence)
                ? new(With(current, m => m.Id != learner.Id, null), $"{learner.Name} ({learner.Id}) is gone, and {predecessor.Id}, whose place it was to take, is back: the learner is removed")
                : null;

        bool IsSilent(MemberId id, long since) => id != self && now - HeardAt(id) >= since;

        long HeardAt(MemberId id) => Find(id)?.LastHeard ?? now;

        bool HasCaughtUp(MemberId id) => Find(id) is { Replicating: true } peer && peer.Match + CaughtUp >= lastIndex;

        PeerView? Find(MemberId id)
        {
            foreach (PeerView peer in peers)
            {
                if (peer.Id == id)
                {
                    return peer;
                }
            }

            return null;
        }
    }

    /// <summary>Another learner under the name is one whose directory was emptied again before it had caught up: it goes at once, nobody counts on it.</summary>
    private static ProposedChange TakeIn(Configuration current, Member newcomer, Member predecessor) => new(
        With(current, m => m.Role != MemberRole.Learner || m.Name != newcomer.Name, newcomer with { Role = MemberRole.Learner, Datacenter = predecessor.Datacenter }),
        $"{newcomer.Name} has come with another data directory: it is taken in as a learner ({newcomer.Id}) to take the place of {predecessor.Id}");

    /// <summary>Whose place somebody under this name takes: the voter or standby that has it.</summary>
    private static Member? Predecessor(Configuration current, Member successor) =>
        current.Members.FirstOrDefault(m => m.Name == successor.Name && m.Id != successor.Id && m.Role is MemberRole.Voter or MemberRole.Standby);

    private static Configuration With(Configuration before, Func<Member, bool> stays, Member? added)
    {
        IEnumerable<Member> members = before.Members.Where(m => stays(m) && m.Id != added?.Id);
        return before with { Members = [.. (added is null ? members : members.Append(added)).OrderBy(m => m.Id)] };
    }
}
