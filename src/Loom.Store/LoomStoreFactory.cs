using System.Numerics;
using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Diagnostics;
using Loom.Store.Mvcc;
using Loom.Store.Records;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Store;

/// <summary>
/// Puts a store together: the machine, its records on FASTER in <c>DataDirectory/records</c> (the newest checkpoint; what came after it is replayed from the log), and the node.
/// The records are opened by the machine, which the node opens after it has locked the directory: a second process must not touch the files of the first.
/// </summary>
internal static class LoomStoreFactory
{
    // An applier that pauses for less has found space, or takes less in at a time.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    public static async ValueTask<LoomStore> OpenAsync(LoomOptions options, CancellationToken cancellationToken)
    {
        LoomOptions copy = options.Copy();
        List<string> faults = copy.Faults();
        if (faults.Count > 0)
        {
            throw new LoomException(LoomErrorCode.CannotOpen, "LOOM1019: the options cannot be used. Nothing was opened. " + string.Join(" ", faults));
        }

        var machine = new LoomStateMachine(new KeyIndex(), Records(copy));
        RaftNode? node = null;
        try
        {
            node = await RaftNode.OpenAsync(copy.ToRaft(), machine, cancellationToken).ConfigureAwait(false);
            await WaitUntilReplayedAsync(node, cancellationToken).ConfigureAwait(false);
            if (copy.InitialCluster.Count <= 1 && node.Configuration.Members.Count <= 1)
            {
                await WaitUntilReadyAsync(node, cancellationToken).ConfigureAwait(false);
            }
            else
            {
                RaftNode opened = node;
                machine.HasState = () => HasState(opened.Status);
            }

            return new LoomStore(node, machine, copy, () => new DriveInfo(copy.DataDirectory).AvailableFreeSpace, metrics: new StoreMetrics(copy.Name));
        }
        catch (Exception exception)
        {
            if (node is not null)
            {
                await node.DisposeAsync().ConfigureAwait(false);
            }

            // The node has closed the machine, and with it the records, unless its applier hangs: then they stay.
            if (exception is RaftException fault)
            {
                throw Faults.Translate(fault, isWrite: false, cancellationToken);
            }

            throw;
        }
    }

    /// <summary>
    /// It has applied something, and is no newcomer that is still being filled. Asked until it is so once: a member that falls behind later, or stands still on a full disk, serves what it has, as stale as it is.
    /// </summary>
    private static bool HasState(RaftNodeStatus status) => status.AppliedIndex > 0 && status.Role != "learner";

    /// <summary>
    /// A member that was here before has applied again what it knew to be committed: a local read never shows the first entries of a log that is being replayed.
    /// The rest comes with the first word of a leader, which may have been heard already: it is not waited for.
    /// On a full disk it opens with what goes in (S6), once that is no more than a second before: the space of what the process before had applied is still taken, and the status says why there is no more.
    /// </summary>
    private static async Task WaitUntilReplayedAsync(RaftNode node, CancellationToken cancellationToken)
    {
        long known = node.RecoveredCommitIndex;
        long stoodAt = -1;
        while (true)
        {
            await node.WaitAsync(status => status.AppliedIndex >= known || status.ApplyPause is not null, cancellationToken).ConfigureAwait(false);
            RaftNodeStatus status = node.Status;
            if (status.AppliedIndex >= known || (status.ApplyPause is not null && status.AppliedIndex == stoodAt))
            {
                return;
            }

            stoodAt = status.AppliedIndex;
            await Task.Delay(Patience, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>
    /// A cluster of one is ready when it leads and has applied its whole log: then every call works, and reads miss nothing. On a full disk it opens without that, as a member of many does.
    /// </summary>
    private static async Task WaitUntilReadyAsync(RaftNode node, CancellationToken cancellationToken)
    {
        await node.WaitForLeaderAsync(cancellationToken).ConfigureAwait(false);
        while (true)
        {
            try
            {
                await node.ReadBarrierAsync(cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (RaftException fault) when (fault.Code == RaftErrorCode.DeadlineExceeded && !cancellationToken.IsCancellationRequested)
            {
                // Replaying a long log takes longer than a read may wait; only the caller's token limits an open.
                if (node.Status.ApplyPause is not null || node.Status.LogPause is not null)
                {
                    return;
                }
            }
        }
    }

    internal static RecordDirectory Records(LoomOptions options)
    {
        ILogger log = (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Store");
        return new RecordDirectory(
            Path.Combine(options.DataDirectory, "records"),
            new RecordStoreOptions { MemoryBytes = PowerOfTwo(options.RecordMemoryBytes), IndexBytes = PowerOfTwo(options.RecordIndexBytes), BeforeAllocate = options.BeforeAllocateRecords },
            fault => log.LogCritical(fault, "The record store has failed; this member serves nothing more. Mend the disk and restart it: it goes on from its last checkpoint and the log."),
            log);
    }

    private static long PowerOfTwo(long bytes) => 1L << BitOperations.Log2((ulong)bytes);
}
