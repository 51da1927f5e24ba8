using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Topology;

/// <summary>Says in one sentence what may be lost. Where each member stands alone in its datacenter, people think of members.</summary>
internal sealed class PlacementSentence(
    Configuration configuration, int members, int datacenters, int further, IReadOnlyList<MemberId> fatalMembers, IReadOnlyList<string> fatalDatacenters)
{
    private static readonly string[] Words = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

    public override string ToString()
    {
        bool byMember = configuration.Members.Select(m => m.Datacenter).Distinct(StringComparer.Ordinal).Count() == configuration.Members.Count;
        if (members <= 0)
        {
            return $"No failure can be survived: {Reason()}.";
        }

        if (byMember)
        {
            return $"You can lose any {Count(members, "member")}.";
        }

        if (datacenters == 0)
        {
            return $"You can lose any {Count(members, "member")}, but not datacenter {fatalDatacenters[0]}.";
        }

        string lose = $"You can lose any {Count(datacenters, "datacenter")}";
        if (further > 0)
        {
            return $"{lose} plus {Word(further)} more {(further == 1 ? "node" : "nodes")}.";
        }

        return members > 1 ? $"{lose}, or any {Count(members, "member")}." : $"{lose}.";
    }

    private string Reason()
    {
        int voters = configuration.Voters.Count();
        if (voters == 0)
        {
            return "the cluster has no voter";
        }

        if (fatalMembers.Count == 0)
        {
            // Fatal although nothing is lost: only the datacenter rule does that.
            return "commits need two datacenters, and all voters stand in one";
        }

        string name = NameOf(fatalMembers[0]);
        return voters == 1 ? $"{name} is the only voter" : $"without {name} nothing can be committed";
    }

    private string NameOf(MemberId id) => configuration.Find(id)?.Name ?? id.ToString();

    private static string Count(int count, string noun) => $"{Word(count)} {noun}{(count == 1 ? "" : "s")}";

    private static string Word(int count) => count < Words.Length ? Words[count] : count.ToString(System.Globalization.CultureInfo.InvariantCulture);
}
