using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;
using Loom.Raft.Replica;
using Loom.Raft.Threads;

namespace Loom.Raft.Host;

/// <summary>
/// Applies what the replica hands out, in order (N1): entries, and a state that replaces the present one (S3). Between two works it captures the state and takes checkpoints. What the machine throws means that this replica is broken (D8);
/// so does a checkpoint that fails, or that the disk does not finish (N3).
/// </summary>
internal sealed class ApplierThread
{
    /// <summary>A checkpoint that takes longer than this has a disk that will not finish it.</summary>
    private const long CheckpointPatience = 60_000_000_000;

    /// <summary>How often it is looked whether there is space to apply what waits (S6).</summary>
    private const long SpaceRetry = 100_000_000;

    private readonly Applier applier;
    private readonly CheckpointPace pace;
    private readonly Inbox inbox;
    private readonly RaftMetrics metrics;
    private readonly Func<long> now;
    private readonly Action<IStateInstallation> settled;
    private readonly Signal work = new();
    private readonly Queue<object> waiting = new();
    private readonly Thread thread;
    private readonly object checkpointGate = new();
    private long checkpointIndex;
    private long underWay;
    private long begunAt;
    private bool failed;
    private volatile bool stopping;

    /// <param name="applier">What it drives.</param>
    /// <param name="pace">When a checkpoint is due.</param>
    /// <param name="checkpointIndex">Index of the newest one.</param>
    /// <param name="inbox">Where results go.</param>
    /// <param name="metrics">Told how long each batch took.</param>
    /// <param name="now">The clock.</param>
    /// <param name="settled">Told of an installation that the machine has switched to, to dispose of it; must only signal.</param>
    /// <param name="newThread">Makes the thread.</param>
    public ApplierThread(
        Applier applier, CheckpointPace pace, long checkpointIndex, Inbox inbox, RaftMetrics metrics, Func<long> now, Action<IStateInstallation> settled, Func<string, Action, Thread> newThread)
    {
        this.applier = applier;
        this.pace = pace;
        this.checkpointIndex = checkpointIndex;
        this.inbox = inbox;
        this.metrics = metrics;
        this.now = now;
        this.settled = settled;
        thread = newThread("loom apply", Run);
    }

    public void Start() => thread.Start();

    /// <summary>Loop thread. Bounded by the replica, which hands out few works at a time.</summary>
    public void Give(ApplyWork next) => Enqueue(next);

    /// <summary>Loop thread. Bounded by who may ask: transfers and backups, two of each.</summary>
    public void Give(CaptureRequested next) => Enqueue(next);

    /// <summary>Loop thread. One at a time.</summary>
    public void Give(InstallWork next) => Enqueue(next);

    /// <summary>Finishes the work in hand and ends; what waits is applied after the next start. False: it is stuck in the machine.</summary>
    public bool Stop(TimeSpan limit)
    {
        stopping = true;
        if (thread.ThreadState.HasFlag(ThreadState.Unstarted)) return true;
        work.Set();
        bool ended = thread.Join(limit);
        RefuseCaptures();
        return ended;
    }

    /// <summary>
    /// After <see cref="Stop"/>, before the machine is closed: a checkpoint of what no checkpoint holds, so that the next start replays nothing. Not of a broken replica.
    /// False: it is not finished in time; the one before it stays in force.
    /// </summary>
    public bool CheckpointAtClose(TimeSpan limit)
    {
        long until = now() + (limit.Ticks * 100);
        // A state that waits to replace this one is finished by the next open; there is nothing to keep of the one before it.
        lock (waiting) if (waiting.Any(static next => next is InstallWork)) return true;
        if (failed) return true;
        if (!Settled(until)) return false;
        return failed || !pace.IsBehind || !Begin(now()) || Settled(until);
    }

    /// <summary>Nobody takes these any more, and who asked for them waits.</summary>
    private void RefuseCaptures()
    {
        CaptureRequested[] left;
        lock (waiting) left = [.. waiting.OfType<CaptureRequested>()];
        foreach (CaptureRequested capture in left) capture.Done(null);
    }

    private void Enqueue(object next)
    {
        lock (waiting) waiting.Enqueue(next);
        work.Set();
    }

    private void Run()
    {
        while (!stopping)
        {
            object? next;
            lock (waiting) _ = waiting.TryDequeue(out next);
            try
            {
                if (next is null) _ = work.Wait(1_000_000_000);
                else Do(next);
                if (!stopping) CheckpointIfDue(now());
            }
            catch (Exception e)
            {
                failed = true;
                inbox.Post(new ApplyFailed(e));
                RefuseCaptures();
                return;
            }
        }
    }

