using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Tests.Consensus;

/// <summary>Configurations for tests: members 1, 2, 3 … named m1, m2, m3 …</summary>
internal static class Clusters
{
    public static Configuration Of(int voters, int standbys = 0, PlacementGoal goal = PlacementGoal.Majority, params string[] datacenters)
    {
        var members = new List<Member>();
        for (int i = 1; i <= voters + standbys; i++)
        {
            string datacenter = datacenters.Length >= i ? datacenters[i - 1] : $"m{i}";
            members.Add(new Member(new MemberId((ulong)i), (ulong)i, $"m{i}", datacenter, i <= voters ? MemberRole.Voter : MemberRole.Standby, [], []));
        }

        return new Configuration(goal, members, []);
    }
}
