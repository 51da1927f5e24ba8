namespace Loom.Raft.Replica;

/// <summary>Since when something that has work to do has got nowhere: the log's flushes (E8), the applier (N3).</summary>
/// <param name="limit">From when on that is too long, ns.</param>
internal sealed class StallWatch(long limit)
{
    private long reached = -1;
    private long since = long.MaxValue;

    /// <summary>When it will have been too long; never while nothing waits.</summary>
    public long Deadline => since == long.MaxValue ? long.MaxValue : since + limit;

    /// <param name="now">The monotonic clock.</param>
    /// <param name="wanted">What was asked for.</param>
    /// <param name="done">What is done of it.</param>
    public void Look(long now, long wanted, long done)
    {
        if (done >= wanted)
        {
            since = long.MaxValue;
        }
        else if (done != reached || since == long.MaxValue)
        {
            since = now;
        }

        reached = done;
    }

    public bool IsOverdue(long now) => now >= Deadline;
}
