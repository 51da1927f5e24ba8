using Loom.Store.Callers;
using Loom.Store.Model;
using Loom.Store.Watch;

namespace Loom.Store;

/// <summary>What a stream of watches gives.</summary>
/// <param name="Watch">The watch, by the id that it was added under; null: all of them (a mark of progress that was asked for).</param>
/// <param name="Batch">Events, or a mark of progress; null: the watch has ended.</param>
/// <param name="End">Why the watch has ended; null: it has not.</param>
public sealed record WatchMessage(long? Watch, WatchBatch? Batch, LoomException? End = null);

/// <summary>
/// Many watches with one reader, as one stream of etcd's API has them. Watches may be added and removed from any thread; one caller at a time reads. A reader that is slow delays nobody: what does not
/// fit into its bounded buffers is read from the history when it comes to it. Dispose of it, or its watches stay.
/// </summary>
public sealed class LoomWatchStream : IAsyncDisposable, IWatcherOwner
{
    // Bytes of events that may wait for the reader of one stream, all its watches together; what several of them wait for is there once, and counts once and a little for each of them.
    private const long MaxHeldBytes = 8 << 20;
    private const long SharedBytes = 64;

    private const int StepsInARow = 16;

    private static readonly Task<bool> Ready = Task.FromResult(true);

    private readonly WatchHub hub;
    private readonly Action requireService;
    private readonly CallerWatches? caller;
    private readonly Lock gate = new();
    private readonly SortedDictionary<long, Watcher> watchers = [];
    private readonly Queue<Watcher> ready = new();
    private TaskCompletionSource<bool>? waiting;
    private Watcher? current;
    private Watcher? offered;
    private WatchMessage? next;
    private long markAt;
    private int marks;
    private int beforeMark;
    private long held;
    private PublishedRevision? lastHeld;
    private bool disposed;

    internal LoomWatchStream(WatchHub hub, Action requireService, CallerWatches? caller = null)
    {
        this.hub = hub;
        this.requireService = requireService;
        this.caller = caller;
    }

    /// <summary>How many watches it has.</summary>
    public int Count
    {
        get
        {
            lock (gate)
            {
                return watchers.Count;
            }
        }
    }

    /// <summary>
    /// Begins a watch under an id. Returns the revision of this replica at that moment: without <see cref="WatchQuery.From"/>, what comes after it is delivered.
    /// A revision that is compacted is no error here: the watch ends at once, with that reason.
    /// </summary>
    /// <exception cref="ArgumentException">The id is in use.</exception>
    /// <exception cref="LoomException">The query can never work, or this member serves none, or the caller may not read there.</exception>
    public Revision Add(long id, WatchQuery query)
    {
        WatchChecks.Check(query);
        requireService();
        caller?.RequireBegin(query.Range);
        var watcher = new Watcher(query, this) { Id = id };
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(disposed, this);
            if (!watchers.TryAdd(id, watcher))
            {
                throw new ArgumentException($"A watch with the id {id} is open on this stream.", nameof(id));
            }
        }

