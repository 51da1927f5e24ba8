namespace Loom.Raft.Transport;

/// <summary>Spreads reconnects. Seeded like everything random here (T3); SplitMix64.</summary>
internal struct Jitter(ulong seed)
{
    private ulong state = seed;

    /// <summary>A number in [0, limit).</summary>
    public long Below(long limit)
    {
        ulong z = state += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return (long)((z ^ (z >> 31)) % (ulong)limit);
    }
}
