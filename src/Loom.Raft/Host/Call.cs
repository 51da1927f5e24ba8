using System.Threading.Tasks.Sources;

namespace Loom.Raft.Host;

/// <summary>
/// A caller that waits for the loop. Pooled: a put costs no task. Continuations go to the thread pool, never to the loop's thread (N1).
/// Completed exactly once: whoever takes it out of its registry completes it.
/// </summary>
internal sealed class Call<T> : IValueTaskSource<T>
{
    private readonly CallRegistry<T> registry;
    private ManualResetValueTaskSourceCore<T> source;
    private CancellationTokenRegistration cancellation;
    private int unread;

    public Call(CallRegistry<T> registry)
    {
        this.registry = registry;
        source.RunContinuationsAsynchronously = true;
        unread = source.Version;
    }

    internal Call<T>? Previous { get; set; }

    internal Call<T>? Next { get; set; }

    internal bool Waiting { get; set; }

    public ValueTask<T> Task => new(this, source.Version);

    /// <summary>Set before the call is handed to the loop, which takes it back at completion.</summary>
    public void CancelWith(CancellationTokenRegistration registration) => cancellation = registration;

    public void Succeed(T result)
    {
        if (!registry.Take(this)) return;
        _ = cancellation.Unregister();
        source.SetResult(result);
    }

    public void Fail(Exception error)
    {
        if (!registry.Take(this)) return;
        _ = cancellation.Unregister();
        source.SetException(error);
    }

    T IValueTaskSource<T>.GetResult(short token)
    {
        // Throws for a token of a call that is over: this object may be another caller's by now, and in the pool twice it would be two callers' at once.
        if (source.GetStatus(token) == ValueTaskSourceStatus.Pending) throw new InvalidOperationException("The call has not ended yet: await it.");
        // Two threads may both have come this far with the same token.
        if (Interlocked.CompareExchange(ref unread, int.MinValue, token) != token) throw new InvalidOperationException("A call's result can be read once.");
        try
        {
            return source.GetResult(token);
        }
        finally
        {
            cancellation = default;
            source.Reset();
            Volatile.Write(ref unread, source.Version);
            registry.Return(this);
        }
    }

    ValueTaskSourceStatus IValueTaskSource<T>.GetStatus(short token) => source.GetStatus(token);

    void IValueTaskSource<T>.OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        source.OnCompleted(continuation, state, token, flags);
}

/// <summary>All callers of one kind that wait, so that none is forgotten when the loop cannot answer any more, and the pool of those that do not.</summary>
/// <param name="limit">How many may wait at a time where the caller asks with <see cref="TryRent"/>.</param>
internal sealed class CallRegistry<T>(int limit = int.MaxValue)
{
    private const int MaxPooled = 1024;

    private readonly object gate = new();
    private readonly Stack<Call<T>> pool = new();
    private Call<T>? first;
    private Exception? closedBecause;
    private int count;

    public int Count
    {
        get
        {
            lock (gate) return count;
        }
    }

    /// <exception cref="Exception">The reason given to <see cref="FailAll"/>: nobody would answer.</exception>
    public Call<T> Rent() => Rent(int.MaxValue)!;

    /// <summary>Null: as many wait as may.</summary>
    /// <exception cref="Exception">The reason given to <see cref="FailAll"/>: nobody would answer.</exception>
    public Call<T>? TryRent() => Rent(limit);

    private Call<T>? Rent(int most)
    {
        lock (gate)
        {
            if (closedBecause is not null) throw closedBecause;
            if (count >= most) return null;
            if (!pool.TryPop(out Call<T>? call)) call = new Call<T>(this);
            call.Waiting = true;
            call.Previous = null;
            call.Next = first;
            if (first is not null) first.Previous = call;
            first = call;
            count++;
            return call;
        }
    }

    internal bool Take(Call<T> call)
    {
        lock (gate)
        {
            if (!call.Waiting) return false;
            call.Waiting = false;
            if (call.Previous is null) first = call.Next;
            else call.Previous.Next = call.Next;
            if (call.Next is not null) call.Next.Previous = call.Previous;
            count--;
            return true;
        }
    }

    internal void Return(Call<T> call)
    {
        lock (gate)
        {
            if (pool.Count < MaxPooled) pool.Push(call);
        }
    }

    /// <summary>The loop is gone: everybody who waits, and everybody who comes, is told.</summary>
    public void FailAll(Exception waiting, Exception coming)
    {
        while (true)
        {
            Call<T>? call;
            lock (gate)
            {
                closedBecause = coming;
                call = first;
            }
            if (call is null) return;
            call.Fail(waiting);
        }
    }
}
