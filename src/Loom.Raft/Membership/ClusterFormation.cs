using Loom.Raft.Consensus;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Membership;

/// <summary>
/// Who this member is to its peers, and who they are to it (E1, N5). Before the cluster is formed it collects the incarnations of all initial voters from their hellos;
/// the initial configuration is then the list with those incarnations, the same on every member, and nobody votes or campaigns before it holds it.
/// Afterwards it guards the door: only the incarnation that the configuration pins comes in, so a directory that was emptied or copied under a known name never votes.
/// Called from the transport's threads: everything is under one lock, and nothing in it waits.
/// </summary>
/// <remarks>
/// Lanes exist only between two formed members of one cluster id. Two members that formed with different incarnations of a third (it was emptied in between) have
/// different cluster ids and refuse each other; whoever has no quorum then stays without.
/// </remarks>
internal sealed class ClusterFormation : IPeerGate
{
    private readonly object gate = new();
    private readonly string token;
    private readonly ulong tokenHash;
    private readonly ulong listHash;
    private readonly IReadOnlyList<string> clientUrls;
    private readonly Func<MemberId, bool> isUp;
    private readonly ILogger log;
    private readonly Signal changed;
    private readonly SortedDictionary<MemberId, PeerHello> heard = [];
    private readonly SortedDictionary<MemberId, string> troubles = [];
    private readonly MemberIdentity identity;
    private Configuration initial;
    private Configuration current;
    private bool decided;
    private ulong clusterId;
    private long version;
    private string? stuck;

    /// <param name="identity">Already flushed (E1): what is said in a hello is kept.</param>
    /// <param name="initial">Forming: the list. Formed: the configuration at the base of the log.</param>
    /// <param name="current">The newest configuration known here.</param>
    /// <param name="clientUrls">What this member advertises.</param>
    /// <param name="isUp">Whether a peer's control lane is up: tells "already running" from "its directory was emptied".</param>
    /// <param name="changed">Set whenever <see cref="Decided"/> or <see cref="Version"/> changes.</param>
    /// <param name="log">Where refusals go.</param>
    public ClusterFormation(
        MemberIdentity identity, Configuration initial, Configuration current, IReadOnlyList<string> clientUrls, Func<MemberId, bool> isUp, Signal changed, ILogger log)
    {
        this.identity = identity;
        this.initial = initial;
        this.current = current;
        this.clientUrls = clientUrls;
        this.isUp = isUp;
        this.changed = changed;
        this.log = log;
        token = identity.Token;
        tokenHash = InitialConfiguration.TokenHash(token);
        listHash = identity.IsFormed ? identity.ConfigurationHash : InitialConfiguration.ListHash(initial);
        clusterId = identity.ClusterId;
        decided = identity.IsFormed;
        if (!decided) Decide();
    }

    /// <summary>Grows when a peer said something that the configuration may have to hold (a standby's incarnation, client URLs).</summary>
    public long Version => Interlocked.Read(ref version);

    /// <summary>The initial configuration once every initial voter was heard, or null.</summary>
    public Configuration? Decided
    {
        get
        {
            lock (gate) return decided ? initial : null;
        }
    }

    /// <summary>What formation waits for, or who refuses this member and why; null when nothing is wrong.</summary>
    public string? Obstacle
    {
        get
        {
            lock (gate)
            {
                if (troubles.Count > 0) return string.Join("; ", troubles.Values);
                if (clusterId != 0) return null;
                if (stuck is not null) return stuck;
                string missing = string.Join(", ", Missing().Select(m => m.Name));
                return missing.Length > 0 ? $"waiting to hear {missing}: the cluster forms once every voter was heard" : null;
            }
        }
    }

    /// <summary>The decision is on disk: from now on this member is one of a formed cluster.</summary>
    public void Formed(ulong id)
    {
        lock (gate)
        {
            clusterId = id;
            current = initial;
        }
    }

    /// <summary>A newer configuration is in force here.</summary>
    public void Adopt(Configuration configuration)
    {
        lock (gate) current = configuration;
    }

