using System.Runtime.CompilerServices;
using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Duties;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Reads;
using Loom.Store.Watch;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;

namespace Loom.Store;

/// <summary>
/// A replica of the store inside this process. <c>OpenAsync</c> returns it ready; disposing hands leadership over, drains and closes within five seconds.
/// It only wires: commands become proposals here, answers of the machine become results, faults of the node become exceptions with a fix in the message.
/// </summary>
public sealed class LoomStore : ILoomStore
{
    private readonly IRaftNode node;
    private readonly LoomStateMachine machine;
    private readonly LocalReads reads;
    private readonly HashQueue hashes;
    private readonly LoomOptions options;
    private readonly SemaphoreSlim compactionBegan = new(0, 1);
    private readonly CancellationTokenSource closing = new();
    private readonly Task compacting;
    private readonly StoreDuties duties;
    private readonly WatchDispatcher watches;
    private int disposed;

    /// <param name="node">The replica.</param>
    /// <param name="machine">Its state.</param>
    /// <param name="options">Copied and checked by the caller.</param>
    /// <param name="freeDiskBytes">Free bytes of the data directory's file system; null: nothing is on a disk.</param>
    /// <param name="time">The clock of what is done by time; null: the system's.</param>
    internal LoomStore(IRaftNode node, LoomStateMachine machine, LoomOptions options, Func<long>? freeDiskBytes = null, TimeProvider? time = null)
    {
        this.node = node;
        this.machine = machine;
        this.options = options;
        reads = new LocalReads(machine);
        hashes = new HashQueue(reads);
        machine.CompactionBegan = SignalCompaction;
        compacting = CompactAsync(closing.Token);
        ILogger log = (options.LoggerFactory ?? NullLoggerFactory.Instance).CreateLogger("Loom.Store");
        duties = new StoreDuties(node, machine, options, ProposeCheckedAsync, freeDiskBytes, time ?? TimeProvider.System, log);
        Leases = new LoomLeases(machine, options.ElectionTimeout, ProposeAsync, ReadBarrierAsync, () => duties.ClusterTime);
        watches = new WatchDispatcher(machine.Watches, () => node.Status.Failure, options.WatchProgressInterval, time ?? TimeProvider.System, log);
    }

#if !LOOM_MUTATIONS // the simulator compiles neither Records/ nor the factory, and puts its stores together itself
    /// <summary>
    /// Opens this member's replica and replays what its log says to be committed. A cluster of one is ready for everything when this returns; a member of a larger
    /// cluster serves local reads then and waits for its peers call by call, so members may be started in any order.
    /// </summary>
    /// <exception cref="LoomException"><see cref="LoomErrorCode.CannotOpen"/> or <see cref="LoomErrorCode.Corruption"/>; the message names all faults and what to do.</exception>
    public static ValueTask<LoomStore> OpenAsync(LoomOptions? options = null, CancellationToken cancellationToken = default) =>
        LoomStoreFactory.OpenAsync(options ?? new LoomOptions(), cancellationToken);
#endif

    /// <inheritdoc/>
    public LoomLeases Leases { get; }

    /// <inheritdoc/>
    public ILoomStore As(LoomIdentity identity)
    {
        ArgumentNullException.ThrowIfNull(identity);

        // Authentication cannot be enabled yet, so every identity may do everything.
        return this;
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
    public async ValueTask<Revision> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0, CancellationToken cancellationToken = default) =>
        (await PutAsync(new PutOperation(key, value) { Lease = lease }, cancellationToken).ConfigureAwait(false)).Revision;

    /// <inheritdoc/>
    public async ValueTask<PutResult> PutAsync(PutOperation put, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(put);
        ProposalResult answer = await ProposeAsync(new PutCommand(put), cancellationToken).ConfigureAwait(false);
        return answer.Result as PutResult ?? new PutResult(new Revision(answer.Outcome.Revision), null, Deduplicated: true);
    }

