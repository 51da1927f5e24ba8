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

    /// <summary>Any so many further voters may be lost: a majority of all voters must stay, and voters of two datacenters where the goal asks for them.</summary>
    internal static int Further(IReadOnlyCollection<ClusterMember> members, IReadOnlyCollection<ClusterMember> silent, string goal)
    {
        int voters = members.Count(IsVoter);
        ClusterMember[] alive = [.. members.Where(m => IsVoter(m) && !silent.Contains(m))];
        int further = alive.Length - ((voters / 2) + 1);
        if (goal == "two-datacenters")
        {
            // The worst loss leaves the fullest datacenter alone.
            int fullest = alive.GroupBy(m => m.Datacenter, StringComparer.Ordinal).Select(g => g.Count()).DefaultIfEmpty(0).Max();
            further = Math.Min(further, alive.Length - fullest - 1);
        }

        return Math.Max(0, further);
    }

    public static bool IsVoter(ClusterMember member) => member.Role == "voter";
}
