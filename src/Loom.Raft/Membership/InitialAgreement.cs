using Loom.Raft.Consensus;
using Loom.Raft.Transport;

namespace Loom.Raft.Membership;

/// <summary>
/// How the voters of an unformed cluster come to one initial configuration, in two steps (E1, N5). First each writes a proposal down, made of the incarnations that all voters told it or
/// taken over from a voter that announces one, and announces it from then on. Then it forms, once every voter has announced the very proposal that it holds itself.
/// A proposal is only ever replaced by one with a smaller cluster id. Standbys propose nothing; they take the configuration from a member that formed.
/// Decides only: the host writes <see cref="Wanted"/> down and says so by <see cref="Hold"/>. Not thread-safe.
/// </summary>
/// <remarks>
/// Why not in one step: "I have heard it unformed" may be long past. A voter that heard b before b formed would count b again beside an emptied a, and serve an empty store with it.
/// <para>
/// Why two clusters of one list cannot both serve, however old the hellos are. Let X and Y differ and a write be acknowledged in X by the majority Q, every member of which had formed X before.
/// Nobody moves once formed, so no directory serves in both, and a majority that serves Y shares a name with Q only if a directory of Q was emptied since, and Y pins the new one. Then Y is younger
/// than that acknowledgement: a directory of Q that Y still pins had formed X before Y existed and never announces Y, so Y is not unanimous and nobody forms it. What remains is that all of Q was emptied.
/// </para>
/// <para>
/// With one emptied directory, old m1 and new m2, X and Y are not even both formed. Every other voter would have held both, the larger id first. The first of them to hold the smaller one heard it
/// from m itself; but it held the larger one, which pins the other incarnation of m, and refuses m for that.
/// </para>
/// </remarks>
internal sealed class InitialAgreement
{
    private readonly MemberIdentity identity;
    private readonly Configuration list;
    private readonly ulong listHash;
    private readonly MemberId[] others;
    private readonly bool votes;
    private readonly SortedDictionary<MemberId, Said> heard = [];

    /// <param name="identity">Who decides.</param>
    /// <param name="list">The members as listed; pins nobody.</param>
    /// <param name="held">The proposal on disk, or null.</param>
    public InitialAgreement(MemberIdentity identity, Configuration list, Configuration? held)
    {
        this.identity = identity;
        this.list = list;
        listHash = InitialConfiguration.ListHash(list);
        others = [.. list.Voters.Where(id => id != identity.Id)];
        votes = list.Find(identity.Id)?.Role == MemberRole.Voter;
        Held = held;
        HeldId = held is null ? 0 : IdOf(held);
        Decide();
    }

    /// <summary>The proposal that is on disk here: what this member announces, and what it holds others to.</summary>
    public Configuration? Held { get; private set; }

    /// <summary>Cluster id of <see cref="Held"/>; 0 without one.</summary>
    public ulong HeldId { get; private set; }

    /// <summary>What should be held instead: to be written down and flushed, then <see cref="Hold"/>.</summary>
    public Configuration? Wanted { get; private set; }

    /// <summary>The initial configuration; final.</summary>
    public Configuration? Decided { get; private set; }

    /// <summary>What formation waits for, in words.</summary>
    public string Waiting
    {
        get
        {
            if (!votes) return "waiting for the voters to form the cluster";
            string missing = Names(others.Where(id => !heard.ContainsKey(id)));
            if (missing.Length > 0) return $"waiting to hear {missing}: the cluster forms once every voter was heard";
            string silent = Held is null ? "" : Names(others.Where(id => !Confirms(id)));
            return silent.Length > 0 ? $"waiting for {silent} to agree on the initial configuration" : "the last members are being heard";
        }
    }

    /// <summary>Why a formed peer cannot take this member in, or null.</summary>
    public string? Stuck { get; private set; }

    /// <summary>A hello that was not refused.</summary>
    public void Hear(PeerHello hello)
    {
        if (Decided is not null) return;
        if (hello.ClusterId != 0 && Adopt(hello)) return;
        if (!others.Contains(hello.From) || Contradicts(hello.From, hello.Incarnation)) return;
        heard[hello.From] = new Said(hello, Announced(hello));
        Decide();
    }