        try
        {
            return hub.Add(watcher);
        }
        catch
        {
            lock (gate)
            {
                // Removed meanwhile, the id may be another watch's by now.
                if (watchers.TryGetValue(id, out Watcher? known) && known == watcher)
                {
                    watchers.Remove(id);
                }
            }

            throw;
        }
    }

    /// <summary>Refuses, as <see cref="Add"/> does, a caller who may not read there.</summary>
    /// <exception cref="LoomException">AuthenticationRequired, InvalidToken, PermissionDenied.</exception>
    public void RequirePermission(KeyRange range)
    {
        requireService();
        caller?.RequireBegin(range);
    }

    /// <summary>Whether a watch of this id is open.</summary>
    public bool Contains(long id)
    {
        lock (gate)
        {
            return watchers.ContainsKey(id);
        }
    }

    /// <summary>Ends a watch: nothing of it is read afterwards. False: there is none of this id.</summary>
    public bool Remove(long id)
    {
        if (Forget(id) is not { } watcher)
        {
            return false;
        }

        hub.Remove(watcher);
        return true;
    }

    /// <summary>
    /// Asks for one mark of progress of all watches together, in order: everything up to its revision is read before it. False, and none comes: there is no watch, one of them is still reading history, or
    /// waits for a revision that is not written yet.
    /// </summary>
    public bool RequestProgress()
    {
        Watcher[] now;
        lock (gate)
        {
            now = [.. watchers.Values];
        }

        if (now.Length == 0)
        {
            return false;
        }

        // What is published already belongs before it.
        while (hub.Dispatch(64))
        {
        }

        long revision = hub.Common(now);
        lock (gate)
        {
            if (revision == 0 || disposed)
            {
                return false;
            }

            // Whoever has something up to there is in the reader's hand or among those that are ready now.
            markAt = revision;
            marks++;
            beforeMark = ready.Count;
            Wake();
            return true;
        }
    }

    /// <summary>Waits until <see cref="TryRead"/> may give something. False: the stream was disposed of.</summary>
    public async ValueTask<bool> WaitToReadAsync(CancellationToken cancellationToken = default)
    {
        for (int idle = 0; ;)
        {
            Task<bool> wait;
            lock (gate)
            {
                if (disposed)
                {
                    return false;
                }

                if (next is not null || TryMark())
                {
                    return true;
                }

                if (current is null && ready.TryDequeue(out current))
                {
                    beforeMark--;
                }

                wait = current is not null ? Ready : (waiting ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
            }

            cancellationToken.ThrowIfCancellationRequested();
            if (current is null)
            {
                await wait.WaitAsync(cancellationToken).ConfigureAwait(false);
            }
            else if (!Advance(current) && ++idle % StepsInARow == 0)
            {
                // A long history is read in steps; now and then the thread is everybody's.
                await Task.Yield();
            }
        }
    }

    /// <summary>Takes the next message, unless its watch was removed meanwhile.</summary>
    public bool TryRead(out WatchMessage? message)
    {
        lock (gate)
        {
            bool counts = next is not null && (offered is null || (watchers.TryGetValue(offered.Id, out Watcher? known) && known == offered));
            message = counts ? next : null;
            next = null;
            if (message?.End is not null)
            {
                watchers.Remove(offered!.Id);
            }

            return counts;
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        List<Watcher> left;
        lock (gate)
        {
            disposed = true;
            left = [.. watchers.Values];
            watchers.Clear();
            ready.Clear();
            waiting?.TrySetResult(false);
            waiting = null;
        }

        foreach (Watcher watcher in left)
        {
            hub.Remove(watcher);
        }

        return ValueTask.CompletedTask;
    }

    void IWatcherOwner.Ready(Watcher watcher)
    {
        lock (gate)
        {
            if (!disposed)
            {
                ready.Enqueue(watcher);
                Wake();
            }
        }
    }

    long IWatcherOwner.TryHold(PublishedRevision revision)
    {
        // The hub's lock: one at a time, in the order of revisions. A part of a revision is an object of its own, and counts as a whole.
        long bytes = ReferenceEquals(revision, Volatile.Read(ref lastHeld)) ? SharedBytes : revision.Bytes;
        if (Interlocked.Add(ref held, bytes) <= MaxHeldBytes)
        {
            Volatile.Write(ref lastHeld, revision);
            return bytes;
        }

        Interlocked.Add(ref held, -bytes);
        return -1;
    }

    void IWatcherOwner.Release(long bytes)
    {
        // An idle stream keeps no revision alive. Forgotten too early, it counts as a whole once more.
        if (Interlocked.Add(ref held, -bytes) == 0)
        {
            Volatile.Write(ref lastHeld, null);
        }
    }

    private Watcher? Forget(long id)
    {
        lock (gate)
        {
            return watchers.Remove(id, out Watcher? watcher) ? watcher : null;
        }
    }

    private void Wake()
    {
        waiting?.TrySetResult(true);
        waiting = null;
    }

    /// <summary>Everything before the mark was read: it is the next message.</summary>
    private bool TryMark()
    {
        if (markAt == 0 || beforeMark > 0 || current is not null)
        {
            return false;
        }

        offered = null;
        next = new(null, new WatchBatch(new Revision(markAt), []) { Current = new Revision(markAt) });
        markAt = --marks == 0 ? 0 : markAt;
        return true;
    }

    /// <summary>One step with one watcher. False: it led to nothing that can be read.</summary>
    private bool Advance(Watcher watcher)
    {
        WatchRead read = hub.Read(watcher);
        if (read.Batch is not null && caller?.Refusal(watcher.Query.Range) is { } refusal)
        {
            hub.Remove(watcher);
            read = new(null, refusal, true);
        }

        if (read.Batch is not null || read.End is not null)
        {
            Offer(watcher, new(watcher.Id, read.Batch, read.End));
        }

        Turn(watcher, read.Rests);
        return read.Batch is not null || read.End is not null;
    }

    private void Offer(Watcher watcher, WatchMessage message)
    {
        lock (gate)
        {
            next = message;
            offered = watcher;
        }
    }

    /// <summary>The watcher was looked at: it rests, or stays in hand because a mark waits for it, or others come first.</summary>
    private void Turn(Watcher watcher, bool rests)
    {
        lock (gate)
        {
            if (rests)
            {
                current = null;
            }
            else if (markAt == 0 || watcher.Head > markAt)
            {
                current = null;
                ready.Enqueue(watcher);
            }
        }
    }
}
