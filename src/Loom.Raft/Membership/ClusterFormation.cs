using Loom.Raft.Consensus;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Membership;

/// <summary>
/// Who this member is to its peers, and who they are to it (E1, N5). Before the cluster is formed it passes their hellos to the <see cref="InitialAgreement"/>, and says what that has on disk;
/// nobody votes or campaigns before the initial configuration is agreed. Afterwards it guards the door: only the incarnation that the configuration pins comes in, so a directory that was
/// emptied under a known name never votes. A copy of a directory carries the same incarnation and cannot be told from it by that; it is refused only while the first process is connected.
/// Called from the transport's threads: everything is under one lock, and nothing in it waits.
/// </summary>
/// <remarks>Lanes exist only between two formed members of one cluster id.</remarks>
internal sealed class ClusterFormation : IPeerGate
{
    private readonly object gate = new();
    private readonly string token;
    private readonly ulong tokenHash;
    private readonly ulong listHash;
    private readonly ulong process;
    private readonly IReadOnlyList<string> clientUrls;
    private readonly Func<MemberId, bool> isUp;
    private readonly ILogger log;
    private readonly Signal changed;
    private readonly SortedDictionary<MemberId, PeerHello> heard = [];
    private readonly SortedDictionary<MemberId, string> troubles = [];
    private readonly MemberIdentity identity;
    private readonly InitialAgreement agreement;
    private Configuration initial;
    private Configuration current;
    private ulong clusterId;
    private long version;

    /// <param name="identity">Already flushed (E1): what is said in a hello is kept.</param>
    /// <param name="process">Random number of this life of the process: tells a second process with a copy of the directory from this one.</param>
    /// <param name="initial">Forming: the list. Formed: the configuration at the base of the log.</param>
    /// <param name="current">The newest configuration known here.</param>
    /// <param name="proposal">Forming: the proposal on disk, or null.</param>
    /// <param name="clientUrls">What this member advertises.</param>
    /// <param name="isUp">Whether a peer's control lane is up: tells "already running" from "its directory was emptied".</param>
    /// <param name="changed">Set whenever <see cref="Wanted"/>, <see cref="Decided"/> or <see cref="Version"/> changes.</param>
    /// <param name="log">Where refusals go.</param>
    public ClusterFormation(
        MemberIdentity identity, ulong process, Configuration initial, Configuration current, Configuration? proposal, IReadOnlyList<string> clientUrls, Func<MemberId, bool> isUp, Signal changed, ILogger log)
    {
        this.identity = identity;
        this.process = process;
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
        agreement = new InitialAgreement(identity, initial, proposal);
    }

    /// <summary>Grows when a peer said something that the configuration may have to hold (a standby's incarnation, client URLs).</summary>
    public long Version => Interlocked.Read(ref version);

    /// <summary>The proposal that should be on disk and is not: the host writes it down and calls <see cref="Hold"/>; only then it is announced.</summary>
    public Configuration? Wanted
    {
        get
        {
            lock (gate) return clusterId == 0 ? agreement.Wanted : null;
        }
    }