    /// <summary><paramref name="proposal"/> is on disk.</summary>
    public void Hold(Configuration proposal)
    {
        Held = proposal;
        HeldId = IdOf(proposal);
        // What another directory of a voter said while this was being written is what would be refused from now on.
        foreach (MemberId other in others)
        {
            if (heard.TryGetValue(other, out Said? said) && Contradicts(other, said.Hello.Incarnation)) _ = heard.Remove(other);
        }
        Decide();
    }

    private void Decide()
    {
        Wanted = null;
        if (Decided is not null || !votes) return;
        if (others.Length == 0)
        {
            // Nobody else has to know it first.
            Decided = Held ?? Derive();
            return;
        }
        Configuration? best = Held;
        foreach (Said said in heard.Values)
        {
            // Monotone: proposals that met would otherwise be exchanged for ever, and a member could announce one a second time that others have left.
            if (said.Proposal is { } proposal && (best is null || IdOf(proposal) < IdOf(best))) best = proposal;
        }
        if (best is null && others.All(IsFresh)) best = Derive();
        if (!ReferenceEquals(best, Held)) Wanted = best;
        else if (Held is not null && others.All(Confirms)) Decided = Held;
    }

    /// <summary>Takes the configuration over from a peer that has formed with us in it, whatever is proposed here.</summary>
    private bool Adopt(PeerHello formed)
    {
        Configuration theirs = list with { Members = formed.Initial };
        Member? self = theirs.Find(identity.Id);
        // Only the configuration that its cluster id is the hash of, and only if it knows this very directory (or, of a standby, no other).
        if (self is null || (self.Incarnation != identity.Incarnation && (self.Incarnation != 0 || self.Role == MemberRole.Voter))) return false;
        if (IdOf(theirs) != formed.ClusterId)
        {
            Stuck = $"{formed.Name} no longer holds the initial configuration, so this member cannot join by the log alone";
            return false;
        }
        Decided = theirs;
        Wanted = null;
        return true;
    }

    /// <summary>The proposal in a hello, if it is one of this list that pins both its sender and this directory; whatever else a peer sends is no proposal.</summary>
    private Configuration? Announced(PeerHello hello)
    {
        if (hello.ClusterId != 0 || hello.Proposal == 0) return null;
        Configuration proposal = list with { Members = hello.Initial };
        return proposal.Find(identity.Id)?.Incarnation == identity.Incarnation && proposal.Find(hello.From)?.Incarnation == hello.Incarnation
            && proposal.Members.All(m => m.Incarnation != 0 == (m.Role == MemberRole.Voter))
            && InitialConfiguration.ListHash(proposal) == listHash && IdOf(proposal) == hello.Proposal ? proposal : null;
    }

    private Configuration Derive() =>
        list with { Members = [.. list.Members.Select(m => m.Role == MemberRole.Voter ? m with { Incarnation = IncarnationOf(m.Id) } : m)] };

    private ulong IncarnationOf(MemberId id) => id == identity.Id ? identity.Incarnation : heard[id].Hello.Incarnation;

    /// <summary>Heard, neither formed nor with a proposal, nor with what is left of a formed one.</summary>
    private bool IsFresh(MemberId other) => heard.TryGetValue(other, out Said? said) && said.Hello is { ClusterId: 0, Proposal: 0, Seeking: false };

    private bool Confirms(MemberId other) => heard.TryGetValue(other, out Said? said) && said.Proposal is not null && said.Hello.Proposal == HeldId;

    private bool Contradicts(MemberId other, ulong incarnation) => Held?.Find(other) is { Incarnation: not 0 } pinned && pinned.Incarnation != incarnation;

    private ulong IdOf(Configuration configuration) => InitialConfiguration.ClusterId(configuration, identity.Token, identity.Origin);

    private string Names(IEnumerable<MemberId> ids) => string.Join(", ", ids.Select(id => list.Find(id)!.Name));

    private sealed record Said(PeerHello Hello, Configuration? Proposal);
}