    private void Do(object next)
    {
        switch (next)
        {
            case ApplyWork entries:
                Apply(entries);
                break;
            case InstallWork state:
                Install(state);
                break;
            case CaptureRequested capture:
                inbox.Post(new StateCaptured(applier.Capture(), capture.Done));
                break;
        }
    }

    private void Apply(ApplyWork next)
    {
        while (Fitting(next) is { } part)
        {
            bool endsWork = part.Entries.Count == next.Entries.Count;
            Apply(part, endsWork);
            if (endsWork) return;
            (_, next) = next.SplitAt(part.Entries.Count);
        }
    }

    /// <summary>
    /// As much of a work, from its beginning, as there is space for (S6): its entries may have been applied one by one before, by the process whose log is replayed here.
    /// Null: there was none for a single entry, and the member closes.
    /// </summary>
    private ApplyWork? Fitting(ApplyWork next)
    {
        while (!applier.TryReserve(next, out string? obstacle))
        {
            if (next.Entries.Count == 1) return AwaitSpace(next, obstacle) ? next : null;
            (next, _) = next.SplitAt((next.Entries.Count + 1) / 2);
        }
        return next;
    }

    private void Apply(ApplyWork part, bool endsWork)
    {
        long bytes = 0;
        foreach (Entry entry in part.Entries) bytes += entry.Body.Length;
        long began = metrics.MeasuresApply ? now() : 0;
        inbox.Post(new BatchApplied(applier.ApplyBatch(part) with { EndsWork = endsWork }));
        if (began != 0) metrics.Applied(now() - began);
        pace.Applied(part.Entries.Count, bytes);
    }

    /// <summary>Before the first entry, not in the middle of one (S6). False: the member closes; what waits is applied after the next start.</summary>
    private bool AwaitSpace(ApplyWork next, string? obstacle)
    {
        inbox.Post(new ApplyPaused(obstacle));
        do
        {
            if (stopping) return false;
            _ = work.Wait(SpaceRetry);
            // Log and records shrink behind checkpoints, which is what gives space back.
            if (!stopping) CheckpointIfDue(now());
        }
        while (!applier.TryReserve(next, out _));
        inbox.Post(new ApplyPaused(null));
        return true;
    }

    /// <summary>What stops before the switch is finished by the next open: the place of the state in the log is flushed.</summary>
    private void Install(InstallWork state)
    {
        // The records that a checkpoint is being taken of go with the old state.
        for (long until = now() + CheckpointPatience; !Settled(now() + 100_000_000);)
        {
            if (stopping) return;
            if (now() > until) throw new IOException($"the checkpoint before the switch to the state of entry {state.Manifest.At.Index} is not on the disk after {CheckpointPatience / 1_000_000_000} s");
        }
        SnapshotInstalled installed = applier.Switch(state);
        lock (checkpointGate) checkpointIndex = installed.Opened.CheckpointIndex;
        pace.Begun(now());
        inbox.Post(installed);
        settled(state.Installation);
    }

    private void CheckpointIfDue(long at)
    {
        lock (checkpointGate)
        {
            if (underWay != 0)
            {
                if (at - begunAt > CheckpointPatience)
                    throw new IOException($"the checkpoint at entry {underWay} is not on the disk after {CheckpointPatience / 1_000_000_000} s");
                return;
            }
        }
        if (pace.IsDue(at) || (pace.MayBegin(at) && applier.WantsCheckpoint)) _ = Begin(at);
    }

    /// <summary>False: the machine did not begin one.</summary>
    private bool Begin(long at)
    {
        long index = applier.AppliedIndex;
        lock (checkpointGate)
        {
            underWay = index;
            begunAt = at;
        }
        if (applier.BeginCheckpoint(error => Completed(index, error)))
        {
            pace.Begun(at);
            return true;
        }
        lock (checkpointGate) underWay = 0;
        return false;
    }

    /// <summary>Any thread.</summary>
    private void Completed(long index, Exception? error)
    {
        long previous;
        lock (checkpointGate)
        {
            previous = checkpointIndex;
            if (error is null) checkpointIndex = index;
            else if (!IsWithoutSpace(error)) failed = true;
            underWay = 0;
            Monitor.PulseAll(checkpointGate);
        }
        if (error is null) inbox.Post(new CheckpointTaken(index, previous));
        // Without space the checkpoint before stays in force, and the log that is needed from there; the next one is due as if this one had been taken.
        else if (!IsWithoutSpace(error)) inbox.Post(new HostFailed(error));
    }

    private static bool IsWithoutSpace(Exception error) => error is RaftException { Code: RaftErrorCode.NoSpace };

    private bool Settled(long until)
    {
        lock (checkpointGate)
        {
            while (underWay != 0)
            {
                long left = until - now();
                if (left <= 0) return false;
                _ = Monitor.Wait(checkpointGate, (int)Math.Max(1, left / 1_000_000));
            }
            return true;
        }
    }
}
