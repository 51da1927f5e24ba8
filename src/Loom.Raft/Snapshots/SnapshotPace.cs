namespace Loom.Raft.Snapshots;

/// <summary>
/// How fast a source sends, all its transfers together (S4): a token bucket whose rate gives way to replication. Time is divided into windows; one in which writes flowed sets the rate to a
/// fifth of the limit, for source and receiver take processor and disk from the writes long before anything queues; one without adds a 64th of the limit. So a transfer leaves room at once, comes
/// back in some three seconds (sooner, it would be fast in every short pause of a load that lasts), and never starves: a member without a state is a danger, too.
/// </summary>
/// <param name="bytesPerSecond">The limit.</param>
/// <param name="isBusy">Whether replication has work now; asked once per chunk.</param>
internal sealed class SnapshotPace(long bytesPerSecond, Func<bool> isBusy)
{
    private const long Second = 1_000_000_000;
    private const long Window = 50_000_000;
    private const int BusyShare = 5;
    private const int Step = 64;

    // What may go at once after a pause, in time: more would be a burst that the limit is there to prevent.
    private const long Burst = 10_000_000;

    private readonly object gate = new();
    private readonly long limit = bytesPerSecond;
    private long rate = bytesPerSecond;
    private long paidUntil = long.MinValue / 2;
    private long windowEnd = long.MinValue / 2;
    private bool wasBusy;

    /// <summary>Bytes per second now.</summary>
    public long Rate
    {
        get
        {
            lock (gate) return rate;
        }
    }

    /// <summary>These bytes were sent: how long (ns) to wait before the next.</summary>
    public long Spend(long now, long bytes)
    {
        bool busy = isBusy();
        lock (gate)
        {
            wasBusy |= busy;
            if (now >= windowEnd) Adapt(now);
            paidUntil = Math.Max(paidUntil, now - Burst) + (long)((double)bytes * Second / rate);
            return Math.Max(0, paidUntil - now);
        }
    }

    private void Adapt(long now)
    {
        rate = wasBusy ? limit / BusyShare : Math.Min(limit, rate + limit / Step);
        wasBusy = false;
        windowEnd = now + Window;
    }
}