    /// <summary>
    /// The configuration as it should be after what was heard: standbys that are not pinned yet, client URLs that changed. Null: as it is. The voters stay the same,
    /// so no quorum changes; the leader proposes it (N5).
    /// </summary>
    public Configuration? Improved()
    {
        lock (gate)
        {
            Member[] members = [.. current.Members.Select(Improve)];
            return members.SequenceEqual(current.Members) ? null : current with { Members = members };
        }
    }

    public PeerHello Hello(MemberId to, LaneKind lane)
    {
        lock (gate) return SelfHello(to, lane);
    }

    public HelloAnswer Judge(PeerHello hello, out bool news)
    {
        lock (gate)
        {
            (HelloVerdict verdict, string reason) = Consider(hello, out news);
            return new HelloAnswer(verdict, reason, SelfHello(hello.From, hello.Lane));
        }
    }

    public HelloAnswer Answered(MemberId peer, HelloAnswer answer)
    {
        lock (gate)
        {
            string name = initial.Find(peer)?.Name ?? peer.ToString();
            if (answer.Verdict is not (HelloVerdict.Accepted or HelloVerdict.Forming or HelloVerdict.Unavailable))
            {
                string reason = $"{name} refuses this member: {answer.Reason}";
                Trouble(peer, reason);
                return answer with { Reason = reason };
            }
            (HelloVerdict verdict, string why) = answer.Self.From == peer
                ? Consider(answer.Self, out _)
                : (HelloVerdict.WrongMember, $"{answer.Self.Name} ({answer.Self.From}) answers at its address");
            if (verdict is HelloVerdict.Accepted or HelloVerdict.Forming)
            {
                _ = troubles.Remove(peer);
                return answer.Verdict == HelloVerdict.Accepted ? answer with { Verdict = verdict } : answer;
            }
            Trouble(peer, $"this member refuses {name}: {why}");
            return answer with { Verdict = verdict, Reason = why };
        }
    }

    /// <summary>The same questions whichever side dialled. Under the lock.</summary>
    private (HelloVerdict Verdict, string Reason) Consider(PeerHello theirs, out bool news)
    {
        news = false;
        if (theirs.TokenHash != tokenHash) return (HelloVerdict.WrongCluster, $"{theirs.Name} and {identity.Name} have different cluster tokens; give all members of one cluster the same");
        if (theirs.To != identity.Id) return (HelloVerdict.WrongMember, $"{identity.Name} ({identity.Id}) stands here, not {theirs.To}; check the peer URLs and the token");
        if (clusterId != 0 && theirs.ClusterId != 0)
        {
            if (theirs.ClusterId != clusterId)
                return (HelloVerdict.WrongCluster, $"{theirs.Name} belongs to cluster {theirs.ClusterId:x}, {identity.Name} to {clusterId:x}; one of the two has a foreign data directory");
        }
        else if (theirs.ConfigurationHash != listHash)
        {
            return (HelloVerdict.ConfigurationDiffers,
                $"{identity.Name} and {theirs.Name} list the initial cluster differently ({InitialConfiguration.Difference(initial.Members, theirs.Initial)}); give all members the same list");
        }
        Member? entry = (clusterId != 0 ? current : initial).Find(theirs.From);
        if (entry is null) return (HelloVerdict.WrongMember, $"{theirs.Name} ({theirs.From}) is not a member of this cluster");
        if (theirs.PinnedForYou != 0 && theirs.PinnedForYou != identity.Incarnation)
            return (HelloVerdict.Unpinned, $"the cluster knows {identity.Name} with another data directory: this one was emptied or replaced, so it gets no vote and does not count");
        if (ConsiderIncarnation(entry, theirs) is { } refused) return refused;
        Learn(theirs, out news);
        return clusterId != 0 && theirs.ClusterId != 0 ? (HelloVerdict.Accepted, "") : (HelloVerdict.Forming, "");
    }

