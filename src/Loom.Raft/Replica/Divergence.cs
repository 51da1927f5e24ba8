using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>What the replicas' reports say of this one (S5).</summary>
internal enum DivergenceVerdict : byte
{
    /// <summary>Nothing, or not enough to tell.</summary>
    None,

    /// <summary>A strict majority of all members has another state than this replica: it is the one that is wrong.</summary>
    Here,

    /// <summary>The states differ and no strict majority agrees: nobody can say who is right.</summary>
    Undecided,
}

/// <summary>
/// S5: apply is a pure function of the log, so replicas at the same index must have the same rolling hash. Each sends its hash at every multiple of an interval to all others; here they are compared.
/// A minority counts as wrong only against a strict majority of <i>all</i> members: reports of a few would let two wrong replicas condemn a right one whose friends are slow.
/// Pure: time comes as an argument.
/// </summary>
internal sealed class Divergence(MemberId self)
{
    /// <summary>How long members that have not reported are waited for before the states are called undecided, ns.</summary>
    public const long Patience = 10_000_000_000;

    /// <summary>Indexes remembered (bound): a member that is further behind is compared at its next report.</summary>
    private const int MostIndexes = 64;

    // Ascending by index; each holds at most one report per member.
    private readonly List<Round> rounds = [];

    /// <summary>The lowest index at which this replica was found wrong, or undecided; 0: none.</summary>
    public long FoundAt { get; private set; }

    /// <summary>The highest index at which a strict majority, this replica among it, had the same state; 0: none yet.</summary>
    public long AgreedAt { get; private set; }

    /// <summary>When an undecided round must be judged; long.MaxValue: never.</summary>
    public long Deadline => rounds.Count == 0 ? long.MaxValue : rounds.Min(r => r.Deadline);

    /// <summary>A report, this replica's own included. Reports of indexes that are forgotten already are ignored.</summary>
    public void Add(long now, MemberId member, long index, UInt128 hash)
    {
        int at = rounds.FindIndex(r => r.Index >= index);
        if (at < 0)
        {
            rounds.Add(new Round(index));
            at = rounds.Count - 1;
        }
        else if (rounds[at].Index != index)
        {
            rounds.Insert(at, new Round(index));
        }

        rounds[at].Add(now, member, hash);
        if (rounds.Count > MostIndexes)
        {
            rounds.RemoveAt(0);
        }
    }

    /// <summary>Judges every round; rounds that are settled are forgotten.</summary>
    /// <param name="now">The monotonic clock.</param>
    /// <param name="members">All members that apply (voters and standbys).</param>
    public DivergenceVerdict Judge(long now, IReadOnlyList<MemberId> members)
    {
        var verdict = DivergenceVerdict.None;
        for (int i = rounds.Count - 1; i >= 0; i--)
        {
            DivergenceVerdict found = rounds[i].Judge(now, self, members, out bool settled, out bool agreed);
            AgreedAt = agreed ? Math.Max(AgreedAt, rounds[i].Index) : AgreedAt;
            if (found == DivergenceVerdict.Here || (found == DivergenceVerdict.Undecided && verdict != DivergenceVerdict.Here))
            {
                (verdict, FoundAt) = (found, rounds[i].Index);
            }

            if (settled)
            {
                rounds.RemoveAt(i);
            }
        }

        return verdict;
    }

    /// <summary>This replica's state was replaced: what was reported of the old one says nothing any more.</summary>
    public void Forget()
    {
        rounds.Clear();
        FoundAt = AgreedAt = 0;
    }

    private sealed class Round(long index)
    {
        private readonly List<(MemberId Member, UInt128 Hash)> reports = [];

        public long Index => index;

        public long Deadline { get; private set; } = long.MaxValue;

        public void Add(long now, MemberId member, UInt128 hash)
        {
            reports.RemoveAll(r => r.Member == member);
            reports.Add((member, hash));
            if (Deadline == long.MaxValue && reports.Any(r => r.Hash != hash))
            {
                Deadline = now + Patience;
            }
        }

        public DivergenceVerdict Judge(long now, MemberId self, IReadOnlyList<MemberId> members, out bool settled, out bool agreed)
        {
            reports.RemoveAll(r => !members.Contains(r.Member));
            int reported = reports.Count;
            settled = reported == members.Count;
            (UInt128 common, int most) = MostCommon();
            agreed = 2 * most > members.Count && reports.Exists(r => r.Member == self && r.Hash == common);
            if (Deadline == long.MaxValue)
            {
                return DivergenceVerdict.None;
            }

            if (most == reported)
            {
                // Whoever differed is no member any more.
                Deadline = long.MaxValue;
                return DivergenceVerdict.None;
            }

            if (2 * most > members.Count)
            {
                bool here = reports.Exists(r => r.Member == self && r.Hash != common);
                settled |= here;
                return here ? DivergenceVerdict.Here : DivergenceVerdict.None;
            }

            bool hopeless = 2 * (most + members.Count - reported) <= members.Count;
            settled |= hopeless || now >= Deadline;
            return hopeless || now >= Deadline ? DivergenceVerdict.Undecided : DivergenceVerdict.None;
        }

        private (UInt128 Hash, int Count) MostCommon()
        {
            (UInt128 Hash, int Count) best = default;
            foreach ((_, UInt128 hash) in reports)
            {
                int count = reports.Count(r => r.Hash == hash);
                if (count > best.Count)
                {
                    best = (hash, count);
                }
            }

            return best;
        }
    }
}
