using Loom.Raft.Consensus;
using Loom.Raft.Threads;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Membership;

/// <summary>
/// Who this member is to its peers, and who they are to it (E1, N5). Before the cluster is formed it passes their hellos to the <see cref="InitialAgreement"/> and to <see cref="Rejoin"/>, and says what they
/// have on disk; nobody votes or campaigns before the initial configuration is agreed. Afterwards it guards the door: only the incarnation that the configuration pins comes in under a member's id, so a directory
/// that was emptied under a known name never votes; and not one that has forgotten what it promised (<see cref="PeerMemory"/>). A copy of a directory carries the same incarnation: while the first process is
/// connected it is refused for its process number, and later for its number of starts, its lineage or the end of its log.
/// Called from the transport's threads: everything is under one lock, and nothing in it waits.
/// </summary>
/// <remarks>Lanes exist only between two formed members of one cluster id.</remarks>
internal sealed class ClusterFormation : IPeerGate
{
    private readonly object gate = new();
    private readonly ulong tokenHash;
    private readonly ulong listHash;
    private readonly ulong process;
    private readonly Standing standing;
    private readonly Admission admission;
    private readonly ILogger log;
    private readonly Signal changed;
    private readonly SortedDictionary<MemberId, PeerHello> heard = [];
    private readonly SortedDictionary<MemberId, string> troubles = [];
    private readonly SortedSet<MemberId> answered = [];
    private readonly MemberIdentity identity;
    private readonly InitialAgreement agreement;
    private readonly Rejoin rejoin;
    private readonly PeerMemory memory;
    private Configuration initial;
    private KnownMembers known;
    private ulong clusterId;
    private StartCount starts;
    private long lastIndex;
    private MemberId leader;
    private bool memoryChanged;
    private long version;

    /// <param name="identity">Already flushed (E1), unless it only stands in: what is said in a hello is kept.</param>
    /// <param name="process">Random number of this life of the process: tells a second process with a copy of the directory from this one.</param>
    /// <param name="initial">Forming: the list. Formed: the configuration at the base of the log.</param>
    /// <param name="standing">What the directory holds.</param>
    /// <param name="isUp">Whether a peer's control lane is up: tells "already running" from "its directory was emptied".</param>
    /// <param name="changed">Set whenever something that the host looks at changes.</param>
    /// <param name="log">Where refusals go.</param>
    public ClusterFormation(MemberIdentity identity, ulong process, Configuration initial, Standing standing, Func<MemberId, bool> isUp, Signal changed, ILogger log)
    {
        this.identity = identity;
        this.process = process;
        this.initial = initial;
        this.standing = standing;
        this.changed = changed;
        this.log = log;
        tokenHash = InitialConfiguration.TokenHash(identity.Token);
        listHash = identity.IsFormed ? identity.ConfigurationHash : InitialConfiguration.ListHash(initial);
        clusterId = identity.ClusterId;
        starts = standing.Starts;
        lastIndex = standing.LastIndex;
        memory = standing.Memory;
        agreement = new InitialAgreement(identity, initial, standing.Proposal);
        admission = new Admission(identity, isUp);
        rejoin = new Rejoin(identity, standing.Seeking);
        known = new KnownMembers(initial);
        if (identity.IsFormed) known.Adopt(standing.Configurations, standing.Commit);
    }

    /// <summary>Grows when a peer said something that the configuration may have to hold (a standby's incarnation, client URLs).</summary>
    public long Version => Interlocked.Read(ref version);

    /// <summary>The proposal that should be on disk and is not: the host writes it down and calls <see cref="Hold"/>; only then it is announced.</summary>
    public Configuration? Wanted
    {
        get
        {
            lock (gate) return clusterId == 0 && !standing.Seeking ? agreement.Wanted : null;
        }
    }

    /// <summary>The initial configuration once it is agreed, or null.</summary>
    public Configuration? Decided
    {
        get
        {
            lock (gate) return clusterId != 0 ? initial : standing.Seeking ? null : agreement.Decided;
        }
    }

    /// <summary>Not formed: how this directory joins the cluster that has formed without it (E1), or null.</summary>
    public JoinDecision? Joining
    {
        get
        {
            lock (gate) return clusterId == 0 && (standing.Seeking || agreement.Decided is null) ? rejoin.Decision : null;
        }
    }

    /// <summary>A formed peer says that this directory has forgotten what it promised, or is of no member any more: it must not take part (E1). Null: nobody says so.</summary>
    public string? Accusation { get; private set; }

    /// <summary>Every other voter has said what it thinks of this directory.</summary>
    public bool AnsweredByAll
    {
        get
        {
            lock (gate) return known.Current.Voters.All(id => id == identity.Id || answered.Contains(id));
        }
    }

