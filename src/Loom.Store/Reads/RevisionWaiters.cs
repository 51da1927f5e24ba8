namespace Loom.Store.Reads;

/// <summary>
/// Callers that wait until this replica has applied a revision (read your own writes with the token that a write returned).
/// Bounded: beyond <see cref="Limit"/> a new one is refused. The applier releases them after it published, and pays one volatile read while nobody waits;
/// continuations run on the thread pool, never on its thread (N1).
/// </summary>
internal sealed class RevisionWaiters
{
    public const int Limit = 65_536;

    private readonly Lock gate = new();
    private readonly PriorityQueue<TaskCompletionSource, long> waiting = new();
    private int count;

    /// <summary>A task that ends when <paramref name="revision"/> is published, or null when too many wait. The caller looks at the published revision again afterwards.</summary>
    public Task? Wait(long revision)
    {
        var source = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (gate)
        {
            if (waiting.Count >= Limit)
            {
                return null;
            }

            waiting.Enqueue(source, revision);
            Volatile.Write(ref count, waiting.Count);
        }

        Interlocked.MemoryBarrier();
        return source.Task;
    }

    /// <summary>Called after <paramref name="revision"/> was published.</summary>
    public void Release(long revision)
    {
        // The full fence pairs with the one at the end of Wait: either the waiter sees the revision, or we see the waiter.
        Interlocked.MemoryBarrier();
        if (Volatile.Read(ref count) == 0)
        {
            return;
        }

        lock (gate)
        {
            while (waiting.TryPeek(out _, out long wanted) && wanted <= revision)
            {
                waiting.Dequeue().SetResult();
            }

            Volatile.Write(ref count, waiting.Count);
        }
    }

    /// <summary>The store closes: everyone still waiting is cancelled.</summary>
    public void Close()
    {
        lock (gate)
        {
            while (waiting.TryDequeue(out TaskCompletionSource? source, out _))
            {
                source.SetCanceled();
            }

            Volatile.Write(ref count, 0);
        }
    }
}