    private (HelloVerdict, string)? ConsiderIncarnation(Member entry, PeerHello theirs)
    {
        bool pinned = entry.Incarnation != 0;
        bool other = pinned ? entry.Incarnation != theirs.Incarnation : heard.TryGetValue(theirs.From, out PeerHello? before) && before.Incarnation != theirs.Incarnation;
        if (!other) return null;
        if (isUp(theirs.From))
            return (HelloVerdict.AlreadyRunning, $"{entry.Name} is already running at {string.Join(", ", entry.PeerUrls)} with another data directory; stop one of the two");
        if (!pinned) return null;
        return (HelloVerdict.Unpinned,
            $"the cluster knows {entry.Name} with another data directory: the one it has now was emptied or replaced, so it gets no vote and does not count; "
            + "bring its old directory back, or have it replaced as a member");
    }

    private void Learn(PeerHello theirs, out bool news)
    {
        news = !heard.TryGetValue(theirs.From, out PeerHello? before) || before.Incarnation != theirs.Incarnation || before.ClusterId != theirs.ClusterId
            || !before.ClientUrls.SequenceEqual(theirs.ClientUrls);
        heard[theirs.From] = theirs;
        if (!news) return;
        _ = Interlocked.Increment(ref version);
        if (!decided) Decide(theirs);
        changed.Set();
    }

    /// <summary>Takes over the configuration of a peer that has formed with us in it, or makes it of what every voter said.</summary>
    private void Decide(PeerHello? formed = null)
    {
        if (formed is { ClusterId: not 0 } && AdoptFrom(formed)) return;
        if (Missing().Any()) return;
        initial = initial with { Members = [.. initial.Members.Select(m => m.Role == MemberRole.Voter ? m with { Incarnation = IncarnationOf(m.Id) } : m)] };
        decided = true;
    }

    private bool AdoptFrom(PeerHello formed)
    {
        var theirs = new Configuration(initial.Goal, formed.Initial, []);
        Member? self = theirs.Find(identity.Id);
        // Only the configuration that its cluster id is the hash of, and only if it knows this very directory (or, of a standby, no other).
        if (self is null || (self.Incarnation != identity.Incarnation && self.Incarnation != 0)) return false;
        if (InitialConfiguration.ClusterId(theirs, token) != formed.ClusterId)
        {
            stuck = $"{formed.Name} no longer holds the initial configuration, so this member cannot join by the log alone";
            return false;
        }
        initial = theirs;
        return decided = true;
    }

    private IEnumerable<Member> Missing() =>
        decided ? [] : initial.Members.Where(m => m.Role == MemberRole.Voter && m.Id != identity.Id && !(heard.TryGetValue(m.Id, out PeerHello? hello) && hello.ClusterId == 0));

    private ulong IncarnationOf(MemberId id) => id == identity.Id ? identity.Incarnation : heard[id].Incarnation;

    private Member Improve(Member member)
    {
        if (member.Id == identity.Id) return Improve(member, identity.Incarnation, clientUrls);
        return heard.TryGetValue(member.Id, out PeerHello? hello) ? Improve(member, hello.Incarnation, hello.ClientUrls) : member;
    }

    private static Member Improve(Member member, ulong incarnation, IReadOnlyList<string> urls)
    {
        if (member.Incarnation == 0) member = member with { Incarnation = incarnation };
        return member.ClientUrls.SequenceEqual(urls) ? member : member with { ClientUrls = [.. urls] };
    }

    private PeerHello SelfHello(MemberId to, LaneKind lane)
    {
        Member self = current.Find(identity.Id) ?? initial.Find(identity.Id)!;
        return new PeerHello
        {
            Lane = lane,
            TokenHash = tokenHash,
            ClusterId = clusterId,
            From = identity.Id,
            To = to,
            Incarnation = identity.Incarnation,
            Name = identity.Name,
            Datacenter = self.Datacenter,
            Role = self.Role,
            PeerUrls = self.PeerUrls,
            ClientUrls = clientUrls,
            ConfigurationHash = listHash,
            PinnedForYou = clusterId == 0 ? 0 : current.Find(to)?.Incarnation ?? 0,
            Initial = initial.Members,
        };
    }

    private void Trouble(MemberId peer, string reason)
    {
        if (troubles.TryGetValue(peer, out string? before) && before == reason) return;
        troubles[peer] = reason;
        log.LogError("{Reason}", reason);
        changed.Set();
    }
}
