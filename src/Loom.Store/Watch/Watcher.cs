using Loom.Store.Model;

namespace Loom.Store.Watch;

/// <summary>Who takes what a watcher delivers. One thread at a time takes from all watchers of one owner.</summary>
internal interface IWatcherOwner
{
    /// <summary>The watcher has something to take, or has ended. Any thread; must only signal.</summary>
    void Ready(Watcher watcher);

    /// <summary>The hub, in the order of revisions: room for one that is not taken yet. Returns the bytes that it counts for; negative: there is no room.</summary>
    long TryHold(PublishedRevision revision);

    /// <summary>Gives room back.</summary>
    void Release(long bytes);
}

/// <summary>
/// One watch. It is <em>live</em>, and then the hub puts each revision that concerns it into its queue; or it is <em>behind</em>, and then its reader fetches what is missing, from the recent
/// revisions or from the history, until it stands where the hub stands, and it is live again. A live one whose queue is full falls behind: nobody waits for it.
/// Invariant: what was taken, what is queued and what is missing follow each other without gap or overlap; what is missing begins at <see cref="Next"/>.
/// </summary>
/// <remarks>
/// The queue is guarded by this object's own lock, and everything that decides between live and behind by the hub's, which is taken first. An idle one costs about 250 bytes, its place in the
/// hub's index included.
/// </remarks>
internal sealed class Watcher(WatchQuery query, IWatcherOwner owner)
{
    // What one batch holds at most, unless one revision is more.
    public const int MaxTaken = 256;
    public const long MaxTakenBytes = 1 << 20;

    private readonly Lock gate = new();
    private Queue<(PublishedRevision Revision, long Held)>? queue;
    private long progressAt;
    private bool isSignalled;
    private bool isBehind = true;
    private LoomException? end;

    public WatchQuery Query => query;

    public KeyRange Range => query.Range;

    public IWatcherOwner Owner => owner;

    /// <summary>The owner's name for it.</summary>
    public long Id { get; init; }

    /// <summary>The hub's: its node in the index while it is live.</summary>
    public WatcherIndex.Node? Place { get; set; }

    public int PlaceInNode { get; set; }

    /// <summary>The hub's: its place among all; negative: it is not there any more.</summary>
    public int PlaceInAll { get; set; } = -1;

    public bool IsLive => Place is not null;

    /// <summary>The hub's: of one that is behind, the first revision that it lacks; of a live one, the first that it wants.</summary>
    public long Next { get; set; }

    /// <summary>The hub's, within one revision: what concerns this watcher.</summary>
    public List<PublishedEvent>? Gathered { get; set; }

    /// <summary>The hub's: when it was last known to have delivered something, in ms of the hub's clock.</summary>
    public long QuietSince { get; set; }

    /// <summary>Why it ended, or null.</summary>
    public LoomException? End
    {
        get
        {
            lock (gate)
            {
                return end;
            }
        }
    }

    public bool Wants(PublishedEvent change) => change.Plain.Kind == WatchEventKind.Put ? query.Puts : query.Deletes;

    /// <summary>The hub: queues a revision. False: there is no room, and it has fallen behind.</summary>
    public bool TryPush(PublishedRevision revision, int maxQueued)
    {
        bool signals;
        lock (gate)
        {
            queue ??= new(2);
            long held = queue.Count < maxQueued && end is null ? owner.TryHold(revision) : -1;
            if (held < 0)
            {
                isBehind = true;
                return false;
            }

            queue.Enqueue((revision, held));
            signals = !isSignalled;
            isSignalled = true;
        }

        if (signals)
        {
            owner.Ready(this);
        }

        return true;
    }

    /// <summary>The hub: it lacks something, and will not be handed anything until it has fetched that; or it lacks nothing more.</summary>
    public void Lag(bool lacks)
    {
        lock (gate)
        {
            isBehind = lacks;
        }
    }

    /// <summary>The hub: nothing else happened up to a revision, unless something is queued. True: its owner is told.</summary>
    public bool TryMark(long revision)
    {
        lock (gate)
        {
            if (queue is { Count: > 0 } || end is not null)
            {
                return false;
            }

            progressAt = revision;
        }

        Signal();
        return true;
    }

    /// <summary>Ends it. What is queued is dropped.</summary>
    public void EndWith(LoomException why)
    {
        lock (gate)
        {
            end ??= why;
            Drop();
        }

        Signal();
    }

    /// <summary>Tells the owner, unless it knows.</summary>
    public void Signal()
    {
        lock (gate)
        {
            if (isSignalled)
            {
                return;
            }

            isSignalled = true;
        }

        owner.Ready(this);
    }

    /// <summary>
    /// The reader: adds what is queued to <paramref name="events"/>, up to <see cref="MaxTaken"/> events and whole revisions. Returns the last revision of them, or that of a mark of progress; 0:
    /// neither. <paramref name="rests"/>: there is nothing more, and the next push tells the owner.
    /// </summary>
    public long Take(List<PublishedEvent> events, out bool rests)
    {
        lock (gate)
        {
            long last = 0, bytes = 0, given = 0;
            while (queue is { Count: > 0 } && (last == 0 || Fits(queue.Peek().Revision, events.Count, bytes)))
            {
                (PublishedRevision revision, long held) = queue.Dequeue();
                events.AddRange(revision.Events);
                bytes += revision.Bytes;
                given += held;
                last = revision.Revision;
            }

            owner.Release(given);
            long mark = last == 0 ? progressAt : last;
            progressAt = 0;
            rests = queue is not { Count: > 0 } && !isBehind && end is null;
            isSignalled = !rests;
            return mark;
        }
    }

    /// <summary>The revision at the head of the queue; long.MaxValue: it is empty.</summary>
    public long Head
    {
        get
        {
            lock (gate)
            {
                return queue is { Count: > 0 } ? queue.Peek().Revision.Revision : long.MaxValue;
            }
        }
    }

    private static bool Fits(PublishedRevision next, int events, long bytes) => events + next.Events.Length <= MaxTaken && bytes + next.Bytes <= MaxTakenBytes;

    private void Drop()
    {
        while (queue is not null && queue.TryDequeue(out (PublishedRevision Revision, long Held) dropped))
        {
            owner.Release(dropped.Held);
        }

        queue = null;
    }
}
