namespace Loom.Raft.Quorums;

/// <summary>The majorities of both halves of a joint configuration (thesis 4.3); of one half when the other is empty.</summary>
internal static class Joint
{
    /// <summary>The largest value that a majority of each half reaches.</summary>
    public static long Reached(ReadOnlySpan<int> incoming, ReadOnlySpan<int> outgoing, ReadOnlySpan<long> values) =>
        Math.Min(Majority.Reached(incoming, values), Majority.Reached(outgoing, values));
}
