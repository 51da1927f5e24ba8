using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Replica;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <content>
/// Closing (N5): stop intake, hand over, let running calls end, flush, close. One deadline for all of it, whatever hangs: half of the five seconds of N5 (connections
/// that hang in the kernel add their half second), because the other half belongs to who embeds the node.
/// </content>
internal sealed partial class ReplicaHost
{
    private const long CloseLimit = 2_200_000_000;
    private const long HandOverLimit = 1_000_000_000;
    private const long DrainLimit = 500_000_000;

    private long closeBy;

    /// <summary>What is left of the time to close; never nothing, so that a thread which only has to look up can still end.</summary>
    private TimeSpan Remaining => TimeSpan.FromTicks(Math.Max(100_000_000, closeBy - now()) / 100);

    private const int Running = 0;
    private const int Left = 1;
    private const int Abandoned = 2;

    private int loopExit = Running;

    /// <summary>Stops new calls, hands leadership over where there is someone to take it, and waits a moment for the calls that run.</summary>
    public async Task DrainAsync()
    {
        closeBy = now() + CloseLimit;
        if (!joined || failureSeen) return;
        Post(IntakeStopped.Instance);
        if (board.Status.Role == "leader" && board.Configuration.Voters.Count() > 1)
        {
            try
            {
                Call<bool> call = TransferCalls.Rent();
                Post(new TransferRequested(new TransferRequest(MemberId.None, now() + HandOverLimit, call)));
                // The loop answers at that time; only if the loop itself hangs does the wait end before the answer.
                _ = await call.Task.AsTask().WaitAsync(TimeSpan.FromTicks((HandOverLimit + HandOverLimit / 10) / 100)).ConfigureAwait(false);
            }
            catch (Exception e) when (e is RaftException or TimeoutException)
            {
                log.LogInformation("Leadership was not handed over: {Reason}", e.Message);
            }
        }
        long until = now() + DrainLimit;
        while (now() < until && ProposalCalls.Count + ReadCalls.Count > 0) await Task.Delay(5).ConfigureAwait(false);
    }

    /// <summary>Ends the threads and closes the files. Blocks; safe after a partial open.</summary>
    public void Dispose()
    {
        if (closeBy == 0) closeBy = now() + CloseLimit;
        if (joined) Post(Closing.Instance);
        stopping = true;
        wake.Set();
        bool loopEnded = loop.ThreadState.HasFlag(ThreadState.Unstarted) || loop.Join(Remaining);
        inbox.Close();
        Exception closed = CallErrors.Of(RaftErrorCode.Stopped, WriteOutcome.NotApplied);
        ProposalCalls.FailAll(CallErrors.Of(RaftErrorCode.Stopped, WriteOutcome.Unknown), closed);
        ReadCalls.FailAll(closed, closed);
        TransferCalls.FailAll(closed, closed);
        // Whatever the loop does: nobody shall take this member for alive, and its port is free for the next one.
        transport?.Dispose();
        board.Publish(board.Status with { Role = board.Status.Failure is null ? "stopped" : "failed" }, board.Configuration);
        if (loopEnded || Interlocked.Exchange(ref loopExit, Abandoned) == Left) Release();
        else log.LogError("The loop did not end in time; its files stay open and the directory stays locked until it does");
    }

    /// <summary>The loop's last act. If nobody waits for it any more, it closes what only it may still use.</summary>
    private void LeaveLoop()
    {
        if (Interlocked.CompareExchange(ref loopExit, Left, Running) != Abandoned) return;
        // Nobody waits any more, so the other threads may have their time.
        closeBy = now() + CloseLimit;
        Release();
        log.LogInformation("The loop has ended late; the files are closed");
    }

    /// <summary>Once; after the loop has ended, or if it never ran.</summary>
    private void Release()
    {
        transport?.Dispose();
        metrics.Dispose();
        bool written = writer?.Stop(Remaining) ?? true;
        bool applied = applier?.Stop(Remaining) ?? true;
        bool free = applied && (snapshots?.Stop(Remaining) ?? true);
        List<ReplicaEvent> left = inbox.TakeAll([]);
        Abandon(left);
        if (!written || !free) log.LogError("The {What} did not end in time; it is not closed and the directory stays locked", written ? "state machine" : "log writer");
        if (free && machineOpen)
        {
            if (applier is not null && !failureSeen && !applier.CheckpointAtClose(Remaining)) log.LogWarning("The last checkpoint was not finished in time: the next start replays the log from the one before");
            free = Guarded("state machine", machine.Close);
        }
        if (written && recovered is not null)
        {
            _ = Guarded("log", () =>
            {
                TakeLastBatch(left);
                FlushRest();
                recovered.Log.Dispose();
            });
        }
        // Whoever opens the directory next must not meet a thread of ours that still writes in it.
        if (written && free) directory.Dispose();
    }

    /// <summary>What came for the loop after its last turn and holds something of the machine.</summary>
    private void Abandon(List<ReplicaEvent> left)
    {
        foreach (ReplicaEvent one in left)
        {
            switch (one)
            {
                case CaptureRequested capture:
                    capture.Done(null);
                    break;
                case StateCaptured captured:
                    Guarded("captured state", () => captured.State?.Dispose());
                    captured.Done(null);
                    break;
                case SnapshotCollected collected:
                    Guarded("collected state", collected.Installation.Dispose);
                    break;
            }
        }
    }

    /// <summary>The batch that was out when the loop ended: its completion is in the inbox, where nobody takes it any more.</summary>
    private void TakeLastBatch(List<ReplicaEvent> left)
    {
        foreach (LogBatchCompleted completed in left.OfType<LogBatchCompleted>())
        {
            recovered!.Log.Completed(completed.Sequence, completed.Error);
            failureSeen |= completed.Error is not null;
        }
    }

    /// <summary>What the last steps appended; nobody was told about it, but a vote or an entry less to repeat is a quicker next start.</summary>
    private void FlushRest()
    {
        while (!failureSeen && recovered!.Log.TakeBatch() is { } batch)
        {
            try
            {
                batch.Write();
            }
            catch (NoSpaceException e)
            {
                log.LogWarning("The last entries were not written, there is no space: {Reason}", e.Message);
                return;
            }
            batch.Flush();
            recovered.Log.Completed(batch.Sequence, null);
        }
    }

    private bool Guarded(string what, Action close)
    {
        try
        {
            close();
            return true;
        }
        catch (Exception e)
        {
            log.LogError(e, "Closing the {What} failed", what);
            return false;
        }
    }
}
