using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Watch;

/// <summary>The readers' half: what is queued for a watcher, and what it lacks while it is behind. On the reader's thread.</summary>
internal sealed partial class WatchHub
{
    /// <summary>
    /// A step of the reader of a watcher: what is queued; or why it has ended; or a part of what it lacks, if it is behind, and perhaps nothing of that is its own; or nothing, and it rests.
    /// Bounded, on the reader's thread: it may read from a disk. One thread at a time for each watcher.
    /// </summary>
    public WatchRead Read(Watcher watcher)
    {
        List<PublishedEvent> found = [];
        long taken = watcher.Take(found, out bool rests);
        CaughtUp step = new(taken, taken);
        if (taken == 0)
        {
            if (rests)
            {
                return new(null, null, true);
            }

            if (watcher.End is { } end)
            {
                return Ended(watcher, end);
            }

            step = Catch(watcher, found);
            if (found.Count == 0)
            {
                return default;
            }
        }

        try
        {
            return new(Batch(watcher, found, step.Revision, step.Current), null, rests);
        }
        catch (LoomException fault)
        {
            // What was taken is lost with it, so nothing may follow.
            watcher.EndWith(fault);
            return Ended(watcher, fault);
        }
    }

    private WatchRead Ended(Watcher watcher, LoomException why)
    {
        lock (gate)
        {
            Forget(watcher);
        }

        return new(null, why, true);
    }

    private WatchBatch Batch(Watcher watcher, List<PublishedEvent> found, long revision, long now)
    {
        var events = new WatchEvent[found.Count];
        for (int i = 0; i < events.Length; i++)
        {
            events[i] = Shape(watcher, found[i]);
        }

        return new WatchBatch(new Revision(revision), events) { Current = new Revision(now) };
    }

    /// <summary>
    /// The queue is empty, and the watcher is behind: it gets a part of what it lacks, and stands behind that then; or it lacks nothing more, and is live.
    /// </summary>
    private CaughtUp Catch(Watcher watcher, List<PublishedEvent> found)
    {
        StateGeneration seen;
        long from, upTo;
        lock (gate)
        {
            if (watcher.IsLive || watcher.End is not null)
            {
                return default;
            }

            seen = state;
            from = watcher.Next;
            upTo = dispatched;
#if LOOM_MUTATIONS
            if (Raft.Diagnostics.Mutations.On("W2-lose-event-at-join") && upTo - from < 2)
            {
                from = upTo + 1;
            }
#endif
            if (from > upTo)
            {
                Join(watcher);
                return default;
            }
        }

        var copies = new PublishedRevision[Math.Min(RecentPage, upTo - from + 1)];
        if (recent.TryCopy(from, copies, out int count))
        {
            upTo = Math.Min(upTo, from + count - 1);
            upTo = Select(watcher, copies.AsSpan(0, (int)(upTo - from + 1)), found);
        }
        else if (!TryReadHistory(watcher, seen, from, ref upTo, found))
        {
            return default;
        }

        lock (gate)
        {
            watcher.Next = upTo + 1;
#if LOOM_MUTATIONS
            if (Raft.Diagnostics.Mutations.On("W1-twice-at-join"))
            {
                watcher.Next = upTo;
            }
#endif
            return new(upTo, state.Revision);
        }
    }

    /// <summary>The event as this watcher wants it: with what was there before, read when somebody asks.</summary>
    private WatchEvent Shape(Watcher watcher, PublishedEvent change)
    {
        if (!watcher.Query.PreviousPairs)
        {
            return change.Plain;
        }

        if (change.WithPrevious is { } known)
        {
            return known;
        }

        WatchEvent shaped = change.Plain with { Previous = WatchHistory.Previous(() => Volatile.Read(ref state), change) };

        // Kept with the event, it is counted nowhere: so only what at most doubles that. A larger one is read again for each watch.
        if (shaped.Previous is not { } previous || previous.Key.Length + previous.Value.Length <= change.Bytes)
        {
            change.WithPrevious = shaped;
        }

        return shaped;
    }

    private bool TryReadHistory(Watcher watcher, StateGeneration seen, long from, ref long upTo, List<PublishedEvent> found)
    {
        try
        {
            long read = WatchHistory.Read(seen, watcher.Query, from, upTo, found);
            if (read >= from)
            {
                upTo = read;
                return true;
            }

            watcher.EndWith(WatchEnds.Compacted(from, seen.CompactRevision));
        }
        catch (LoomException fault)
        {
            found.Clear();

            // A state that was replaced is closed: the next step reads in the new one.
            if (Volatile.Read(ref state) == seen)
            {
                watcher.EndWith(fault);
            }
        }

        return false;
    }

    /// <summary>What a watcher wants of some revisions, as much as one batch may hold. Returns the revision through which that is complete.</summary>
    private static long Select(Watcher watcher, ReadOnlySpan<PublishedRevision> revisions, List<PublishedEvent> found)
    {
        long bytes = 0;
        foreach (PublishedRevision revision in revisions)
        {
            int before = found.Count;
            foreach (PublishedEvent change in revision.Events)
            {
                if (watcher.Range.Contains(change.Key) && watcher.Wants(change))
                {
                    found.Add(change);
                    bytes += change.Bytes;
                }
            }

            if (before > 0 && (found.Count > Watcher.MaxTaken || bytes > Watcher.MaxTakenBytes) && found.Count > before)
            {
                found.RemoveRange(before, found.Count - before);
                return revision.Revision - 1;
            }
        }

        return revisions[^1].Revision;
    }

    private readonly record struct CaughtUp(long Revision, long Current);
}

/// <summary>What a step of a reader gave.</summary>
/// <param name="Batch">Something to deliver, or null.</param>
/// <param name="End">The watch has ended, or null.</param>
/// <param name="Rests">Its owner is told when there is more; false: go on.</param>
internal readonly record struct WatchRead(WatchBatch? Batch, LoomException? End, bool Rests);
