using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Quorums;

/// <summary>
/// The arithmetic of one configuration (E5). One rule serves commit, check-quorum, pre-vote and ReadIndex: <see cref="Reached"/>.
/// Votes use the majorities alone, <see cref="Elected"/>: they intersect every CommitQuorum, and a repaired cluster can still elect.
/// Members have positions, in the order of their ids; values of any kind are arrays over these positions.
/// </summary>
internal sealed class CommitQuorum
{
    private readonly MemberId[] ids;
    private readonly int[] incoming;
    private readonly int[] outgoing;
    private readonly int[] datacenters;
    private readonly bool[] voters;
    private readonly bool twoDatacenters;
    private readonly bool twoOutgoingDatacenters;

    public CommitQuorum(Configuration configuration)
    {
        Configuration = configuration;
        var sorted = new SortedSet<MemberId>(configuration.OutgoingVoters);
        foreach (Member member in configuration.Members)
        {
            sorted.Add(member.Id);
        }

        ids = [.. sorted];
        incoming = Positions(configuration.Voters);
        outgoing = Positions(configuration.OutgoingVoters);
        datacenters = NumberDatacenters(configuration);
        voters = new bool[ids.Length];
        foreach (int position in incoming)
        {
            voters[position] = true;
        }

        foreach (int position in outgoing)
        {
            voters[position] = true;
        }

        twoDatacenters = configuration.Goal == PlacementGoal.TwoDatacenters;
        twoOutgoingDatacenters = twoDatacenters && (IsPlaceOfAllKnown() || TwoDatacenters.CanBeReached(outgoing, datacenters));
    }

    public Configuration Configuration { get; }

    /// <summary>Ids by position: all members, and voters that are leaving.</summary>
    public ReadOnlySpan<MemberId> Ids => ids;

    public int Count => ids.Length;

    /// <summary>Position of a member, or -1.</summary>
    public int PositionOf(MemberId id)
    {
        int at = Array.BinarySearch(ids, id);
        return at < 0 ? -1 : at;
    }

    /// <summary>Votes and counts, in either half.</summary>
    public bool IsVoter(int position) => position >= 0 && voters[position];

    /// <summary>True when this member alone is a CommitQuorum: nobody else is asked.</summary>
    public bool IsSoleVoter(int position) => incoming.Length == 1 && incoming[0] == position && outgoing.Length == 0 && !twoDatacenters;

    /// <summary>
    /// The largest value that a CommitQuorum reaches: a majority of each half and, where the goal asks for it, two datacenters in each half. Not in the old half if voters whose place is not known any more
    /// would have to be one of them: they leave because they are lost, and nothing would commit again, not even that they left. Whatever commits is in two datacenters all the same, by the new half.
    /// </summary>
    public long Reached(ReadOnlySpan<long> values)
    {
        // Each condition is monotone (more members never break it), so the largest value that satisfies all is the smallest of their largest ones.
        long reached = Elected(values);
        if (twoDatacenters)
        {
            reached = Math.Min(reached, TwoDatacenters.Reached(incoming, datacenters, values));
        }

        if (twoOutgoingDatacenters)
        {
            reached = Math.Min(reached, TwoDatacenters.Reached(outgoing, datacenters, values));
        }

        return reached;
    }

    /// <summary>The largest value that a majority of each half reaches (E5: what an election needs).</summary>
    public long Elected(ReadOnlySpan<long> values) =>
        incoming.Length == 0 ? long.MinValue : Joint.Reached(incoming, outgoing, values);

    private bool IsPlaceOfAllKnown() => Array.TrueForAll(outgoing, voter => datacenters[voter] != TwoDatacenters.UnknownPlace);

    private int[] Positions(IEnumerable<MemberId> members)
    {
        var positions = new List<int>();
        foreach (MemberId id in members)
        {
            positions.Add(PositionOf(id));
        }

        return [.. positions];
    }

    /// <summary>Datacenters are numbered from 1; who is no member (a leaving voter) keeps <see cref="TwoDatacenters.UnknownPlace"/>.</summary>
    private int[] NumberDatacenters(Configuration configuration)
    {
        var numbers = new SortedDictionary<string, int>(StringComparer.Ordinal);
        var result = new int[ids.Length];
        foreach (Member member in configuration.Members)
        {
            if (!numbers.TryGetValue(member.Datacenter, out int number))
            {
                number = numbers.Count + 1;
                numbers.Add(member.Datacenter, number);
            }

            result[PositionOf(member.Id)] = number;
        }

        return result;
    }
}
