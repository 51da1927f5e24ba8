namespace Loom.Raft.Quorums;

/// <summary>More than half of a set of voters, over values such as match indexes, rounds, times or votes.</summary>
internal static class Majority
{
    /// <summary>
    /// The largest value that more than half of the voters reach: with match indexes, what a majority holds; with votes (1 yes, 0 open, -1 no),
    /// 1 = won, 0 = open, -1 = lost. Every voter is looked at, never only the first ones that answered.
    /// </summary>
    /// <param name="voters">Positions of the voters in <paramref name="values"/>. None: <see cref="long.MaxValue"/>, so that an absent half of a joint configuration restrains nothing.</param>
    /// <param name="values">One value per member.</param>
    public static long Reached(ReadOnlySpan<int> voters, ReadOnlySpan<long> values)
    {
        if (voters.IsEmpty)
        {
            return long.MaxValue;
        }

        // Insertion sort, descending: voters are few, and this runs on every acknowledgement.
        Span<long> sorted = voters.Length <= 32 ? stackalloc long[voters.Length] : new long[voters.Length];
        for (int i = 0; i < voters.Length; i++)
        {
            long value = values[voters[i]];
            int at = i;
            for (; at > 0 && sorted[at - 1] < value; at--)
            {
                sorted[at] = sorted[at - 1];
            }

            sorted[at] = value;
        }

        int needed = (voters.Length / 2) + 1;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E5-minority-commits") && needed > 1)
        {
            needed--;
        }
#endif
        return sorted[needed - 1];
    }
}
