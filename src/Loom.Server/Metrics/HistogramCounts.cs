namespace Loom.Server.Metrics;

/// <summary>A histogram of seconds: recorded from any thread without a lock, read as it is.</summary>
internal sealed class HistogramCounts(IReadOnlyList<double> bounds)
{
    private const double Nano = 1e9;

    // One more than bounds: what is above the last.
    private readonly long[] counts = new long[bounds.Count + 1];
    private long nanoseconds;

    public IReadOnlyList<double> Bounds => bounds;

    public double Sum => Interlocked.Read(ref nanoseconds) / Nano;

    public void Record(double seconds)
    {
        int bucket = 0;
        while (bucket < bounds.Count && seconds > bounds[bucket])
        {
            bucket++;
        }

        Interlocked.Increment(ref counts[bucket]);
        Interlocked.Add(ref nanoseconds, (long)(seconds * Nano));
    }

    /// <summary>How many were at or below each bound, and, last, how many there were.</summary>
    public long[] Cumulative()
    {
        long[] cumulative = new long[counts.Length];
        long sum = 0;
        for (int i = 0; i < counts.Length; i++)
        {
            cumulative[i] = sum += Interlocked.Read(ref counts[i]);
        }

        return cumulative;
    }
}
