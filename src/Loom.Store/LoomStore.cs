using System.Diagnostics;
using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Store.Applying;
using Loom.Store.Callers;
using Loom.Store.Commands;
using Loom.Store.Diagnostics;
using Loom.Store.Duties;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Passwords;
using Loom.Store.Reads;
using Loom.Store.Watch;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Store;

/// <summary>
/// A replica of the store inside this process. <c>OpenAsync</c> returns it ready; disposing hands leadership over, drains and closes within five seconds.
/// It only wires: what a call does is <see cref="CallerStore"/>'s, who may make it <see cref="CallerAccess"/>'s; here faults of the node become exceptions with a fix in the message.
/// </summary>
public sealed class LoomStore : ILoomStore
{
    private readonly IRaftNode node;
    private readonly LoomStateMachine machine;
    private readonly CallServices calls;
    private readonly CallerStore own;
    private readonly LeaseRenewals renewals;
    private readonly PasswordHashes passwords;
    private readonly LoomOptions options;
    private readonly SemaphoreSlim compactionBegan = new(0, 1);
    private readonly CancellationTokenSource closing = new();
    private readonly Task compacting;
    private readonly StoreDuties duties;
    private readonly WatchDispatcher watches;
    private readonly StoreMetrics? metrics;
    private readonly TimeProvider time;
    private int disposed;

