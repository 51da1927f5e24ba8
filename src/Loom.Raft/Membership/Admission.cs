using Loom.Raft.Consensus;
using Loom.Raft.Transport;

namespace Loom.Raft.Membership;

/// <summary>Why somebody is not let in.</summary>
internal readonly record struct Refusal(HelloVerdict Verdict, string Reason);

/// <summary>
/// The questions about who comes under a member's id or name (E1): null where there is nothing to object. Not thread-safe.
/// </summary>
/// <param name="identity">Who asks.</param>
/// <param name="isUp">Whether a peer's control lane is up.</param>
internal sealed class Admission(MemberIdentity identity, Func<MemberId, bool> isUp)
{
    /// <summary>
    /// Of two sides that are not both formed: whoever was restored from a backup forms a cluster with those alone who were restored from the same one in the same way, for that is where all their logs begin.
    /// An empty directory forms none with them; it joins one that has formed (E1).
    /// </summary>
    public Refusal? OfOrigin(PeerHello theirs, bool formed)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("S8-origin-ignored")) return null;
#endif
        if (theirs.Origin == identity.Origin || (formed && theirs.Origin == 0) || (theirs.ClusterId != 0 && identity.Origin == 0)) return null;
        string difference = theirs.Origin == 0 ? $"{identity.Name} was restored from a backup and {theirs.Name} was not"
            : identity.Origin == 0 ? $"{theirs.Name} was restored from a backup and {identity.Name} was not"
            : $"{theirs.Name} and {identity.Name} were restored from different backups, or in different ways";
        return new Refusal(HelloVerdict.OriginDiffers, $"{difference}; restore all members of one cluster from the same file, with the same options");
    }

    /// <summary>A directory that has not formed, under the name of a member of a formed cluster. Null also for the member's own, which only missed the moment.</summary>
    public Refusal? OfEmptied(PeerHello theirs, KnownMembers known)
    {
        Member? entry = known.Find(theirs.From);
        bool own = entry is not null && !theirs.Seeking && (entry.Incarnation == 0 ? entry.Role != MemberRole.Voter : entry.Incarnation == theirs.Incarnation);
        if (own || known.Named(theirs.Name) is not { } member) return null;
        return Running(theirs, known) ?? new Refusal(
            HelloVerdict.Unpinned, $"the cluster knows {member.Name} with another data directory: the one it has now was emptied or replaced, so it joins again as a new member");
    }

    /// <summary>Who has formed, and is in no configuration that is known here. Null: it belongs to a later one (E4), or waits to be taken in under a member's name.</summary>
    public Refusal? OfStranger(PeerHello theirs, KnownMembers known)
    {
        if (theirs.ConfigurationIndex > known.CommittedIndex) return null;
        Member? named = known.Named(theirs.Name);
        if (theirs.ConfigurationIndex >= 0 || named is null)
        {
            return new Refusal(HelloVerdict.Removed, named is null
                ? $"{theirs.Name} ({theirs.From}) is not a member of this cluster any more"
                : $"the cluster has replaced {theirs.Name} ({theirs.From}) by {named.Id}, so its data directory is out of date");
        }
        return Running(theirs, known);
    }

    /// <summary>Who comes under a member's id.</summary>
    /// <param name="entry">The member.</param>
    /// <param name="theirs">What it says.</param>
    /// <param name="before">What was said under this id before.</param>
    /// <param name="formed">This member has formed: it is the configuration that pins, and not a proposal.</param>
    public Refusal? OfIncarnation(Member entry, PeerHello theirs, PeerHello? before, bool formed)
    {
        bool pinned = entry.Incarnation != 0;
        bool other = pinned ? entry.Incarnation != theirs.Incarnation : before is not null && before.Incarnation != theirs.Incarnation;
        bool copy = !other && before is not null && before.Process != theirs.Process;
        if ((other || copy) && isUp(theirs.From)) return Running(entry, copy ? "the same identity (a copy of its data directory?)" : "another data directory");
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E1-emptied-directory-votes")) return null;
#endif
        if (!other || !pinned) return null;
        return new Refusal(HelloVerdict.Unpinned, formed
            ? $"the cluster knows {entry.Name} with another data directory: the one it has now was emptied or replaced, so it gets no vote and does not count"
            : EmptiedTooEarly(entry.Name, identity.Name));
    }

    /// <summary>A directory of <paramref name="emptied"/> that had agreed to a proposal is gone before the cluster has formed.</summary>
    public static string EmptiedTooEarly(string emptied, string witness) =>
        $"the data directory of {emptied} was emptied or replaced before the cluster had formed, and {witness} has agreed to an initial configuration with the old one; "
        + "if no member says that it is formed, stop all members, empty all data directories and start again";

    /// <summary>Somebody else is heard under this name, or is this member.</summary>
    private Refusal? Running(PeerHello theirs, KnownMembers known)
    {
        foreach (Member member in known.Under(theirs.Name))
        {
            bool same = member.Id == theirs.From && member.Incarnation == theirs.Incarnation;
            if (!same && (member.Id == identity.Id || isUp(member.Id))) return Running(member, "another data directory");
        }
        return null;
    }

    private static Refusal Running(Member member, string with) =>
        new(HelloVerdict.AlreadyRunning, $"{member.Name} is already running at {string.Join(", ", member.PeerUrls)} with {with}; stop one of the two");
}
