using System.Globalization;
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
            members.Add(MemberOf(i, i <= voters ? MemberRole.Voter : MemberRole.Standby, datacenter));
        }

        return new Configuration(goal, members, []);
    }

    /// <summary>Members as transcripts write them: 2v, 4s, 5l.</summary>
    public static Configuration Parse(IEnumerable<string> words) => new(
        PlacementGoal.Majority,
        [.. words
            .Select(w => MemberOf(
                int.Parse(w[..^1], CultureInfo.InvariantCulture), w[^1] switch { 'v' => MemberRole.Voter, 's' => MemberRole.Standby, _ => MemberRole.Learner }, $"m{w[..^1]}"))
            .OrderBy(m => m.Id)],
        []);

    public static string Format(Configuration configuration)
    {
        string members = string.Join(' ', configuration.Members.Select(m => $"{m.Id}{char.ToLowerInvariant(m.Role.ToString()[0])}"));
        return configuration.IsJoint ? $"{members}, joint with the voters {string.Join(' ', configuration.OutgoingVoters)}" : members;
    }

    private static Member MemberOf(int number, MemberRole role, string datacenter) =>
        new(new MemberId((ulong)number), (ulong)number, $"m{number}", datacenter, role, [], []);
}
