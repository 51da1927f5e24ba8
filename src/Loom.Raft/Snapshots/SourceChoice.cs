using Loom.Raft.Consensus;

namespace Loom.Raft.Snapshots;

/// <summary>
/// Whom to ask for a snapshot next (S4): members of the same datacenter first, then the nearest by round trip, the leader only when no other can. Who refused or failed is
/// left alone for a while. One inbound transfer per datacenter: if a member of the same datacenter is fetching too, the one with the lower id fetches from afar and the other waits
/// for it, as long as it comes on, and then copies locally. Nobody waits for a higher id, so no two wait for each other. Time is an argument.
/// </summary>
internal sealed class SourceChoice(MemberId self)
{
    private const long Second = 1_000_000_000;

    /// <summary>How long a neighbour that fetches may stand still before it is waited for no more, and how long it is waited for in all.</summary>
    private const long StandstillLimit = 15 * Second;
    private const long NeighbourLimit = 300 * Second;

    /// <summary>How long members that are merely busy keep the leader from being asked.</summary>
    private const long LeaderPatience = 30 * Second;

    private readonly SortedDictionary<MemberId, Experience> experiences = [];
    private long since = long.MinValue;

    /// <summary>A new need: old grudges are forgotten.</summary>
    public void Begin(long now)
    {
        experiences.Clear();
        since = now;
    }

    /// <summary>The member to ask now, or null: ask again later.</summary>
    public MemberId? Next(long now, IReadOnlyList<SourceCandidate> candidates)
    {
        SourceCandidate[] there = [.. candidates.Where(c => c.Id != self && c.Connected)];
        SourceCandidate[] ready = [.. there.Where(c => BarredUntil(c.Id) <= now).OrderBy(c => c.SameDatacenter ? 0 : 1).ThenBy(c => double.IsNaN(c.RttMilliseconds) ? double.MaxValue : c.RttMilliseconds).ThenBy(c => c.Id)];
        if (there.Any(c => c.SameDatacenter && IsWaitedFor(now, c.Id))) ready = [.. ready.Where(c => c.SameDatacenter)];
        foreach (SourceCandidate candidate in ready)
        {
            if (!candidate.IsLeader) return candidate.Id;
        }
        bool anotherWill = now - since < LeaderPatience && there.Any(c => !c.IsLeader && experiences.GetValueOrDefault(c.Id)?.Refused is RefusalReason.Busy or RefusalReason.Fetching);
        return anotherWill || ready.Length == 0 ? null : ready[0].Id;
    }

    /// <summary>It said no.</summary>
    public void Refused(long now, MemberId source, SnapshotRefusal refusal)
    {
        Experience of = Of(source);
        if (refusal.Reason == RefusalReason.Fetching && (of.Refused != RefusalReason.Fetching || refusal.Bytes != of.Bytes))
        {
            if (of.Refused != RefusalReason.Fetching && of.FetchingSince == 0) of.FetchingSince = now;
            of.Bytes = refusal.Bytes;
            of.MovedAt = now;
        }
        of.Refused = refusal.Reason;
        of.BarredUntil = now + refusal.Reason switch
        {
            RefusalReason.Unknown or RefusalReason.Expired => 0,
            RefusalReason.Fetching => Second,
            RefusalReason.Busy => 2 * Second,
            RefusalReason.TooOld => 5 * Second,
            RefusalReason.Closing => 5 * Second,
            _ => 60 * Second,
        };
    }

    /// <summary>It could not be reached, or broke off too often.</summary>
    public void Unreachable(long now, MemberId source) => Bar(source, now + 10 * Second);

    /// <summary>What it sent is damaged: others first, for long.</summary>
    public void Damaged(long now, MemberId source) => Bar(source, now + 300 * Second);

    private void Bar(MemberId source, long until)
    {
        Experience of = Of(source);
        of.Refused = RefusalReason.Failed;
        of.BarredUntil = until;
    }

    private bool IsWaitedFor(long now, MemberId id) =>
        id < self && experiences.GetValueOrDefault(id) is { Refused: RefusalReason.Fetching } of && now - of.MovedAt < StandstillLimit && now - of.FetchingSince < NeighbourLimit;

    private long BarredUntil(MemberId id) => experiences.GetValueOrDefault(id)?.BarredUntil ?? long.MinValue;

    private Experience Of(MemberId id)
    {
        if (!experiences.TryGetValue(id, out Experience? of)) experiences.Add(id, of = new Experience());
        return of;
    }

    private sealed class Experience
    {
        public long BarredUntil { get; set; } = long.MinValue;

        public RefusalReason Refused { get; set; }

        /// <summary>Since when it says that it fetches a snapshot itself; 0: it never did.</summary>
        public long FetchingSince { get; set; }

        public long Bytes { get; set; }

        public long MovedAt { get; set; }
    }
}
