namespace Loom.Raft.Snapshots;

/// <summary>
/// How fast a source sends, all its transfers together (S4): a token bucket whose rate gives way to replication. Time is divided into windows; one in which replication was seen
/// to suffer halves the rate, down to a fifth of the limit; one without trouble adds a 64th of the limit, up to a quarter of it while writes flow at all: source and receiver take
/// processor and disk from them long before anything queues. So a transfer leaves room within three windows, comes back in some three seconds (sooner, it would spend most of its time
/// on the way up from a load that lasts), and never starves: a member without a state is a danger, too.
/// </summary>
/// <param name="bytesPerSecond">The limit.</param>
/// <param name="strain">What replication has to do now; asked once per chunk.</param>
internal sealed class SnapshotPace(long bytesPerSecond, Func<ReplicationStrain> strain)
{
    private const long Second = 1_000_000_000;
    private const long Window = 50_000_000;
    private const int Floor = 5;
    private const int BusyCeiling = 4;
    private const int Step = 64;

    // What may go at once after a pause, in time: more would be a burst that the limit is there to prevent.
    private const long Burst = 10_000_000;

    private readonly object gate = new();
    private readonly long limit = bytesPerSecond;
    private long rate = bytesPerSecond;
    private long paidUntil = long.MinValue / 2;
    private long windowEnd = long.MinValue / 2;
    private ReplicationStrain worst;

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
        ReplicationStrain seen = strain();
        lock (gate)
        {
            worst = seen > worst ? seen : worst;
            if (now >= windowEnd) Adapt(now);
            paidUntil = Math.Max(paidUntil, now - Burst) + (long)((double)bytes * Second / rate);
            return Math.Max(0, paidUntil - now);
        }
    }

    private void Adapt(long now)
    {
        rate = worst switch
        {
            ReplicationStrain.Queued => Math.Max(rate / 2, limit / Floor),
            ReplicationStrain.Busy => Math.Min(limit / BusyCeiling, rate + limit / Step),
            _ => Math.Min(limit, rate + limit / Step),
        };
        worst = ReplicationStrain.None;
        windowEnd = now + Window;
    }
}