    /// <param name="node">The replica.</param>
    /// <param name="machine">Its state.</param>
    /// <param name="options">Copied and checked by the caller.</param>
    /// <param name="freeDiskBytes">Free bytes of the data directory's file system; null: nothing is on a disk.</param>
    /// <param name="time">The clock of what is done by time; null: the system's.</param>
    /// <param name="metrics">Told of writes, and disposed of with the store; null: nobody asks.</param>
    internal LoomStore(IRaftNode node, LoomStateMachine machine, LoomOptions options, Func<long>? freeDiskBytes = null, TimeProvider? time = null, StoreMetrics? metrics = null)
    {
        this.metrics = metrics;
        this.node = node;
        this.machine = machine;
        this.options = options;
        time ??= TimeProvider.System;
        this.time = time;
        Reads = new LocalReads(machine);
        Hashes = new HashQueue(Reads);
        passwords = new PasswordHashes(options.PasswordCost);
        machine.CompactionBegan = SignalCompaction;
        compacting = CompactAsync(closing.Token);
        ILogger log = (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Store");
        duties = new StoreDuties(node, machine, options, ProposeCheckedAsync, freeDiskBytes, time, log);
        renewals = new LeaseRenewals(ProposeAsync);
        calls = new CallServices(
            machine, Check, ProposeAsync, WaitAsync, () => node.Status.AppliedIndex, () => (long)time.GetElapsedTime(0).TotalMilliseconds, (long)options.AuthTokenTimeToLive.TotalMilliseconds);
        own = new CallerStore(this, new CallerAccess(null, calls));
        watches = new WatchDispatcher(machine.Watches, () => node.Status.Failure, options.WatchProgressInterval, time, log);
        metrics?.Observe(() => Status);
    }

#if !LOOM_MUTATIONS // the simulator compiles neither Records/ nor the factory, and puts its stores together itself
    /// <summary>
    /// Opens this member's replica and replays what its log says to be committed. A cluster of one is ready for everything when this returns; a member of a larger
    /// cluster waits for its peers call by call, so members may be started in any order. One that was here before serves local reads at once; one that has no state yet, because its cluster has not formed or
    /// its directory was emptied, answers them with <see cref="LoomErrorCode.StateAwaited"/> until it has: <see cref="ReadBarrierAsync"/> waits for that, up to <see cref="LoomOptions.RequestTimeout"/>.
    /// </summary>
    /// <exception cref="LoomException"><see cref="LoomErrorCode.CannotOpen"/> or <see cref="LoomErrorCode.Corruption"/>; the message names all faults and what to do.</exception>
    public static ValueTask<LoomStore> OpenAsync(LoomOptions? options = null, CancellationToken cancellationToken = default) =>
        LoomStoreFactory.OpenAsync(options ?? new LoomOptions(), cancellationToken);
#endif

    /// <inheritdoc/>
    public LoomLeases Leases => own.Leases;

    /// <inheritdoc/>
    public LoomAuth Auth => own.Auth;

    /// <inheritdoc/>
    public ILoomStore As(LoomIdentity identity)
    {
        ArgumentNullException.ThrowIfNull(identity);
        return new CallerStore(this, new CallerAccess(identity, calls));
    }

    /// <inheritdoc/>
    public LoomStatus Status
    {
        get
        {
            RaftNodeStatus raft = node.Status;
            StateGeneration state = machine.Current;
            StoreSizes sizes = state.Sizes;
            return new LoomStatus
            {
                Raft = raft,
                Configuration = node.Configuration,
                Revision = new Revision(state.Revision),
                CompactRevision = state.CompactRevision,
                Epoch = state.Epoch,
                Alarms = state.Alarms.All,
                SpaceRefusal = duties.Refusal,
                QuotaBytes = duties.QuotaBytes,
                DiskFreeBytes = duties.FreeBytes,
                Keys = state.Index.LiveKeys,
                Watches = machine.Watches.Count,
                SizeBytes = sizes.TotalBytes,
                SizeInUseBytes = sizes.InUseBytes,
                Placement = raft.Placement,
            };
        }
    }

    /// <inheritdoc/>
    public ValueTask<Revision> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0, CancellationToken cancellationToken = default) => own.PutAsync(key, value, lease, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<PutResult> PutAsync(PutOperation put, CancellationToken cancellationToken = default) => own.PutAsync(put, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<DeleteResult> DeleteAsync(DeleteOperation delete, CancellationToken cancellationToken = default) => own.DeleteAsync(delete, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<DeleteResult> DeleteAsync(KeyRange range, CancellationToken cancellationToken = default) => own.DeleteAsync(range, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TransactionResult> TransactAsync(Transaction transaction, ReadConsistency? readOnlyConsistency = null, CancellationToken cancellationToken = default) =>
        own.TransactAsync(transaction, readOnlyConsistency, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<TransactionResult> TransactAsync(Action<TransactionBuilder> build, CancellationToken cancellationToken = default) => own.TransactAsync(build, cancellationToken);

    /// <inheritdoc/>
    public KeyValue? Get(ReadOnlyMemory<byte> key) => own.Get(key);

    /// <inheritdoc/>
    public ValueTask<KeyValue?> GetAsync(ReadOnlyMemory<byte> key, ReadConsistency consistency, CancellationToken cancellationToken = default) => own.GetAsync(key, consistency, cancellationToken);

    /// <inheritdoc/>
    public RangeResult Range(RangeQuery query) => own.Range(query);

    /// <inheritdoc/>
    public ValueTask<RangeResult> RangeAsync(RangeQuery query, ReadConsistency consistency, CancellationToken cancellationToken = default) => own.RangeAsync(query, consistency, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<Revision> CompactAsync(Revision revision, bool physical = false, CancellationToken cancellationToken = default) => own.CompactAsync(revision, physical, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<HashResult> HashAsync(Revision revision = default, CancellationToken cancellationToken = default) => own.HashAsync(revision, cancellationToken);

    /// <inheritdoc/>
    public ValueTask TransferLeadershipAsync(ulong target = 0, CancellationToken cancellationToken = default) => own.TransferLeadershipAsync(target, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<AlarmResult> RaiseAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) => own.RaiseAlarmAsync(kind, member, cancellationToken);

    /// <inheritdoc/>
    public ValueTask<AlarmResult> DisarmAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) => own.DisarmAlarmAsync(kind, member, cancellationToken);

    /// <inheritdoc/>
    public IAsyncEnumerable<WatchBatch> WatchAsync(KeyRange range, Revision from = default, CancellationToken cancellationToken = default) => own.WatchAsync(range, from, cancellationToken);

    /// <inheritdoc/>
    public IAsyncEnumerable<WatchBatch> WatchAsync(WatchQuery query, CancellationToken cancellationToken = default) => own.WatchAsync(query, cancellationToken);

    /// <inheritdoc/>
    public LoomWatchStream OpenWatches() => own.OpenWatches();

    /// <inheritdoc/>
    public ValueTask<Revision> ReadBarrierAsync(CancellationToken cancellationToken = default) => own.ReadBarrierAsync(cancellationToken);

    /// <inheritdoc/>
    public ValueTask<LoomBackupStream> OpenBackupAsync(CancellationToken cancellationToken = default) => own.OpenBackupAsync(cancellationToken);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }

        await closing.CancelAsync().ConfigureAwait(false);
        await compacting.ConfigureAwait(false);
        await watches.DisposeAsync().ConfigureAwait(false);
        await duties.DisposeAsync().ConfigureAwait(false);

        // Before the records go that it reads. They go when the node closes the machine, and only if its applier has ended by then: nothing is freed here.
        await Hashes.DisposeAsync().ConfigureAwait(false);
        await node.DisposeAsync().ConfigureAwait(false);
        metrics?.Dispose();
        machine.Waiters.Close();
        closing.Dispose();
        compactionBegan.Dispose();
    }

    private const int TrimBudget = 1024;

    internal LoomStateMachine Machine => machine;

    internal LocalReads Reads { get; }

    internal HashQueue Hashes { get; }

    internal LoomLeases LeasesOf(CallerAccess access) => new(machine, options.ElectionTimeout, access, renewals, () => duties.ClusterTime);

    internal LoomAuth AuthOf(CallerAccess access) => new(machine, access, passwords);

    internal async ValueTask HandOverAsync(ulong target, CancellationToken cancellationToken)
    {
        try
        {
            await node.TransferLeadershipAsync(new MemberId(target), cancellationToken).ConfigureAwait(false);
        }
        catch (RaftException exception)
        {
            throw Faults.Translate(exception, isWrite: false, cancellationToken);
        }
    }

    internal async ValueTask<LoomBackupStream> CaptureAsync(CancellationToken cancellationToken)
    {
        // A state that was found to differ is no backup (S5), nor is one that is still to come (S4).
        _ = machine.Serving;
        try
        {
            return new LoomBackupStream(await node.CaptureSnapshotAsync(cancellationToken).ConfigureAwait(false));
        }
        catch (RaftException exception)
        {
            throw Faults.Translate(exception, isWrite: false, cancellationToken);
        }
    }

    private void Check(Command command)
    {
        ThrowIfClosed();
        if (RequestChecks.Check(command) is { } fault)
        {
            throw Refusals.ToException(fault);
        }
    }

    /// <summary>Proposes a command that was checked and permitted, if there is space and no alarm stops it.</summary>
    private async ValueTask<ProposalResult> ProposeAsync(Command command, CancellationToken cancellationToken)
    {
        if (SpaceCost.Of(command) is > 0 and long cost)
        {
            await RequireSpaceAsync(cost).ConfigureAwait(false);
        }

        if (AlarmRule.Stops(machine.Alarms, command) != 0)
        {
            // It may have been disarmed where the caller comes from: asked through the quorum, which costs the log nothing, the answer is as good as that of an entry.
            await WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            LoomErrorCode stop = AlarmRule.Stops(machine.Alarms, command);
            if (stop != 0)
            {
                throw Refusals.ToException(stop);
            }
        }

        return await ProposeCheckedAsync(command, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Before the log gets longer by a put (S6): the disks, then the quota. An alarm stops it in apply all the same, wherever it was proposed (T4).</summary>
    private async ValueTask RequireSpaceAsync(long cost)
    {
        if (duties.Refusal is { } refusal)
        {
            throw Faults.NoDisk(refusal);
        }

        if (!duties.PassesQuota(cost))
        {
            await duties.RaiseQuotaAlarmAsync().ConfigureAwait(false);
            throw Faults.QuotaReached(machine.Current.Sizes.InUseBytes, duties.QuotaBytes);
        }
    }

    private async ValueTask<ProposalResult> ProposeCheckedAsync(Command command, CancellationToken cancellationToken)
    {
        byte[] payload = CommandWriter.Encode(command);
        if (payload.Length > options.MaxRequestBytes)
        {
            throw Faults.TooLarge(payload.Length, options.MaxRequestBytes);
        }

        using Activity? activity = StoreMetrics.Activities.StartActivity("loom.write");
        _ = activity?.SetTag("loom.command", command.GetType().Name);
        long began = metrics?.MeasuresWrites == true ? time.GetTimestamp() : 0;
        ProposalResult answer;
        try
        {
            answer = await node.ProposeAsync(payload, isReserved: SpaceCost.Of(command) == 0, cancellationToken).ConfigureAwait(false);
        }
        catch (RaftException exception)
        {
            metrics?.Failed(exception.Outcome);
            _ = activity?.SetStatus(ActivityStatusCode.Error, exception.Message);
            throw Faults.Translate(exception, isWrite: true, cancellationToken);
        }

        if (began != 0)
        {
            metrics!.Written(time.GetElapsedTime(began));
        }

        return answer.Outcome.Code == 0 ? answer : throw Refusals.ToException((LoomErrorCode)answer.Outcome.Code);
    }

    /// <summary>Waits until a local read gives what the consistency promises.</summary>
    private async ValueTask WaitAsync(ReadConsistency consistency, CancellationToken cancellationToken)
    {
        ThrowIfClosed();
        if (consistency.IsLinearizable)
        {
            try
            {
                await node.ReadBarrierAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (RaftException exception)
            {
                throw Faults.Translate(exception, isWrite: false, cancellationToken);
            }
        }
        else if (!consistency.IsLocal && machine.Revision < consistency.MinimumRevision)
        {
            await WaitForRevisionAsync(consistency.MinimumRevision, cancellationToken).ConfigureAwait(false);
        }
    }

    private async ValueTask WaitForRevisionAsync(long revision, CancellationToken cancellationToken)
    {
        RevisionWait wait = machine.Waiters.Wait(revision) ?? throw Faults.TooManyWaiters(RevisionWaiters.Limit);
        try
        {
            // It may have been published between the two looks, and then nobody releases this wait.
            if (machine.Revision < revision)
            {
                await wait.Task.WaitAsync(options.RequestTimeout, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (TimeoutException)
        {
            throw Faults.RevisionNotReached(revision, machine.Revision, options.RequestTimeout);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw Faults.Closed();
        }
        finally
        {
            machine.Waiters.Abandon(wait);
        }
    }

    private void SignalCompaction()
    {
        // The applier's thread, or that of whoever has read a snapshot: only a signal. One is enough: the pump runs until nothing is left.
        try
        {
            compactionBegan.Release();
        }
        catch (SemaphoreFullException)
        {
        }
    }

    private async Task CompactAsync(CancellationToken cancellationToken)
    {
        try
        {
            while (true)
            {
                await compactionBegan.WaitAsync(cancellationToken).ConfigureAwait(false);
                while (!cancellationToken.IsCancellationRequested && machine.TrimStep(TrimBudget))
                {
                    await Task.Yield();
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
#pragma warning disable CA1031 // Whatever it is, closing must go on to the node; the applier trims as well, and meets the same.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            ILogger log = (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Store");
            log.LogCritical(exception, "Trimming compacted keys failed and has ended on this member: its memory is no longer given back. Restart it: its state is rebuilt from the log.");
        }
    }

    internal void ThrowIfClosed()
    {
        if (Volatile.Read(ref disposed) != 0)
        {
            throw Faults.Closed();
        }
    }
}
