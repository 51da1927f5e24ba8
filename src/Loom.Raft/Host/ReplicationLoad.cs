namespace Loom.Raft.Host;

/// <summary>
/// Whether this member's own replication has work, as the loop sees it: batches go to the disk close on each other, or entries wait for the disk while a batch is being flushed.
/// A snapshot that is sent meanwhile gives way (S4). Noted by the loop, asked by the threads of transfers.
/// </summary>
internal sealed class ReplicationLoad(Func<long> now)
{
    // As long as a pace looks at: a load that is there all the time is seen in every window.
    private const long Memory = 50_000_000;

    // So many batches in that time are a flow; fewer are the odd write, which a transfer costs nothing.
    private const int Flow = 4;

    private readonly long[] batches = new long[Flow];
    private long next;
    private long busyAt = long.MinValue / 2;

    /// <summary>A batch went to the disk at that time. The loop's thread.</summary>
    public void Written(long at)
    {
        ref long oldest = ref batches[next++ % Flow];
        if (next > Flow && at - oldest < Memory) Volatile.Write(ref busyAt, at);
        oldest = at;
    }

    /// <summary>Something waited at that time. The loop's thread.</summary>
    public void Queued(long at) => Volatile.Write(ref busyAt, at);

    /// <summary>From any thread.</summary>
    public bool IsHigh => now() - Volatile.Read(ref busyAt) < Memory;
}