    /// <inheritdoc/>
    public async ValueTask<DeleteResult> DeleteAsync(DeleteOperation delete, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(delete);
        ProposalResult answer = await ProposeAsync(new DeleteCommand(delete), cancellationToken).ConfigureAwait(false);
        return answer.Result as DeleteResult ?? new DeleteResult(new Revision(answer.Outcome.Revision), answer.Outcome.Extra, [], Deduplicated: true);
    }

    /// <inheritdoc/>
    public ValueTask<DeleteResult> DeleteAsync(KeyRange range, CancellationToken cancellationToken = default) =>
        DeleteAsync(new DeleteOperation(range), cancellationToken);

    /// <inheritdoc/>
    public async ValueTask<TransactionResult> TransactAsync(Transaction transaction, ReadConsistency? readOnlyConsistency = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        if (transaction.IsReadOnly)
        {
            ThrowIf(RequestChecks.Check(transaction));
            await WaitAsync(readOnlyConsistency ?? ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            LoomErrorCode refusal = reads.Transact(transaction, out TransactionResult? result);
            return refusal == 0 ? result! : throw Refusals.ToException(refusal);
        }

        ProposalResult answer = await ProposeAsync(new TransactionCommand(transaction), cancellationToken).ConfigureAwait(false);
        return answer.Result as TransactionResult
            ?? new TransactionResult(new Revision(answer.Outcome.Revision), answer.Outcome.Branch == 1, [], Deduplicated: true);
    }

    /// <inheritdoc/>
    public ValueTask<TransactionResult> TransactAsync(Action<TransactionBuilder> build, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(build);
        var builder = new TransactionBuilder();
        build(builder);
        return TransactAsync(builder.Build(), null, cancellationToken);
    }

    /// <inheritdoc/>
    public KeyValue? Get(ReadOnlyMemory<byte> key)
    {
        ThrowIfClosed();
        if (key.IsEmpty || key.Length > CommandLimits.MaxKeyBytes)
        {
            ThrowIf(RequestChecks.Check(new RangeQuery(KeyRange.Single(key))));
        }

        return reads.Get(key);
    }

    /// <inheritdoc/>
    public async ValueTask<KeyValue?> GetAsync(ReadOnlyMemory<byte> key, ReadConsistency consistency, CancellationToken cancellationToken = default)
    {
        await WaitAsync(consistency, cancellationToken).ConfigureAwait(false);
        return Get(key);
    }

    /// <inheritdoc/>
    public RangeResult Range(RangeQuery query)
    {
        ArgumentNullException.ThrowIfNull(query);
        ThrowIfClosed();
        ThrowIf(RequestChecks.Check(query));
        LoomErrorCode refusal = reads.Range(query, out RangeResult? result);
        return refusal == 0 ? result! : throw Refusals.ToException(refusal);
    }

    /// <inheritdoc/>
    public async ValueTask<RangeResult> RangeAsync(RangeQuery query, ReadConsistency consistency, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ThrowIf(RequestChecks.Check(query));
        await WaitAsync(consistency, cancellationToken).ConfigureAwait(false);
        return Range(query);
    }

    /// <inheritdoc/>
    public async ValueTask<Revision> CompactAsync(Revision revision, bool physical = false, CancellationToken cancellationToken = default)
    {
        ProposalResult answer = await ProposeAsync(new CompactCommand(revision.Number), cancellationToken).ConfigureAwait(false);
        if (physical)
        {
            // The pump below trims as well; the steps exclude each other by the machine's lock. A snapshot that is being read holds both up.
            while (machine.TrimmedRevision < revision.Number)
            {
                ThrowIfClosed();
                cancellationToken.ThrowIfCancellationRequested();
                await (machine.TrimStep(TrimBudget) ? Task.CompletedTask : Task.Delay(TrimPause, cancellationToken)).ConfigureAwait(false);
                await Task.Yield();
            }
        }

        return new Revision(answer.Outcome.Revision);
    }

    /// <inheritdoc/>
    public ValueTask<HashResult> HashAsync(Revision revision = default, CancellationToken cancellationToken = default)
    {
        ThrowIfClosed();
        return new ValueTask<HashResult>(hashes.RunAsync(revision.Number, cancellationToken));
    }

    /// <inheritdoc/>
    public async ValueTask TransferLeadershipAsync(ulong target = 0, CancellationToken cancellationToken = default)
    {
        ThrowIfClosed();
        try
        {
            await node.TransferLeadershipAsync(new MemberId(target), cancellationToken).ConfigureAwait(false);
        }
        catch (RaftException exception)
        {
            throw Faults.Translate(exception, isWrite: false, cancellationToken);
        }
    }

    /// <inheritdoc/>
    public ValueTask<AlarmResult> RaiseAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) =>
        AlarmAsync(new AlarmCommand(Raises: true, new Alarm(kind, member)), cancellationToken);

