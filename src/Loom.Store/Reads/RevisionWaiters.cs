namespace Loom.Store.Reads;

/// <summary>One caller that waits for a revision.</summary>
internal sealed class RevisionWait : IComparable<RevisionWait>
{
    private readonly long number;

    internal RevisionWait(long revision, long number)
    {
        Revision = revision;
        this.number = number;
    }

    public long Revision { get; }

    /// <summary>Ends when the revision is published; is cancelled when the store closes. Continuations run on the thread pool.</summary>
    public Task Task => Source.Task;

    internal TaskCompletionSource Source { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>By revision; among equals by age, so that each has a place of its own.</summary>
    public int CompareTo(RevisionWait? other) =>
        other is null ? 1 : Revision != other.Revision ? Revision.CompareTo(other.Revision) : number.CompareTo(other.number);
}

/// <summary>
/// Callers that wait until this replica has applied a revision (read your own writes with the token that a write returned).
/// Bounded: beyond <see cref="Limit"/> a new one is refused, so whoever stops waiting must say so (<see cref="Abandon"/>), or its place would be lost until that
/// revision comes, which may be never. The applier releases them after it published, and pays one volatile read while nobody waits;
/// continuations run on the thread pool, never on its thread (N1).
/// </summary>
internal sealed class RevisionWaiters
{
    public const int Limit = 65_536;

    private readonly Lock gate = new();
    private readonly SortedSet<RevisionWait> waiting = [];
    private long made;
    private int count;

    /// <summary>How many wait now.</summary>
    public int Count => Volatile.Read(ref count);

    /// <summary>A wait until <paramref name="revision"/> is published, or null when too many wait. The caller looks at the published revision again afterwards.</summary>
    public RevisionWait? Wait(long revision)
    {
        RevisionWait wait;
        lock (gate)
        {
            if (waiting.Count >= Limit)
            {
                return null;
            }

            wait = new RevisionWait(revision, made++);
            waiting.Add(wait);
            Volatile.Write(ref count, waiting.Count);
        }

        Interlocked.MemoryBarrier();
        return wait;
    }

    /// <summary>The caller waits no longer: gives its place back. Nothing happens when it was released meanwhile.</summary>
    public void Abandon(RevisionWait wait)
    {
        lock (gate)
        {
            waiting.Remove(wait);
            Volatile.Write(ref count, waiting.Count);
        }
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
            while (waiting.Min is { } first && first.Revision <= revision)
            {
                waiting.Remove(first);
                first.Source.SetResult();
            }

            Volatile.Write(ref count, waiting.Count);
        }
    }

    /// <summary>The store closes: everyone still waiting is cancelled.</summary>
    public void Close()
    {
        lock (gate)
        {
            foreach (RevisionWait wait in waiting)
            {
                wait.Source.SetCanceled();
            }

            waiting.Clear();
            Volatile.Write(ref count, 0);
        }
    }
}
