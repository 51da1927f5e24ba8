using Loom.Raft.Consensus;
using Loom.Raft.Transport;

namespace Loom.Raft.Membership;

/// <summary>
/// Whom a formed member lets in: the members of the newest configuration that it knows to be committed and of those behind it in its log, and guests: who belongs to a later configuration than
/// it knows (it may have missed the change of its own leader), and newcomers under a member's name (E1). One guest per name, so that there are few.
/// Not thread-safe.
/// </summary>
/// <param name="base">The configuration at the base of the log.</param>
internal sealed class KnownMembers(Configuration @base)
{
    private const int MaxGuests = 16;

    private readonly SortedDictionary<string, PeerHello> guests = new(StringComparer.Ordinal);
    private ConfigurationAt[] configurations = [new ConfigurationAt(0, @base)];
    private ConfigurationAt committed = new(0, @base);

    /// <summary>The configuration in force here.</summary>
    public Configuration Current => configurations[^1].Configuration;

    /// <summary>Index of the newest configuration that is known to be committed: which of two members knows more of the members.</summary>
    public long CommittedIndex => committed.Index;

    /// <summary>Grows whenever <see cref="Targets"/> changes.</summary>
    public long Version { get; private set; } = 1;

    /// <summary>Heard under the name of a member that they are not.</summary>
    public IEnumerable<PeerHello> Newcomers => guests.Values.Where(g => g.ConfigurationIndex < 0);

    /// <summary>What a hello claims: the index of the newest committed configuration if it holds the member, else -1.</summary>
    public long ClaimOf(MemberId self) => committed.Configuration.Find(self) is null && !committed.Configuration.OutgoingVoters.Contains(self) ? -1 : CommittedIndex;

    public Member? Find(MemberId id)
    {
        for (int i = configurations.Length - 1; i >= 0; i--)
        {
            if (configurations[i].Configuration.Find(id) is { } member) return member;
        }
        return null;
    }

    /// <summary>Who has this name now; of two the one that a newcomer would replace, which is no learner.</summary>
    public Member? Named(string name) => Current.Members.Where(m => m.Name == name).MinBy(m => m.Role == MemberRole.Learner);

    /// <summary>Where the members of a name are, in every configuration that counts here; no guest, who says himself where he is.</summary>
    public IReadOnlyList<string> UrlsOf(string name) => [.. configurations.SelectMany(at => at.Configuration.Members).Where(m => m.Name == name).SelectMany(m => m.PeerUrls).Distinct()];

    /// <summary>All who are or wait under a name: members of the configuration in force, and a guest.</summary>
    public IEnumerable<Member> Under(string name)
    {
        IEnumerable<Member> members = Current.Members.Where(m => m.Name == name);
        return guests.TryGetValue(name, out PeerHello? guest) ? members.Append(MemberOf(guest)) : members;
    }

    public bool IsGuest(MemberId id) => guests.Values.Any(g => g.From == id);

    /// <summary>A guest as the learner that it would be.</summary>
    public static Member MemberOf(PeerHello guest) => new(guest.From, guest.Incarnation, guest.Name, guest.Datacenter, MemberRole.Learner, guest.PeerUrls, guest.ClientUrls);

    /// <summary>The log's configurations, ascending, and how far it is committed.</summary>
    public void Adopt(IReadOnlyList<ConfigurationAt> history, long commit)
    {
        int newest = 0;
        for (int i = 0; i < history.Count; i++)
        {
            if (history[i].Index <= commit) newest = i;
        }
        committed = history[newest];
        // Who leaves is none of its members, and votes and counts until it is left (E4): the one before it says where they are.
        configurations = [.. history.Skip(committed.Configuration.IsJoint && newest > 0 ? newest - 1 : newest)];
        foreach (string name in guests.Keys.ToArray())
        {
            if (Find(guests[name].From) is not null || (guests[name].ConfigurationIndex < 0 && Named(name) is null)) _ = guests.Remove(name);
        }
        Version++;
    }

    /// <summary>False: too many already.</summary>
    public bool Welcome(PeerHello guest)
    {
        bool known = guests.TryGetValue(guest.Name, out PeerHello? before);
        if (!known && guests.Count >= MaxGuests) return false;
        guests[guest.Name] = guest;
        if (!known || before!.From != guest.From || !before.PeerUrls.SequenceEqual(guest.PeerUrls)) Version++;
        return true;
    }

    /// <summary>Who should be connected to: not this member, nor who had its name and address before.</summary>
    public IReadOnlyList<PeerTarget> Targets(MemberIdentity self)
    {
        var targets = new SortedDictionary<MemberId, PeerTarget>();
        foreach (PeerHello guest in guests.Values) targets[guest.From] = new PeerTarget(guest.From, guest.Name, guest.Datacenter, guest.PeerUrls);
        foreach (ConfigurationAt at in configurations)
        {
            foreach (Member member in at.Configuration.Members) targets[member.Id] = PeerTarget.Of(member);
        }
        return [.. targets.Values.Where(target => target.Name != self.Name)];
    }
}
