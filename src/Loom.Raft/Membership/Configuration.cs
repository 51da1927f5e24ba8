using Loom.Raft.Consensus;

namespace Loom.Raft.Membership;

/// <summary>
/// A configuration of the cluster (E4): its members, and while a joint change is under way the ids of the voters that are leaving or staying from the old half.
/// Immutable; members are sorted by id, so that equal configurations have equal bytes.
/// </summary>
/// <param name="Goal">What a commit must survive.</param>
/// <param name="Members">All members, sorted by id.</param>
/// <param name="OutgoingVoters">Empty, or in a joint configuration (thesis 4.3) the voters of the old half, sorted.</param>
public sealed record Configuration(PlacementGoal Goal, IReadOnlyList<Member> Members, IReadOnlyList<MemberId> OutgoingVoters)
{
    /// <summary>The member with this id, or null.</summary>
    public Member? Find(MemberId id) => Members.FirstOrDefault(m => m.Id == id);

    /// <summary>True while a joint change is under way.</summary>
    public bool IsJoint => OutgoingVoters.Count > 0;

    /// <summary>Ids of the (incoming) voters, sorted.</summary>
    public IEnumerable<MemberId> Voters => Members.Where(m => m.Role == MemberRole.Voter).Select(m => m.Id);
}
