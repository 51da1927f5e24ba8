using System.Diagnostics;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Watch;

/// <summary>
/// From the applier to the watchers. The applier only adds what it published to the recent revisions and signals; whoever drives the hub (<see cref="Dispatch"/>) hands each revision to the live
/// watchers that it concerns; a reader that is behind catches up by itself (<see cref="Catch"/>). So neither a slow watcher nor many of them delay the applier or each other.
/// </summary>
/// <remarks>
/// <code>
///   applier ── Stage, Publish ──► recent revisions ──┬── Dispatch ──► index of ranges ──► queues of live watchers ──► reader
///                                                    └── Catch, when it lacks something that is still there ─────────► reader
///   index and records (history) ──────────────────────── Catch, when it lacks something older ─────────────────────► reader
/// </code>
/// <c>dispatched</c> is the revision up to which every live watcher has been handed everything. A watcher becomes live when it lacks nothing up to there, asked under the lock under which the
/// next revision is handed out: so none is lost at the switch and none comes twice.
/// </remarks>
internal sealed partial class WatchHub
{
    /// <summary>Watches on one member; more are refused.</summary>
    public const int Limit = 1_000_000;

    private const int RecentPage = 256;

    private readonly Lock gate = new();
    private readonly WatchLimits limits;
    private readonly RecentRevisions recent;
    private readonly WatcherIndex live = new();
    private readonly List<Watcher> all = [];
    private readonly List<Watcher> matched = [];
    private readonly List<Watcher> touched = [];
    private readonly Stack<List<PublishedEvent>> lists = new();
    private readonly PublishedRevision[] one = new PublishedRevision[1];
    private readonly List<PublishedRevision> staged = [];
    private StateGeneration state;
    private long published;
    private int count;
    private long dispatched;
    private bool closed;

    public WatchHub(StateGeneration state, WatchLimits limits)
    {
        this.state = state;
        published = dispatched = state.Revision;
        this.limits = limits;
        recent = new RecentRevisions(limits.RecentRevisions, limits.RecentBytes);
    }

    /// <summary>Called when there is something to dispatch, on the applier's thread or on that of whoever begins a watch; must only signal.</summary>
    public Action? Published { get; set; }

    /// <summary>How many watches there are.</summary>
    public int Count => Volatile.Read(ref count);

    /// <summary>The applier: what an entry changes, before it is published.</summary>
    public void Stage(ReadOnlySpan<Change> changes)
    {
        if (changes.IsEmpty || !recent.Keeps)
        {
            return;
        }

        var events = new PublishedEvent[changes.Length];
        for (int i = 0; i < events.Length; i++)
        {
            events[i] = PublishedEvent.Copy(changes[i]);
        }

        staged.Add(new(changes[0].At.Main, events));
    }

    /// <summary>The applier, after the revision was published.</summary>
    public void Publish(long revision)
    {
        if (staged.Count > 0)
        {
            recent.Add(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(staged));
            staged.Clear();
        }

        if (revision != published)
        {
            Interlocked.Exchange(ref published, revision);
            if (recent.Keeps)
            {
                Published?.Invoke();
            }
        }
    }

    /// <summary>The applier: another state is in force. Watchers go on in its history, or are told why not.</summary>
    public void Replace(StateGeneration next)
    {
        List<Watcher> told = [];
        lock (gate)
        {
            bool isOther = next.Epoch != state.Epoch;
            long behind = dispatched + 1;
#if LOOM_MUTATIONS
            if (Raft.Diagnostics.Mutations.On("W3-skip-installed-history"))
            {
                behind = next.Revision + 1;
            }
#endif
            state = next;
            recent.Reset(next.Revision);
            staged.Clear();
            Volatile.Write(ref published, next.Revision);
            dispatched = next.Revision;
            FallBehind(behind, told);
            if (isOther)
            {
                told = [.. all];
            }

            foreach (Watcher watcher in isOther ? told : [])
            {
                watcher.EndWith(WatchEnds.NewEpoch(next.Epoch, next.CompactRevision));
            }
        }

        foreach (Watcher watcher in told)
        {
            watcher.Signal();
        }
    }

    /// <summary>What this member held was wrong (S5): nobody knows of what was delivered since when.</summary>
    public void Condemn() => EndAll(WatchEnds.Lost);

    /// <summary>This member applies nothing more.</summary>
    public void Fail(string why) => EndAll(() => WatchEnds.Failed(why));

    /// <summary>No watch lives longer, and none begins.</summary>
    public void Close()
    {
        lock (gate)
        {
            closed = true;
        }

        EndAll(Faults.Closed);
    }

    /// <summary>
    /// Begins a watch. Returns the revision of this replica at that moment: from 0 on it delivers everything above it. It may end at once; its owner is told of that like of everything else.
    /// </summary>
    public Revision Add(Watcher watcher)
    {
        Revision now;
        bool isLate;
        lock (gate)
        {
            if (closed)
            {
                throw Faults.Closed();
            }

            // Whoever condemns a state ends its watches under this lock afterwards (S5): one that came later would never be ended.
            if (state.IsCondemned)
            {
                throw Faults.Condemned();
            }

            if (state.IsAwaited)
            {
                throw Faults.StateAwaited();
            }

            if (all.Count >= Limit)
            {
                throw WatchEnds.TooMany(Limit);
            }

            // Its owner removed it, or was disposed of, before it came here: nobody would take it away again.
            if (watcher.End is { } end)
            {
                throw end;
            }

            // What is published from now on is kept. What an applier under way did not keep is read from the history.
            recent.Keeps = true;
            now = new(Math.Max(state.Revision, dispatched));
            watcher.Next = watcher.Query.From.Number > 0 ? watcher.Query.From.Number : now.Number + 1;
            watcher.PlaceInAll = all.Count;
            all.Add(watcher);
            Volatile.Write(ref count, all.Count);
            if (watcher.Next < state.CompactRevision)
            {
                watcher.EndWith(WatchEnds.Compacted(watcher.Next, state.CompactRevision));
            }
            else if (watcher.Next > dispatched)
            {
                Join(watcher);
            }
            else
            {
                watcher.Signal();
            }

            // Asked after it is known that somebody watches: either the applier sees that and signals, or what it published is seen here.
            Interlocked.MemoryBarrier();
            isLate = Volatile.Read(ref published) > dispatched;
        }

        if (isLate)
        {
            Published?.Invoke();
        }

        return now;
    }