    /// <inheritdoc/>
    public ValueTask<AlarmResult> DisarmAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) =>
        AlarmAsync(new AlarmCommand(Raises: false, new Alarm(kind, member)), cancellationToken);

    /// <inheritdoc/>
    public IAsyncEnumerable<WatchBatch> WatchAsync(KeyRange range, Revision from = default, CancellationToken cancellationToken = default) =>
        WatchAsync(new WatchQuery(range) { From = from }, cancellationToken);

    /// <inheritdoc/>
    public IAsyncEnumerable<WatchBatch> WatchAsync(WatchQuery query, CancellationToken cancellationToken = default)
    {
        ThrowIfClosed();
        WatchChecks.Check(query);

        // What comes after the call belongs to it, whenever its reader begins to read.
        long now = machine.Serving.Revision;
        return ReadAsync(query.From.Number > 0 ? query : query with { From = new Revision(now + 1) }, cancellationToken);
    }

    /// <inheritdoc/>
    public LoomWatchStream OpenWatches()
    {
        ThrowIfClosed();
        return new LoomWatchStream(machine.Watches, () => _ = machine.Serving);
    }

    /// <inheritdoc/>
    public async ValueTask<Revision> ReadBarrierAsync(CancellationToken cancellationToken = default)
    {
        await WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        return new Revision(machine.Revision);
    }

    /// <inheritdoc/>
    public async ValueTask<LoomBackupStream> OpenBackupAsync(CancellationToken cancellationToken = default)
    {
        ThrowIfClosed();

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
        await hashes.DisposeAsync().ConfigureAwait(false);
        await node.DisposeAsync().ConfigureAwait(false);
        machine.Waiters.Close();
        closing.Dispose();
        compactionBegan.Dispose();
    }

    private const int TrimBudget = 1024;
    private static readonly TimeSpan TrimPause = TimeSpan.FromMilliseconds(20);

    private async IAsyncEnumerable<WatchBatch> ReadAsync(WatchQuery query, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await using LoomWatchStream stream = OpenWatches();
        stream.Add(0, query);
        while (await stream.WaitToReadAsync(cancellationToken).ConfigureAwait(false))
        {
            if (stream.TryRead(out WatchMessage? message))
            {
                yield return message!.Batch ?? throw message.End!;
            }
        }
    }

    private async ValueTask<AlarmResult> AlarmAsync(AlarmCommand command, CancellationToken cancellationToken)
    {
        ProposalResult answer = await ProposeAsync(command, cancellationToken).ConfigureAwait(false);
        return answer.Result as AlarmResult ?? new AlarmResult(new Revision(answer.Outcome.Revision), answer.Outcome.Extra == 0 ? null : command.Alarm);
    }

    private async ValueTask<ProposalResult> ProposeAsync(Command command, CancellationToken cancellationToken)
    {
        ThrowIfClosed();
        ThrowIf(RequestChecks.Check(command));
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

        ProposalResult answer;
        try
        {
            answer = await node.ProposeAsync(payload, isReserved: SpaceCost.Of(command) == 0, cancellationToken).ConfigureAwait(false);
        }
        catch (RaftException exception)
        {
            throw Faults.Translate(exception, isWrite: true, cancellationToken);
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

    private static void ThrowIf(Fault? fault)
    {
        if (fault is { } found)
        {
            throw Refusals.ToException(found);
        }
    }

    private void ThrowIfClosed()
    {
        if (Volatile.Read(ref disposed) != 0)
        {
            throw Faults.Closed();
        }
    }
}
