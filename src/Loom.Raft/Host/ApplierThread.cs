using Loom.Raft.Replica;
using Loom.Raft.Threads;

namespace Loom.Raft.Host;

/// <summary>Applies what the replica hands out, in order (N1). What the machine throws means that this replica is broken (D8).</summary>
internal sealed class ApplierThread
{
    private readonly Applier applier;
    private readonly Inbox inbox;
    private readonly Signal work = new();
    private readonly Queue<ApplyWork> waiting = new();
    private readonly Thread thread;
    private volatile bool stopping;

    public ApplierThread(Applier applier, Inbox inbox, Func<string, Action, Thread> newThread)
    {
        this.applier = applier;
        this.inbox = inbox;
        thread = newThread("loom apply", Run);
    }

    public void Start() => thread.Start();

    /// <summary>Loop thread. Bounded by the replica, which hands out few works at a time.</summary>
    public void Give(ApplyWork next)
    {
        lock (waiting) waiting.Enqueue(next);
        work.Set();
    }

    /// <summary>Finishes the work in hand and ends; what waits is applied after the next start. False: it is stuck in the machine.</summary>
    public bool Stop(TimeSpan limit)
    {
        stopping = true;
        if (thread.ThreadState.HasFlag(ThreadState.Unstarted)) return true;
        work.Set();
        return thread.Join(limit);
    }

    private void Run()
    {
        while (!stopping)
        {
            ApplyWork? next;
            lock (waiting) _ = waiting.TryDequeue(out next);
            if (next is null)
            {
                _ = work.Wait(1_000_000_000);
                continue;
            }
            AppliedBatch batch;
            try
            {
                batch = applier.ApplyBatch(next);
            }
            catch (Exception e)
            {
                inbox.Post(new ApplyFailed(e));
                return;
            }
            inbox.Post(new BatchApplied(batch));
        }
    }
}
