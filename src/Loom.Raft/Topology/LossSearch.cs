using System.Numerics;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Quorums;

namespace Loom.Raft.Topology;

/// <summary>
/// Tries losses of members and datacenters as bit sets, smallest first. Exhaustive: with 15 voters these are at most 2^15 sets.
/// A superset of a fatal loss is fatal, so the first size that holds a fatal one is the limit.
/// </summary>
internal sealed class LossSearch
{
    private const int MaxMembers = 63;

    private readonly CommitQuorum quorum;
    private readonly IReadOnlyList<Datacenter> datacenters;
    private readonly ulong[] membersByDatacenter;
    private readonly int[] voters;
    private readonly long[] alive;

    public LossSearch(Configuration configuration)
    {
        quorum = new CommitQuorum(configuration);
        if (quorum.Count > MaxMembers)
        {
            throw new ArgumentException($"a cluster has at most {MaxMembers} members, not {quorum.Count}", nameof(configuration));
        }

        alive = new long[quorum.Count];
        voters = [.. Enumerable.Range(0, quorum.Count).Where(quorum.IsVoter)];
        datacenters = Datacenters.Of(configuration);
        membersByDatacenter = [.. datacenters.Select(d => d.Members.Aggregate(0UL, (set, m) => set | (1UL << quorum.PositionOf(m.Id))))];
    }

    /// <summary>Any so many further voters may be lost; and a smallest fatal set of them.</summary>
    public (int Any, ulong Fatal) AnyMembers(ulong lostAlready)
    {
        int[] left = [.. voters.Where(v => (lostAlready & (1UL << v)) == 0)];
        (int any, ulong set) = Smallest(left.Length, i => 1UL << left[i], lostAlready);
        return (any, Union(set, i => 1UL << left[i]));
    }

    /// <summary>Any so many datacenters may be lost; and a smallest fatal set of them, as bits by datacenter.</summary>
    public (int Any, ulong Fatal) AnyDatacenters() => Smallest(datacenters.Count, i => membersByDatacenter[i], lostAlready: 0);

    /// <summary>Any so many members may be lost after any so many datacenters.</summary>
    public int AnyMembersAfterDatacenters(int count)
    {
        int any = int.MaxValue;
        foreach (ulong set in SetsOf(datacenters.Count, count))
        {
            any = Math.Min(any, AnyMembers(Union(set, i => membersByDatacenter[i])).Any);
        }

        return any;
    }

    public ulong SetOf(IEnumerable<MemberId> members) => members.Select(quorum.PositionOf).Where(p => p >= 0).Aggregate(0UL, (set, p) => set | (1UL << p));

    public MemberId[] MembersOf(ulong set)
    {
        var ids = new List<MemberId>();
        for (int i = 0; i < quorum.Count; i++)
        {
            if ((set & (1UL << i)) != 0)
            {
                ids.Add(quorum.Ids[i]);
            }
        }

        return [.. ids];
    }

    public string[] DatacentersOf(ulong set) => [.. datacenters.Where((_, i) => (set & (1UL << i)) != 0).Select(d => d.Name)];

    private (int Any, ulong Set) Smallest(int things, Func<int, ulong> membersOf, ulong lostAlready)
    {
        for (int size = 0; size <= things; size++)
        {
            foreach (ulong set in SetsOf(things, size))
            {
                if (!Survives(Union(set, membersOf) | lostAlready))
                {
                    return (size - 1, set);
                }
            }
        }

        return (things, 0);
    }

    /// <summary>Whether the voters that are left elect and commit.</summary>
    public bool Survives(ulong lost)
    {
        for (int i = 0; i < alive.Length; i++)
        {
            alive[i] = (lost & (1UL << i)) == 0 ? 1 : 0;
        }

        return quorum.Reached(alive) >= 1 && quorum.Elected(alive) >= 1;
    }

    private static ulong Union(ulong set, Func<int, ulong> membersOf)
    {
        ulong union = 0;
        for (ulong rest = set; rest != 0; rest &= rest - 1)
        {
            union |= membersOf(BitOperations.TrailingZeroCount(rest));
        }

        return union;
    }

    /// <summary>All sets of a size, ascending as numbers (Gosper's hack): the same order on every machine.</summary>
    private static IEnumerable<ulong> SetsOf(int things, int size)
    {
        if (size > things)
        {
            yield break;
        }

        if (size == 0)
        {
            yield return 0;
            yield break;
        }

        ulong end = 1UL << things;
        for (ulong set = (1UL << size) - 1; set < end;)
        {
            yield return set;
            ulong lowest = set & (~set + 1);
            ulong ripple = set + lowest;
            set = (((ripple ^ set) >> 2) / lowest) | ripple;
        }
    }
}
