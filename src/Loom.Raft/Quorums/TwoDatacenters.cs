namespace Loom.Raft.Quorums;

/// <summary>The datacenter rule of <see cref="Membership.PlacementGoal.TwoDatacenters"/>: voters of at least two datacenters.</summary>
internal static class TwoDatacenters
{
    /// <summary>Number of the datacenter of a leaving voter of whom the configuration tells none: it never counts as a second one.</summary>
    public const int UnknownPlace = 0;

    /// <summary>The largest value that voters of two different datacenters reach; <see cref="long.MinValue"/> if all voters stand in one: such a goal can never be met.</summary>
    /// <param name="voters">Positions of the voters.</param>
    /// <param name="datacenters">Number of the datacenter of each member, by position.</param>
    /// <param name="values">One value per member.</param>
    public static long Reached(ReadOnlySpan<int> voters, ReadOnlySpan<int> datacenters, ReadOnlySpan<long> values)
    {
        if (voters.IsEmpty)
        {
            return long.MaxValue;
        }

        // The best value, and the best value of any other datacenter than that one.
        long best = long.MinValue;
        int bestDatacenter = -1;
        long second = long.MinValue;
        foreach (int voter in voters)
        {
            if (datacenters[voter] == UnknownPlace)
            {
                continue;
            }

            long value = values[voter];
            if (bestDatacenter < 0 || value > best)
            {
                if (bestDatacenter != datacenters[voter])
                {
                    second = best;
                }

                best = value;
                bestDatacenter = datacenters[voter];
            }
            else if (datacenters[voter] != bestDatacenter && value > second)
            {
                second = value;
            }
        }

        return second;
    }

    /// <summary>Whether voters whose place is known stand in two datacenters.</summary>
    public static bool CanBeReached(ReadOnlySpan<int> voters, ReadOnlySpan<int> datacenters)
    {
        int first = UnknownPlace;
        foreach (int voter in voters)
        {
            int datacenter = datacenters[voter];
            if (first != UnknownPlace && datacenter != UnknownPlace && datacenter != first)
            {
                return true;
            }

            first = first == UnknownPlace ? datacenter : first;
        }

        return false;
    }
}
