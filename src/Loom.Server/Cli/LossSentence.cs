using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Topology;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Cli;

/// <summary>
/// What may be lost from here on. The placement sentence speaks of the configuration with all members well; who asks while voters are silent needs to know what is left of it.
/// </summary>
internal static class LossSentence
{
    /// <param name="members">All members of the configuration.</param>
    /// <param name="silent">The voters among them that did not answer.</param>
    /// <param name="placement">The sentence for the whole configuration.</param>
    /// <param name="goal">The placement goal: where it asks for two datacenters, a commit needs voters of two.</param>
    public static string Of(IReadOnlyCollection<ClusterMember> members, IReadOnlyCollection<ClusterMember> silent, string placement, string goal)
    {
        if (silent.Count == 0)
        {
            return placement;
        }

        string who = string.Join(", ", silent.Select(m => m.Name));
        int further = Further(members, silent, goal);
        string left = further switch
        {
            0 => "no further voter may be lost before writes stop",
            1 => "one further voter may be lost before writes stop",
            _ => $"any {further} further voters may be lost before writes stop",
        };
        return $"Now {who} {(silent.Count == 1 ? "does" : "do")} not answer: {left}. With all members well: {placement}";
    }

    /// <summary>By the cluster's own quorum arithmetic.</summary>
    internal static int Further(IReadOnlyCollection<ClusterMember> members, IReadOnlyCollection<ClusterMember> silent, string goal)
    {
        Member[] all = [.. members.OrderBy(m => m.Id).Select(m => new Member(new MemberId(m.Id), 0, m.Name, m.Datacenter, IsVoter(m) ? MemberRole.Voter : MemberRole.Standby, [], []))];
        var configuration = new Loom.Raft.Membership.Configuration(goal == "two-datacenters" ? PlacementGoal.TwoDatacenters : PlacementGoal.Majority, all, []);
        return FurtherLosses.OfVoters(configuration, [.. silent.Select(m => new MemberId(m.Id))]);
    }

    public static bool IsVoter(ClusterMember member) => member.Role == "voter";
}
