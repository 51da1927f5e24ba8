using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Threads;

namespace Loom.Raft.Host;

/// <summary>
/// Applies what the replica hands out, in order (N1), and captures the state and takes checkpoints between two works. What the machine throws means that this replica is broken (D8);
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
    private readonly Func<long> now;
    private readonly Signal work = new();
    private readonly Queue<object> waiting = new();
    private readonly Thread thread;
    private readonly object checkpointGate = new();
    private long checkpointIndex;
    private long underWay;
    private long begunAt;
    private bool failed;
    private volatile bool stopping;

    public ApplierThread(Applier applier, CheckpointPace pace, long checkpointIndex, Inbox inbox, Func<long> now, Func<string, Action, Thread> newThread)
    {
        this.applier = applier;
        this.pace = pace;
        this.checkpointIndex = checkpointIndex;
        this.inbox = inbox;
        this.now = now;
        thread = newThread("loom apply", Run);
    }

    public void Start() => thread.Start();

    /// <summary>Loop thread. Bounded by the replica, which hands out few works at a time.</summary>
    public void Give(ApplyWork next) => Enqueue(next);

    /// <summary>Loop thread. Bounded by who may ask: transfers and backups, two of each.</summary>
    public void Give(CaptureRequested next) => Enqueue(next);

    /// <summary>Finishes the work in hand and ends; what waits is applied after the next start. False: it is stuck in the machine.</summary>
    public bool Stop(TimeSpan limit)
    {
        stopping = true;
        if (thread.ThreadState.HasFlag(ThreadState.Unstarted)) return true;
        work.Set();
        return thread.Join(limit);
    }

    /// <summary>
    /// After <see cref="Stop"/>, before the machine is closed: a checkpoint of what no checkpoint holds, so that the next start replays nothing. Not of a broken replica.
    /// False: it is not finished in time; the one before it stays in force.
    /// </summary>
    public bool CheckpointAtClose(TimeSpan limit)
    {
        long until = now() + (limit.Ticks * 100);
        if (failed) return true;
        if (!Settled(until)) return false;
        return failed || !pace.IsBehind || !Begin(now()) || Settled(until);
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
                else if (next is CaptureRequested capture) inbox.Post(new StateCaptured(applier.Capture(), capture.Done));
                else Apply((ApplyWork)next);
                if (!stopping) CheckpointIfDue(now());
            }
            catch (Exception e)
            {
                failed = true;
                inbox.Post(new ApplyFailed(e));
                return;
            }
        }
    }

    private void Apply(ApplyWork next)
    {
        long bytes = 0;
        foreach (Entry entry in next.Entries) bytes += entry.Body.Length;
        if (!AwaitSpace(bytes)) return;
        inbox.Post(new BatchApplied(applier.ApplyBatch(next)));
        pace.Applied(next.Entries.Count, bytes);
    }

    /// <summary>Before the first entry, not in the middle of one (S6). False: the member closes; what waits is applied after the next start.</summary>
    private bool AwaitSpace(long bytes)
    {
        bool paused = false;
        while (!applier.TryReserve(bytes, out string? obstacle))
        {
            if (stopping) return false;
            if (!paused) inbox.Post(new ApplyPaused(obstacle));
            paused = true;
            _ = work.Wait(SpaceRetry);
        }
        if (paused) inbox.Post(new ApplyPaused(null));
        return true;
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
