using Loom.Raft.Consensus;
using Loom.Raft.Quorums;
using Loom.Raft.Transport;

namespace Loom.Raft.Membership;

/// <summary>How a directory becomes a member of a cluster that has formed without it.</summary>
/// <param name="Id">Under which id (E1).</param>
/// <param name="ClusterId">Of which cluster.</param>
/// <param name="ListHash">What all of that cluster say of the list it was formed with.</param>
/// <param name="Origin">The backup that the cluster began from (<see cref="MemberIdentity.Origin"/>).</param>
/// <param name="Base">What its log begins with, until it is sent what the log held since.</param>
internal sealed record JoinDecision(MemberId Id, ulong ClusterId, ulong ListHash, ulong Origin, Configuration Base);

/// <summary>
/// An empty directory meets a cluster that has formed (E1): it joins it under its name and a new member id, which no vote and no acknowledgement was ever given under. Only once it has heard voters that
/// decide without whoever had the name before, and of a leader among them: it may have to give up what is left of an old directory for it, and a cluster that has lost its majority must stay for
/// its operator to see, not be joined member by member.
/// Decides only. Not thread-safe.
/// </summary>
/// <param name="identity">The directory's, not formed.</param>
/// <param name="seeking">It must not keep the id that it is listed with, whatever the cluster pins.</param>
internal sealed class Rejoin(MemberIdentity identity, bool seeking)
{
    private readonly SortedDictionary<MemberId, PeerHello> heard = [];
    private readonly SortedSet<MemberId> seesItRunning = [];

    /// <summary>Who has formed and said what it holds.</summary>
    public void Hear(PeerHello formed) => heard[formed.From] = formed;

    /// <summary>A member hears somebody under this name, or no more.</summary>
    public void IsRunning(MemberId seenBy, bool running)
    {
        if (running) _ = seesItRunning.Add(seenBy);
        else _ = seesItRunning.Remove(seenBy);
    }

    /// <summary>Null: not yet.</summary>
    public JoinDecision? Decision
    {
        get
        {
            foreach (ulong cluster in Clusters())
            {
                if (Newest(cluster) is { } newest && Missing(newest) is null) return Decide(newest);
            }
            return null;
        }
    }

    /// <summary>What is missing, in words; null: nobody has formed, as far as is known.</summary>
    public string? Waiting => heard.Values.FirstOrDefault() is { } any
        ? $"the cluster {any.ClusterId:x} has formed, and this data directory of {identity.Name} was emptied or replaced: it joins as a new member once {(Newest(any.ClusterId) is { } newest ? Missing(newest) : null) ?? "all are heard"}"
        : null;

    private IEnumerable<ulong> Clusters() => heard.Values.Select(h => h.ClusterId).Distinct();

    /// <summary>Who knows most of the members of a cluster, and is one of them.</summary>
    private PeerHello? Newest(ulong cluster) =>
        heard.Values.Where(h => h.ClusterId == cluster && h is { ConfigurationIndex: >= 0, Current: not null }).MaxBy(h => h.ConfigurationIndex);

    private string? Missing(PeerHello newest)
    {
        Configuration configuration = newest.Current!;
        if (configuration.Members.All(m => m.Name != identity.Name)) return $"a member named {identity.Name} is in it: today it has {string.Join(", ", configuration.Members.Select(m => m.Name))}";
        if (seesItRunning.Count > 0) return $"{identity.Name} is heard nowhere any more";
        var quorum = new CommitQuorum(configuration);
        var answers = new long[quorum.Count];
        foreach (PeerHello hello in heard.Values.Where(h => h.ClusterId == newest.ClusterId))
        {
            int position = quorum.PositionOf(hello.From);
            if (position >= 0 && hello.Name != identity.Name) answers[position] = 1;
        }
        if (quorum.Reached(answers) < 1)
        {
            string[] silent = [.. configuration.Members.Where(m => m.Role == MemberRole.Voter && m.Name != identity.Name && answers[quorum.PositionOf(m.Id)] == 0).Select(m => m.Name)];
            return $"a quorum of the other voters is heard; silent: {string.Join(", ", silent)}";
        }
        return heard.Values.Any(h => h.ClusterId == newest.ClusterId && Leads(configuration, h.Leader)) ? null : "they have a leader";
    }

    private bool Leads(Configuration configuration, MemberId leader) => configuration.Find(leader) is { } member && member.Name != identity.Name;

    private JoinDecision Decide(PeerHello newest)
    {
        Configuration configuration = newest.Current!;
        bool ours = !seeking && configuration.Find(identity.Id) is { } listed
            && (listed.Incarnation == identity.Incarnation || (listed.Incarnation == 0 && listed.Role != MemberRole.Voter));
        return new JoinDecision(
            ours ? identity.Id : InitialConfiguration.RejoinIdOf(identity.Token, identity.Name, identity.Incarnation), newest.ClusterId, newest.ConfigurationHash, newest.Origin, BaseOf(newest));
    }

    /// <summary>The configuration that the cluster was formed with, from whoever still has it: the log that this member is sent begins there. Else any that was committed: a snapshot will bring its own.</summary>
    private Configuration BaseOf(PeerHello newest)
    {
        foreach (PeerHello hello in heard.Values.Where(h => h.ClusterId == newest.ClusterId))
        {
            Configuration first = newest.Current! with { Members = hello.Initial, OutgoingVoters = [] };
            if (InitialConfiguration.ClusterId(first, identity.Token, hello.Origin) == newest.ClusterId) return first;
        }
        return newest.Current!;
    }
}
