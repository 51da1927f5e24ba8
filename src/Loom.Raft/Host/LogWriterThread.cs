using Loom.Raft.Diagnostics;
using Loom.Raft.Log;
using Loom.Raft.Replica;
using Loom.Raft.Threads;

namespace Loom.Raft.Host;

/// <summary>
/// Writes and flushes one batch at a time (N1). The loop takes the batch and lends it here; the completion goes back through the inbox.
/// A second thread prepares segments ahead, so that zero-filling never stands between an append and its flush (L2).
/// </summary>
internal sealed class LogWriterThread
{
    /// <summary>How often a batch is tried again for which there was no space (S6).</summary>
    private const long SpaceRetry = 100_000_000;

    private readonly DurableLog log;
    private readonly Inbox inbox;
    private readonly RaftMetrics metrics;
    private readonly Signal work = new();
    private readonly Signal ahead = new();
    private readonly Thread writer;
    private readonly Thread preparer;
    private LogBatch? next;
    private volatile bool stopping;

    public LogWriterThread(DurableLog log, Inbox inbox, RaftMetrics metrics, Func<string, Action, Thread> newThread)
    {
        this.log = log;
        this.inbox = inbox;
        this.metrics = metrics;
        writer = newThread("loom log", Write);
        preparer = newThread("loom log ahead", Prepare);
    }

    public void Start()
    {
        writer.Start();
        preparer.Start();
    }

    /// <summary>Loop thread; only when no batch is out.</summary>
    public void Give(LogBatch batch)
    {
        Volatile.Write(ref next, batch);
        work.Set();
    }

    /// <summary>Finishes the batch that is out and ends.</summary>
    public bool Stop(TimeSpan limit)
    {
        stopping = true;
        if (writer.ThreadState.HasFlag(ThreadState.Unstarted)) return true;
        work.Set();
        ahead.Set();
        long until = MonotonicClock.Nanoseconds + limit.Ticks * 100;
        return writer.Join(limit) && preparer.Join((int)Math.Max(0, (until - MonotonicClock.Nanoseconds) / 1_000_000));
    }

    private void Write()
    {
        while (true)
        {
            LogBatch? batch = Interlocked.Exchange(ref next, null);
            if (batch is null)
            {
                if (stopping) return;
                _ = work.Wait(1_000_000_000);
                continue;
            }
            Exception? error = null;
            try
            {
                WriteWhenThereIsSpace(batch);
                Flush(batch);
            }
            catch (IOException e)
            {
                // The first one ends this member's life (L1); the replica says so, nobody tries again.
                error = e;
            }
            inbox.Post(new LogBatchCompleted(batch.Sequence, error));
            ahead.Set();
        }
    }

    private void Flush(LogBatch batch)
    {
        if (!metrics.MeasuresFlush)
        {
            batch.Flush();
            return;
        }
        long began = MonotonicClock.Nanoseconds;
        batch.Flush();
        metrics.Flushed(MonotonicClock.Nanoseconds - began);
    }

    /// <summary>A full disk is a pause, not an end: nothing was written, nothing is acknowledged, and the batch waits. Closing ends the wait; what was not written is then not in the log.</summary>
    private void WriteWhenThereIsSpace(LogBatch batch)
    {
        bool paused = false;
        while (true)
        {
            try
            {
                batch.Write();
                if (paused) inbox.Post(new LogPaused(null));
                return;
            }
            catch (NoSpaceException e) when (!stopping)
            {
                if (!paused) inbox.Post(new LogPaused(e.Message));
                paused = true;
                _ = work.Wait(SpaceRetry);
            }
        }
    }

    private void Prepare()
    {
        while (!stopping)
        {
            if (log.PrepareAhead()) continue;
            // Each batch wakes this thread, and none of them brings space.
            if (log.IsShortOfSpace) Thread.Sleep((int)(SpaceRetry / 1_000_000));
            else _ = ahead.Wait(10_000_000_000);
        }
    }
}
