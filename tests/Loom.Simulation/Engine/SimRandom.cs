using System.Numerics;

namespace Loom.Simulation.Engine;

/// <summary>
/// xoshiro256** seeded by splitmix64: our own, so that a seed means the same on every runtime and for ever (T3).
/// Each purpose draws from its own stream (<see cref="Split"/>), so that a change in what the network draws does not shift what the disks draw.
/// </summary>
internal sealed class SimRandom
{
    private readonly ulong seed;
    private ulong s0, s1, s2, s3;

    public SimRandom(ulong seed)
    {
        this.seed = seed;
        ulong state = seed;
        s0 = SplitMix(ref state);
        s1 = SplitMix(ref state);
        s2 = SplitMix(ref state);
        s3 = SplitMix(ref state);
    }

    /// <summary>An independent stream, named by its purpose; drawing from it does not move this one.</summary>
    public SimRandom Split(string purpose, ulong number = 0)
    {
        ulong hash = 14695981039346656037UL;
        foreach (char c in purpose)
        {
            hash = (hash ^ c) * 1099511628211UL;
        }

        // Mixed at each level: with a plain xor, member 3's fourth life would draw what member 4's third does.
        ulong state = seed;
        state = SplitMix(ref state) ^ hash;
        state = SplitMix(ref state) + number;
        return new SimRandom(SplitMix(ref state));
    }

    public ulong Next()
    {
        ulong result = BitOperations.RotateLeft(s1 * 5, 7) * 9;
        ulong t = s1 << 17;
        s2 ^= s0;
        s3 ^= s1;
        s1 ^= s2;
        s0 ^= s3;
        s2 ^= t;
        s3 = BitOperations.RotateLeft(s3, 45);
        return result;
    }

    /// <summary>Uniform in [0, bound).</summary>
    public int Below(int bound) => (int)Math.BigMul(Next(), (ulong)bound, out _);

    /// <summary>Uniform in [low, high].</summary>
    public long Between(long low, long high) => low + (long)Math.BigMul(Next(), (ulong)(high - low + 1), out _);

    public double Double() => (Next() >> 11) * (1.0 / (1UL << 53));

    public bool Chance(double probability) => probability > 0 && Double() < probability;

    /// <summary>A positive long-tailed duration around a mean, at most 12 times it: most are short, some are not.</summary>
    public long Tail(long mean) => (long)Math.Min(12.0 * mean, -Math.Log(1.0 - Double()) * mean);

    public T Pick<T>(IReadOnlyList<T> items) => items[Below(items.Count)];

    public void Shuffle<T>(IList<T> items)
    {
        for (int i = items.Count - 1; i > 0; i--)
        {
            int j = Below(i + 1);
            (items[i], items[j]) = (items[j], items[i]);
        }
    }

    private static ulong SplitMix(ref ulong state)
    {
        ulong z = state += 0x9E3779B97F4A7C15UL;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9UL;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EBUL;
        return z ^ (z >> 31);
    }
}