    /// <summary>Grows when <see cref="Targets"/> changes.</summary>
    public long TargetsVersion
    {
        get
        {
            lock (gate) return known.Version;
        }
    }

    /// <summary>Whom to connect to.</summary>
    public IReadOnlyList<PeerTarget> Targets
    {
        get
        {
            lock (gate) return known.Targets(identity);
        }
    }

    /// <summary>Who waits to be taken in under the name of a member (E1).</summary>
    public IReadOnlyList<Member> Newcomers
    {
        get
        {
            lock (gate) return [.. known.Newcomers.Select(KnownMembers.MemberOf)];
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
                if (clusterId != 0) return known.Find(identity.Id) is null ? "waiting to be taken in: the leader adds this member once whoever had its name before is unheard" : null;
                return standing.Seeking ? rejoin.Waiting ?? "no member of the cluster is heard"
                    : agreement.Decided is not null ? null
                    : rejoin.Waiting ?? agreement.Waiting;
            }
        }
    }

    /// <summary>The proposal is on disk: every hello from now on says so, and the peers should be called at once.</summary>
    public void Hold(Configuration proposal)
    {
        lock (gate) agreement.Hold(proposal);
    }

    /// <summary>The decision is on disk: from now on this member is one of a formed cluster.</summary>
    public void Formed(ulong id, StartCount startsSince)
    {
        lock (gate)
        {
            clusterId = id;
            starts = startsSince;
            initial = agreement.Decided!;
            known = new KnownMembers(initial);
        }
    }

    /// <summary>The configurations in the log, ascending, and how far it is known to be committed.</summary>
    public void Adopt(IReadOnlyList<ConfigurationAt> history, long commit)
    {
        lock (gate)
        {
            known.Adopt(history, commit);
            // Nobody dials who is gone, so nobody would take back what was the matter with it.
            foreach (MemberId gone in troubles.Keys.Where(id => !IsDialled(id)).ToArray()) _ = troubles.Remove(gone);
        }
    }

    /// <summary>What the next hellos say of this member: the leader that it follows or is, with a quorum, and the end of its log.</summary>
    public void Report(MemberId leading, long last)
    {
        lock (gate) (leader, lastIndex) = (leading, last);
    }

    /// <summary>The peer's log holds this entry, flushed, and it is committed (E1).</summary>
    public void Acknowledged(MemberId peer, long index)
    {
        lock (gate) memory.Acknowledged(peer, index);
    }

    /// <summary>The peer refused what it had acknowledged: its next hello is refused (E1). False: that was said already.</summary>
    public bool Forgot(MemberId peer)
    {
        lock (gate) return memory.Forgot(peer);
    }

    /// <summary>What is to be written down of the peers since the last call, or null.</summary>
    public byte[]? TakePeersToWrite()
    {
        lock (gate)
        {
            if (!memoryChanged) return null;
            memoryChanged = false;
            return memory.Encode();
        }
    }

    /// <summary>
    /// The configuration as it should be after what was heard: standbys that are not pinned yet, client URLs that changed. Null: as it is. The voters stay the same,
    /// so no quorum changes; the leader proposes it (N5).
    /// </summary>
    public Configuration? Improved()
    {
        lock (gate)
        {
            Configuration current = known.Current;
            Member[] members = [.. current.Members.Select(Improve)];
            return current.IsJoint || members.SequenceEqual(current.Members) ? null : current with { Members = members };
        }
    }

    public PeerHello Hello(MemberId to, LaneKind lane)
    {
        lock (gate) return SelfHello(to, lane);
    }

    public IReadOnlyList<string> UrlsOf(string name)
    {
        lock (gate) return known.UrlsOf(name);
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
            HelloAnswer outcome = Conclude(peer, answer);
            if (answered.Add(peer)) changed.Set();
            return outcome;
        }
    }

    private HelloAnswer Conclude(MemberId peer, HelloAnswer answer)
    {
        string name = Known.Find(peer)?.Name ?? answer.Self.Name;
        if (Succeeded(peer, answer.Self)) return answer with { Verdict = HelloVerdict.Unavailable, Reason = $"{name} was started with another directory, and is {answer.Self.From} now" };
        bool emptied = clusterId == 0 && IsOfFormed(answer.Self);
        if (answer.Verdict is not (HelloVerdict.Accepted or HelloVerdict.Forming or HelloVerdict.Unavailable))
        {
            string reason = $"{name} refuses this member: {answer.Reason}";
            if (IsOfFormed(answer.Self)) RefusedByFormed(answer, reason);
            NoteTrouble(peer, emptied && answer.Verdict == HelloVerdict.Unpinned ? null : reason);
            return answer with { Reason = reason };
        }
        (HelloVerdict verdict, string why) = answer.Self.From == peer
            ? Consider(answer.Self, out _)
            : (HelloVerdict.WrongMember, $"{answer.Self.Name} ({answer.Self.From}) answers at its address");
        if (verdict is HelloVerdict.Accepted or HelloVerdict.Forming)
        {
            NoteTrouble(peer, null);
            return answer.Verdict == HelloVerdict.Accepted ? answer with { Verdict = verdict } : answer;
        }
        NoteTrouble(peer, emptied && verdict == HelloVerdict.Unpinned ? null : $"this member refuses {name}: {why}");
        return answer with { Verdict = verdict, Reason = why };
    }

    /// <summary>At the address of a member answers somebody else under its name, who has formed: its directory was emptied, and this is who joins in its place (E1).</summary>
    private bool Succeeded(MemberId peer, PeerHello theirs)
    {
        if (clusterId == 0 || theirs.From == peer || theirs.ClusterId != clusterId || theirs.TokenHash != tokenHash || known.Find(peer)?.Name != theirs.Name) return false;
        if (known.Find(theirs.From) is null) _ = ConsiderGuest(theirs);
        NoteTrouble(peer, null);
        return true;
    }

    private bool IsOfFormed(PeerHello theirs) => theirs.ClusterId != 0 && theirs.TokenHash == tokenHash
        && (clusterId == 0 ? theirs.ConfigurationHash == listHash && admission.OfOrigin(theirs, formed: false) is null : theirs.ClusterId == clusterId);

    private void RefusedByFormed(HelloAnswer answer, string reason)
    {
        if (clusterId == 0)
        {
            rejoin.Hear(answer.Self);
            rejoin.IsRunning(answer.Self.From, answer.Verdict == HelloVerdict.AlreadyRunning);
        }
        else if (answer.Verdict is HelloVerdict.Forgot or HelloVerdict.Removed)
        {
            Accusation ??= reason;
        }
        changed.Set();
    }

    /// <summary>The same questions whichever side dialled. Under the lock.</summary>
    private (HelloVerdict Verdict, string Reason) Consider(PeerHello theirs, out bool news)
    {
        news = false;
        bool formed = clusterId != 0, theyFormed = theirs.ClusterId != 0;
        Refusal? refusal = OfCluster(theirs);
        if (refusal is null && theyFormed && !formed) HearFormed(theirs);
        if (refusal is null && formed && !theyFormed) refusal = admission.OfEmptied(theirs, known);
        if (refusal is null && theirs.To != identity.Id) refusal = new Refusal(HelloVerdict.WrongMember, WrongAddressee(theirs));
        if (refusal is null && formed && theyFormed && known.Find(theirs.From) is null) return ConsiderGuest(theirs);
        refusal ??= OfMember(theirs, formed, theyFormed);
        if (refusal is { } refused) return (refused.Verdict, refused.Reason);
        Learn(theirs, out news);
        return formed && theyFormed ? (HelloVerdict.Accepted, "") : (HelloVerdict.Forming, "");
    }

    private Refusal? OfCluster(PeerHello theirs)
    {
        if (theirs.TokenHash != tokenHash) return new Refusal(HelloVerdict.WrongCluster, $"{theirs.Name} and {identity.Name} have different cluster tokens; give all members of one cluster the same");
        if (clusterId != 0 && theirs.ClusterId != 0)
        {
            return theirs.ClusterId == clusterId ? null : new Refusal(HelloVerdict.WrongCluster,
                $"{theirs.Name} belongs to cluster {theirs.ClusterId:x}, {identity.Name} to {clusterId:x}; one of the two has a foreign data directory");
        }
        if (admission.OfOrigin(theirs, clusterId != 0) is { } differs) return differs;
        return theirs.ConfigurationHash == listHash ? null : new Refusal(HelloVerdict.ConfigurationDiffers,
            $"{identity.Name} and {theirs.Name} list the initial cluster differently ({InitialConfiguration.Difference(initial.Members, theirs.Initial)}); give all members the same list");
    }

    private string WrongAddressee(PeerHello theirs) => clusterId != 0 && known.Find(theirs.To)?.Name == identity.Name
        ? $"{identity.Name} was started with another directory, and is {identity.Id} now"
        : $"{identity.Name} ({identity.Id}) stands here, not {theirs.To}; check the peer URLs and the token";

    private Refusal? OfMember(PeerHello theirs, bool formed, bool theyFormed)
    {
        Member? entry = formed ? known.Find(theirs.From) : Known.Find(theirs.From);
        if (entry is null) return new Refusal(HelloVerdict.WrongMember, $"{theirs.Name} ({theirs.From}) is not a member of this cluster");
        // A proposal binds only those who have not formed: whoever formed gives way to none.
        if ((theyFormed || !formed) && theirs.PinnedForYou != 0 && theirs.PinnedForYou != identity.Incarnation)
        {
            return new Refusal(HelloVerdict.Unpinned, theyFormed
                ? $"the cluster knows {identity.Name} with another data directory: this one was emptied or replaced, so it gets no vote and does not count"
                : Admission.EmptiedTooEarly(identity.Name, theirs.Name));
        }
        if ((formed || !theyFormed) && admission.OfIncarnation(entry, theirs, heard.GetValueOrDefault(theirs.From), formed) is { } refused) return refused;
        return formed && theyFormed ? OfMemory(theirs) : null;
    }

    private Refusal? OfMemory(PeerHello theirs) =>
        memory.Judge(theirs) is { } forgotten ? new Refusal(HelloVerdict.Forgot, $"{theirs.Name} has forgotten what it promised: {forgotten}") : null;

    private (HelloVerdict, string) ConsiderGuest(PeerHello theirs)
    {
        if ((admission.OfStranger(theirs, known) ?? OfMemory(theirs)) is { } refused) return (refused.Verdict, refused.Reason);
        return LearnGuest(theirs) ? (HelloVerdict.Accepted, "") : (HelloVerdict.Unavailable, "too many newcomers are waiting");
    }

    private bool LearnGuest(PeerHello theirs)
    {
        if (!known.Welcome(theirs)) return false;
        Remember(theirs);
        changed.Set();
        return true;
    }

    private void HearFormed(PeerHello theirs)
    {
        rejoin.Hear(theirs);
        changed.Set();
    }

    private void Learn(PeerHello theirs, out bool news)
    {
        news = !heard.TryGetValue(theirs.From, out PeerHello? before) || before.Incarnation != theirs.Incarnation || before.ClusterId != theirs.ClusterId
            || before.Proposal != theirs.Proposal || !before.ClientUrls.SequenceEqual(theirs.ClientUrls);
        heard[theirs.From] = theirs;
        // Forming, not only news: what was heard before may have been dropped for a proposal that has been left since.
        if (clusterId == 0) agreement.Hear(theirs);
        else if (theirs.ClusterId != 0) Remember(theirs);
        if (news) _ = Interlocked.Increment(ref version);
        if (news || clusterId == 0) changed.Set();
    }

    private void Remember(PeerHello theirs)
    {
        if (!memory.Learn(theirs)) return;
        memoryChanged = true;
        changed.Set();
    }

    /// <summary>The configuration that others are held to here.</summary>
    private Configuration Known => clusterId != 0 ? known.Current : agreement.Held ?? initial;

    private Member Improve(Member member)
    {
        if (member.Id == identity.Id) return Improve(member, identity.Incarnation, standing.ClientUrls);
        return heard.TryGetValue(member.Id, out PeerHello? hello) ? Improve(member, hello.Incarnation, hello.ClientUrls) : member;
    }

    private static Member Improve(Member member, ulong incarnation, IReadOnlyList<string> urls)
    {
        if (member.Incarnation == 0) member = member with { Incarnation = incarnation };
        return member.ClientUrls.SequenceEqual(urls) ? member : member with { ClientUrls = [.. urls] };
    }

    private PeerHello SelfHello(MemberId to, LaneKind lane)
    {
        Member self = Known.Find(identity.Id) ?? standing.Self;
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
            ClientUrls = standing.ClientUrls,
            ConfigurationHash = listHash,
            PinnedForYou = (clusterId != 0 ? known.Find(to) : Known.Find(to))?.Incarnation ?? 0,
            Initial = (clusterId != 0 ? initial : agreement.Held ?? initial).Members,
            Origin = identity.Origin,
            Seeking = standing.Seeking,
            Starts = starts.Starts,
            Earlier = starts.Earlier,
            LastIndex = lastIndex,
            ConfigurationIndex = clusterId != 0 ? known.ClaimOf(identity.Id) : -1,
            Leader = leader,
            Current = clusterId != 0 ? known.Current : null,
        };
    }

    private bool IsDialled(MemberId peer) => clusterId == 0 || known.Find(peer) is not null || known.IsGuest(peer);

    private void NoteTrouble(MemberId peer, string? reason)
    {
        if (reason is null)
        {
            _ = troubles.Remove(peer);
            return;
        }
        // The answer may come after the peer has gone.
        if ((troubles.TryGetValue(peer, out string? before) && before == reason) || !IsDialled(peer)) return;
        troubles[peer] = reason;
        log.LogError("{Reason}", reason);
        changed.Set();
    }
}
