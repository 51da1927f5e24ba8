using Loom.Raft.Snapshots;

namespace Loom.Raft.Host;

/// <summary>
/// How much this member's own replication has to do, as the loop sees it: batches go to the disk close on each other; more, entries wait for the disk while a batch is being flushed.
/// A snapshot that is sent meanwhile gives way (S4). Noted by the loop, asked by the threads of transfers.
/// </summary>
internal sealed class ReplicationLoad(Func<long> now)
{
    // As long as a pace looks at: a load that is there all the time is seen in every window.
    private const long Memory = 50_000_000;

    // So many batches in that time are work; fewer are the odd write, which a transfer costs nothing.
    private const int Busy = 4;

    private readonly long[] batches = new long[Busy];
    private long next;
    private long queuedAt = long.MinValue / 2;
    private long busyAt = long.MinValue / 2;

    /// <summary>A batch went to the disk at that time. The loop's thread.</summary>
    public void Written(long at)
    {
        ref long oldest = ref batches[next++ % Busy];
        if (next > Busy && at - oldest < Memory) Volatile.Write(ref busyAt, at);
        oldest = at;
    }

    /// <summary>Something waited at that time. The loop's thread.</summary>
    public void Queued(long at) => Volatile.Write(ref queuedAt, at);

    /// <summary>From any thread.</summary>
    public ReplicationStrain Strain =>
        now() - Volatile.Read(ref queuedAt) < Memory ? ReplicationStrain.Queued : now() - Volatile.Read(ref busyAt) < Memory ? ReplicationStrain.Busy : ReplicationStrain.None;
}
