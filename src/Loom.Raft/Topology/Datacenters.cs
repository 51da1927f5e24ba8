using Loom.Raft.Membership;

namespace Loom.Raft.Topology;

/// <summary>One datacenter and who stands in it, sorted by id.</summary>
internal sealed record Datacenter(string Name, IReadOnlyList<Member> Members)
{
    /// <summary>Members that vote.</summary>
    public int Voters => Members.Count(m => m.Role == MemberRole.Voter);
}

/// <summary>A configuration seen by datacenter, in ordinal order of their names.</summary>
internal static class Datacenters
{
    public static IReadOnlyList<Datacenter> Of(Configuration configuration)
    {
        var byName = new SortedDictionary<string, List<Member>>(StringComparer.Ordinal);
        foreach (Member member in configuration.Members)
        {
            if (!byName.TryGetValue(member.Datacenter, out List<Member>? members))
            {
                byName.Add(member.Datacenter, members = []);
            }

            members.Add(member);
        }

        return [.. byName.Select(d => new Datacenter(d.Key, d.Value))];
    }
}