    /// <summary>Ends a watch without a word.</summary>
    public void Remove(Watcher watcher)
    {
        lock (gate)
        {
            watcher.EndWith(Faults.Closed());
            Forget(watcher);
        }
    }

    /// <summary>Hands out up to so many revisions. False: nothing is left. Any thread.</summary>
    public bool Dispatch(int budget)
    {
        for (int i = 0; i < budget; i++)
        {
            lock (gate)
            {
                long newest = Volatile.Read(ref published);
                if (dispatched >= newest)
                {
                    return false;
                }

                if (recent.TryCopy(dispatched + 1, one, out _))
                {
                    HandOut(one[0]);
                    dispatched++;
                }
                else
                {
                    // The dispatcher was too late, or the revision is too large to be kept: whoever is concerned fetches it.
                    List<Watcher> told = [];
                    FallBehind(dispatched + 1, told);
                    dispatched = newest;
                    foreach (Watcher watcher in told)
                    {
                        watcher.Signal();
                    }
                }
            }
        }

        return true;
    }

    /// <summary>Marks progress for those who want it and have been quiet for so long. <paramref name="now"/>: ms of any clock that does not go back.</summary>
    public void MarkProgress(long now, Func<Watcher, long> interval)
    {
        lock (gate)
        {
            foreach (Watcher watcher in all)
            {
                if (!watcher.Query.Progress || !watcher.IsLive || watcher.Next > dispatched + 1)
                {
                    continue;
                }

                if (watcher.QuietSince == 0)
                {
                    watcher.QuietSince = now;
                }
                else if (now - watcher.QuietSince >= interval(watcher) && watcher.TryMark(dispatched))
                {
                    watcher.QuietSince = now;
                }
            }
        }
    }

    /// <summary>The revision through which all of these have been handed everything that they wanted; 0: one of them is behind, or waits for a later revision.</summary>
    public long Common(IEnumerable<Watcher> watchers)
    {
        lock (gate)
        {
            foreach (Watcher watcher in watchers)
            {
                if (!watcher.IsLive || watcher.Next > dispatched + 1)
                {
                    return 0;
                }
            }

            return dispatched;
        }
    }

    private void HandOut(PublishedRevision revision)
    {
        foreach (PublishedEvent change in revision.Events)
        {
            matched.Clear();
            live.Find(change.Key, matched);
            foreach (Watcher watcher in matched)
            {
                if (revision.Revision >= watcher.Next && watcher.Wants(change))
                {
                    Gather(watcher, change);
                }
            }
        }

        foreach (Watcher watcher in touched)
        {
            List<PublishedEvent> events = watcher.Gathered!;
            watcher.Gathered = null;
            PublishedRevision part = events.Count == revision.Events.Length ? revision : new(revision.Revision, [.. events]);
            Keep(events);
            watcher.QuietSince = 0;
            if (!watcher.TryPush(part, limits.Queued))
            {
#if LOOM_MUTATIONS
                if (Raft.Diagnostics.Mutations.On("W2-drop-when-full"))
                {
                    watcher.Lag(false);
                    continue;
                }
#endif
                live.Remove(watcher);
                watcher.Next = revision.Revision;
                watcher.Signal();
            }
        }

        touched.Clear();
    }

    private void Gather(Watcher watcher, PublishedEvent change)
    {
        if (watcher.Gathered is null)
        {
            watcher.Gathered = lists.Count > 0 ? lists.Pop() : [];
            touched.Add(watcher);
        }

        watcher.Gathered.Add(change);
    }

    private void Keep(List<PublishedEvent> events)
    {
        events.Clear();

        // One huge revision must not pin its memory for ever.
        if (events.Capacity <= 4096 && lists.Count < 1024)
        {
            lists.Push(events);
        }
    }

    /// <summary>No watcher is live any more; each lacks what comes from a revision on, unless it wanted to begin later.</summary>
    private void FallBehind(long from, List<Watcher> told)
    {
        live.CopyTo(told);
        foreach (Watcher watcher in told)
        {
            live.Remove(watcher);
            watcher.Lag(true);
            watcher.Next = Math.Max(watcher.Next, from);
            Debug.Assert(!watcher.IsLive, "it was taken out of the index");
        }
    }

    private void Join(Watcher watcher)
    {
        live.Add(watcher);
        watcher.Lag(false);
    }

    private void Forget(Watcher watcher)
    {
        if (watcher.PlaceInAll < 0)
        {
            return;
        }

        Watcher last = all[^1];
        all[watcher.PlaceInAll] = last;
        last.PlaceInAll = watcher.PlaceInAll;
        all.RemoveAt(all.Count - 1);
        watcher.PlaceInAll = -1;
        Volatile.Write(ref count, all.Count);
        if (watcher.IsLive)
        {
            live.Remove(watcher);
        }
    }

    private void EndAll(Func<LoomException> why)
    {
        lock (gate)
        {
            foreach (Watcher watcher in all)
            {
                watcher.EndWith(why());
            }
        }
    }
}
