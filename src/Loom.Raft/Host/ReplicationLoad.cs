namespace Loom.Raft.Host;

/// <summary>
/// Whether this member's own replication is at its limits, as the loop sees it: entries wait for the disk while a batch is being flushed. A snapshot that is sent meanwhile
/// gives way (S4). Noted by the loop, asked by the threads of transfers.
/// </summary>
internal sealed class ReplicationLoad(Func<long> now)
{
    // As long as a pace looks at: a load that is there all the time is seen in every window.
    private const long Memory = 50_000_000;

    private long queuedAt = long.MinValue / 2;

    /// <summary>Something waited at that time.</summary>
    public void Queued(long at) => Volatile.Write(ref queuedAt, at);

    /// <summary>From any thread.</summary>
    public bool IsHigh => now() - Volatile.Read(ref queuedAt) < Memory;
}