    /// <summary>The initial configuration once it is agreed, or null.</summary>
    public Configuration? Decided
    {
        get
        {
            lock (gate) return clusterId != 0 ? initial : agreement.Decided;
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
                return clusterId != 0 || agreement.Decided is not null ? null : agreement.Stuck ?? agreement.Waiting;
            }
        }
    }

    /// <summary>The proposal is on disk: every hello from now on says so, and the peers should be called at once.</summary>
    public void Hold(Configuration proposal)
    {
        lock (gate) agreement.Hold(proposal);
    }

    /// <summary>The decision is on disk: from now on this member is one of a formed cluster.</summary>
    public void Formed(ulong id)
    {
        lock (gate)
        {
            clusterId = id;
            initial = current = agreement.Decided!;
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
        bool formed = clusterId != 0, theyFormed = theirs.ClusterId != 0;
        if (formed && theyFormed)
        {
            if (theirs.ClusterId != clusterId)
                return (HelloVerdict.WrongCluster, $"{theirs.Name} belongs to cluster {theirs.ClusterId:x}, {identity.Name} to {clusterId:x}; one of the two has a foreign data directory");
        }
        else if (theirs.ConfigurationHash != listHash)
        {
            return (HelloVerdict.ConfigurationDiffers,
                $"{identity.Name} and {theirs.Name} list the initial cluster differently ({InitialConfiguration.Difference(initial.Members, theirs.Initial)}); give all members the same list");
        }
        Member? entry = Known.Find(theirs.From);
        if (entry is null) return (HelloVerdict.WrongMember, $"{theirs.Name} ({theirs.From}) is not a member of this cluster");
        // A proposal binds only those who have not formed: whoever formed gives way to none.
        if ((theyFormed || !formed) && theirs.PinnedForYou != 0 && theirs.PinnedForYou != identity.Incarnation)
        {
            return (HelloVerdict.Unpinned, theyFormed
                ? $"the cluster knows {identity.Name} with another data directory: this one was emptied or replaced, so it gets no vote and does not count"
                : EmptiedTooEarly(identity.Name, theirs.Name));
        }
        if ((formed || !theyFormed) && ConsiderIncarnation(entry, theirs) is { } refused) return refused;
        Learn(theirs, out news);
        return formed && theyFormed ? (HelloVerdict.Accepted, "") : (HelloVerdict.Forming, "");
    }

    private (HelloVerdict, string)? ConsiderIncarnation(Member entry, PeerHello theirs)
    {
        bool pinned = entry.Incarnation != 0;
        PeerHello? before = heard.GetValueOrDefault(theirs.From);
        bool other = pinned ? entry.Incarnation != theirs.Incarnation : before is not null && before.Incarnation != theirs.Incarnation;
        bool copy = !other && before is not null && before.Process != theirs.Process;
        if ((other || copy) && isUp(theirs.From))
        {
            return (HelloVerdict.AlreadyRunning,
                $"{entry.Name} is already running at {string.Join(", ", entry.PeerUrls)} with {(copy ? "the same identity (a copy of its data directory?)" : "another data directory")}; stop one of the two");
        }
        if (!other || !pinned) return null;
        return (HelloVerdict.Unpinned, clusterId == 0
            ? EmptiedTooEarly(entry.Name, identity.Name)
            : $"the cluster knows {entry.Name} with another data directory: the one it has now was emptied or replaced, so it gets no vote and does not count; "
                + "bring its old directory back, or have it replaced as a member");
    }

    private static string EmptiedTooEarly(string emptied, string witness) =>
        $"the data directory of {emptied} was emptied or replaced before the cluster had formed, and {witness} has agreed to an initial configuration with the old one; "
        + "if no member says that it is formed, stop all members, empty all data directories and start again";

    private void Learn(PeerHello theirs, out bool news)
    {
        news = !heard.TryGetValue(theirs.From, out PeerHello? before) || before.Incarnation != theirs.Incarnation || before.ClusterId != theirs.ClusterId
            || before.Proposal != theirs.Proposal || !before.ClientUrls.SequenceEqual(theirs.ClientUrls);
        heard[theirs.From] = theirs;
        // Forming, not only news: what was heard before may have been dropped for a proposal that has been left since.
        if (clusterId == 0) agreement.Hear(theirs);
        if (news) _ = Interlocked.Increment(ref version);
        if (news || clusterId == 0) changed.Set();
    }

    /// <summary>The configuration that others are held to here.</summary>
    private Configuration Known => clusterId != 0 ? current : agreement.Held ?? initial;

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
            Proposal = clusterId == 0 ? agreement.HeldId : 0,
            From = identity.Id,
            To = to,
            Incarnation = identity.Incarnation,
            Process = process,
            Name = identity.Name,
            Datacenter = self.Datacenter,
            Role = self.Role,
            PeerUrls = self.PeerUrls,
            ClientUrls = clientUrls,
            ConfigurationHash = listHash,
            PinnedForYou = Known.Find(to)?.Incarnation ?? 0,
            Initial = (clusterId != 0 ? initial : agreement.Held ?? initial).Members,
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
