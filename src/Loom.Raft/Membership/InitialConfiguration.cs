using System.Globalization;
using System.IO.Hashing;
using System.Text;
using Loom.Raft.Consensus;

namespace Loom.Raft.Membership;

/// <summary>
/// The members as the operator lists them at formation (N5), and what is derived from them alone: ids, hashes. Every member derives the same.
/// </summary>
/// <remarks>
/// An id is a hash of token and name, so that all members know the initial configuration's order and quorums before they have heard each other. E1 asks that an
/// id belongs to one life of one directory: that is kept by the incarnation, which is random, flushed before the first answer, and pinned in the configuration;
/// a member that comes back with an emptied directory has the id but not the incarnation; it joins under another id, which is a hash of the incarnation too. Client URLs are not part of it:
/// they may change between two starts, so the leader adds them by an entry of its own once it has heard them.
/// </remarks>
internal static class InitialConfiguration
{
    public static MemberId IdOf(string token, string name)
    {
        ulong hash = XxHash64.HashToUInt64(Encoding.UTF8.GetBytes($"loom member\n{token}\n{name}"));
        return new MemberId(hash == 0 ? 1 : hash);
    }

    /// <summary>
    /// The id of a directory that joins a cluster which knows its name with another one (E1): no vote was ever given under it, for the incarnation was drawn with the directory.
    /// </summary>
    public static MemberId RejoinIdOf(string token, string name, ulong incarnation)
    {
        ulong hash = XxHash64.HashToUInt64(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"loom member\n{token}\n{name}\n{incarnation:x16}")));
        return new MemberId(hash == 0 ? 1 : hash);
    }

    public static ulong TokenHash(string token) => XxHash64.HashToUInt64(Encoding.UTF8.GetBytes($"loom token\n{token}"));

    /// <summary>The list as a configuration that pins nobody.</summary>
    /// <exception cref="RaftException">CannotOpen: the list contradicts itself or the options.</exception>
    public static Configuration Of(RaftNodeOptions options)
    {
        IReadOnlyList<InitialMember> listed = options.InitialCluster.Count > 0
            ? options.InitialCluster
            : [new InitialMember(options.Name, options.Datacenter ?? options.Name, MemberRole.Voter, [])];
        List<string> faults = Faults(listed, options);
        if (faults.Count > 0) throw Cannot(string.Join(" ", faults));
        Member[] members = [.. listed
            .Select(m => new Member(IdOf(options.ClusterToken, m.Name), 0, m.Name, m.Datacenter, m.Role, [.. m.PeerUrls], []))
            .OrderBy(m => m.Id)];
        if (members.Zip(members.Skip(1)).FirstOrDefault(pair => pair.First.Id == pair.Second.Id) is ({ } first, { } second))
            throw Cannot($"The names '{first.Name}' and '{second.Name}' hash to one id: rename one of them.");
        return new Configuration(options.PlacementGoal, members, []);
    }

    /// <summary>How the list contradicts itself or the other options, as sentences that name the fix.</summary>
    public static List<string> Faults(IReadOnlyList<InitialMember> listed, RaftNodeOptions options)
    {
        List<string> faults = [];
        if (options.PlacementGoal == PlacementGoal.TwoDatacenters && listed.Where(m => m.Role == MemberRole.Voter).Select(m => m.Datacenter).Distinct(StringComparer.Ordinal).Count() < 2)
            faults.Add("PlacementGoal is TwoDatacenters, and not two datacenters have a voter: put a voter into another one, or use Majority.");
        InitialMember? self = listed.FirstOrDefault(m => m.Name == options.Name);
        if (self is null)
            faults.Add($"InitialCluster does not name this member '{options.Name}', it lists {string.Join(", ", listed.Select(m => m.Name))}: set Name to one of these, or add this member to the list on every member.");
        else if (options.Datacenter is { } datacenter && datacenter != self.Datacenter)
            faults.Add($"Datacenter is '{datacenter}', but InitialCluster says '{self.Datacenter}' for '{self.Name}': make them agree.");
        faults.AddRange(listed.GroupBy(m => m.Name, StringComparer.Ordinal).Where(g => g.Count() > 1).Select(g => $"InitialCluster names '{g.Key}' twice: names are unique."));
        if (listed.Count > 1)
            faults.AddRange(listed.Where(m => m.PeerUrls.Count == 0).Select(m => $"InitialCluster gives '{m.Name}' no peer URL: add one such as http://10.0.0.1:2380."));
        faults.AddRange(listed.SelectMany(m => m.PeerUrls).GroupBy(u => u, StringComparer.Ordinal).Where(g => g.Count() > 1)
            .Select(g => $"InitialCluster gives the peer URL {g.Key} to two members: each has its own."));
        faults.AddRange(listed.Where(m => m.Role is not (MemberRole.Voter or MemberRole.Standby))
            .Select(m => $"InitialCluster lists '{m.Name}' as {m.Role}: at formation there are voters and standbys."));
        if (listed.All(m => m.Role != MemberRole.Voter)) faults.Add("InitialCluster holds no voter: at least one member must vote.");
        return faults;
    }

    /// <summary>Hash of the list alone: the same before and after the incarnations are known.</summary>
    public static ulong ListHash(Configuration configuration) => XxHash64.HashToUInt64(ConfigurationCodec.Encode(ListOf(configuration)));

    /// <summary>The list that a configuration was made of: pins nobody.</summary>
    public static Configuration ListOf(Configuration configuration) =>
        configuration with { Members = [.. configuration.Members.Select(m => m with { Incarnation = 0, ClientUrls = [] })] };

    /// <summary>The cluster id: hash of the initial configuration, incarnations included, the token, and the backup that the cluster begins from; 0: it begins from nothing.</summary>
    public static ulong ClusterId(Configuration initial, string token, ulong origin)
    {
        string suffix = origin == 0 ? token : string.Create(CultureInfo.InvariantCulture, $"{token}\nrestored\n{origin:x16}");
        ulong hash = XxHash64.HashToUInt64([.. ConfigurationCodec.Encode(initial), .. Encoding.UTF8.GetBytes(suffix)]);
        return hash == 0 ? 1 : hash;
    }

    /// <summary>Names the first member in which two lists differ, in words.</summary>
    public static string Difference(IReadOnlyList<Member> here, IReadOnlyList<Member> there)
    {
        foreach (Member mine in here)
        {
            Member? theirs = there.FirstOrDefault(m => m.Name == mine.Name);
            if (theirs is null) return $"{mine.Name} is listed here and not there";
            if (Describe(mine) != Describe(theirs)) return $"{Describe(mine)} here, {Describe(theirs)} there";
        }
        Member? extra = there.FirstOrDefault(m => here.All(mine => mine.Name != m.Name));
        return extra is null ? "the placement goal differs" : $"{extra.Name} is listed there and not here";
    }

    private static string Describe(Member member) =>
        $"{member.Name}@{member.Datacenter}{(member.Role == MemberRole.Voter ? "" : "/" + member.Role.ToString().ToLowerInvariant())}={string.Join('|', member.PeerUrls)}";

    private static RaftException Cannot(string why) => new(RaftErrorCode.CannotOpen, $"The cluster cannot be formed. {why}");
}
