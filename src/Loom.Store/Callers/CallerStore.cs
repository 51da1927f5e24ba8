using System.Runtime.CompilerServices;
using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Reads;
using Loom.Store.Watch;

namespace Loom.Store.Callers;

/// <summary>The calls of a store on somebody's behalf: commands become proposals here, and answers of the machine results. The store's own calls are those of the embedding process.</summary>
internal sealed class CallerStore : ILoomStore
{
    private const int TrimBudget = 1024;
    private static readonly TimeSpan TrimPause = TimeSpan.FromMilliseconds(20);

    private readonly LoomStore store;
    private readonly LoomStateMachine machine;
    private readonly CallerAccess access;
    private LoomLeases? leases;
    private LoomAuth? auth;

    public CallerStore(LoomStore store, CallerAccess access)
    {
        this.store = store;
        this.access = access;
        machine = store.Machine;
    }

    public LoomLeases Leases => leases ??= store.LeasesOf(access);

    public LoomAuth Auth => auth ??= store.AuthOf(access);

    public LoomStatus Status => store.Status;

    public ILoomStore As(LoomIdentity identity) => store.As(identity);

    public async ValueTask<Revision> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0, CancellationToken cancellationToken = default) =>
        (await PutAsync(new PutOperation(key, value) { Lease = lease }, cancellationToken).ConfigureAwait(false)).Revision;

    public async ValueTask<PutResult> PutAsync(PutOperation put, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(put);
        ProposalResult answer = await access.ProposeAsync(new PutCommand(put), cancellationToken).ConfigureAwait(false);
        return answer.Result as PutResult ?? new PutResult(new Revision(answer.Outcome.Revision), null, Deduplicated: true);
    }

    public async ValueTask<DeleteResult> DeleteAsync(DeleteOperation delete, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(delete);
        ProposalResult answer = await access.ProposeAsync(new DeleteCommand(delete), cancellationToken).ConfigureAwait(false);
        return answer.Result as DeleteResult ?? new DeleteResult(new Revision(answer.Outcome.Revision), answer.Outcome.Extra, [], Deduplicated: true);
    }

    public ValueTask<DeleteResult> DeleteAsync(KeyRange range, CancellationToken cancellationToken = default) => DeleteAsync(new DeleteOperation(range), cancellationToken);

    public async ValueTask<TransactionResult> TransactAsync(Transaction transaction, ReadConsistency? readOnlyConsistency = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(transaction);
        if (transaction.IsReadOnly)
        {
            ThrowIf(RequestChecks.Check(transaction));
            await access.WaitAsync(readOnlyConsistency ?? ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
            return Read(
                transaction,
                static (access, auth, transaction) => access.RequireRead(auth, transaction),
                static (reads, transaction) => reads.Transact(transaction, out TransactionResult? result) is var refusal && refusal == 0 ? result! : throw Refusals.ToException(refusal),
                static result => result.Revision);
        }

        ProposalResult answer = await access.ProposeAsync(new TransactionCommand(transaction), cancellationToken).ConfigureAwait(false);
        return answer.Result as TransactionResult
            ?? new TransactionResult(new Revision(answer.Outcome.Revision), answer.Outcome.Branch == 1, [], Deduplicated: true);
    }

    public ValueTask<TransactionResult> TransactAsync(Action<TransactionBuilder> build, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(build);
        var builder = new TransactionBuilder();
        build(builder);
        return TransactAsync(builder.Build(), null, cancellationToken);
    }

    public KeyValue? Get(ReadOnlyMemory<byte> key)
    {
        store.ThrowIfClosed();
        if (key.IsEmpty || key.Length > CommandLimits.MaxKeyBytes)
        {
            ThrowIf(RequestChecks.Check(new RangeQuery(KeyRange.Single(key))));
        }

        // With somebody to judge it takes the way on which the revision of what was read is known.
        return access.Trusts ? store.Reads.Get(key) : Range(new RangeQuery(KeyRange.Single(key))).Pairs is [{ } pair] ? pair : null;
    }

    public async ValueTask<KeyValue?> GetAsync(ReadOnlyMemory<byte> key, ReadConsistency consistency, CancellationToken cancellationToken = default)
    {
        await access.WaitAsync(consistency, cancellationToken).ConfigureAwait(false);
        return Get(key);
    }

    public RangeResult Range(RangeQuery query)
    {
        ArgumentNullException.ThrowIfNull(query);
        store.ThrowIfClosed();
        ThrowIf(RequestChecks.Check(query));
        return Read(
            query,
            static (access, auth, query) => access.RequireRead(auth, query.Range),
            static (reads, query) => reads.Range(query, out RangeResult? result) is var refusal && refusal == 0 ? result! : throw Refusals.ToException(refusal),
            static result => result.Revision);
    }

    public async ValueTask<RangeResult> RangeAsync(RangeQuery query, ReadConsistency consistency, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(query);
        ThrowIf(RequestChecks.Check(query));
        await access.WaitAsync(consistency, cancellationToken).ConfigureAwait(false);
        return Range(query);
    }

    public async ValueTask<Revision> CompactAsync(Revision revision, bool physical = false, CancellationToken cancellationToken = default)
    {
        ProposalResult answer = await access.ProposeAsync(new CompactCommand(revision.Number), cancellationToken).ConfigureAwait(false);
        if (physical)
        {
            // The store's pump trims as well; the steps exclude each other by the machine's lock. A snapshot that is being read holds both up.
            while (machine.TrimmedRevision < revision.Number)
            {
                store.ThrowIfClosed();
                cancellationToken.ThrowIfCancellationRequested();
                await (machine.TrimStep(TrimBudget) ? Task.CompletedTask : Task.Delay(TrimPause, cancellationToken)).ConfigureAwait(false);
                await Task.Yield();
            }
        }

        return new Revision(answer.Outcome.Revision);
    }

    public async ValueTask<HashResult> HashAsync(Revision revision = default, CancellationToken cancellationToken = default)
    {
        await CatchUpAsync(cancellationToken).ConfigureAwait(false);
        await access.RequireRootAsync(cancellationToken).ConfigureAwait(false);
        return await store.Hashes.RunAsync(revision.Number, cancellationToken).ConfigureAwait(false);
    }

    public async ValueTask TransferLeadershipAsync(ulong target = 0, CancellationToken cancellationToken = default)
    {
        store.ThrowIfClosed();
        if (!access.Trusts)
        {
            // It needs a quorum anyway, so who was root a moment ago is no more, also where that is not applied yet.
            await access.BarrierAsync(cancellationToken).ConfigureAwait(false);
            await access.RequireRootAsync(cancellationToken).ConfigureAwait(false);
        }

        await store.HandOverAsync(target, cancellationToken).ConfigureAwait(false);
    }

    public IAsyncEnumerable<WatchBatch> WatchAsync(KeyRange range, Revision from = default, CancellationToken cancellationToken = default) =>
        WatchAsync(new WatchQuery(range) { From = from }, cancellationToken);

    public IAsyncEnumerable<WatchBatch> WatchAsync(WatchQuery query, CancellationToken cancellationToken = default)
    {
        store.ThrowIfClosed();
        WatchChecks.Check(query);

        // What comes after the call belongs to it, whenever its reader begins to read.
        long now = machine.Serving.Revision;
        return ReadAsync(query.From.Number > 0 ? query : query with { From = new Revision(now + 1) }, cancellationToken);
    }

    public LoomWatchStream OpenWatches()
    {
        store.ThrowIfClosed();
        return new LoomWatchStream(machine.Watches, () => _ = machine.Serving, access.Trusts ? null : new CallerWatches(access));
    }

    public async ValueTask<Revision> ReadBarrierAsync(CancellationToken cancellationToken = default)
    {
        await access.WaitAsync(ReadConsistency.Linearizable, cancellationToken).ConfigureAwait(false);
        access.RequireUser();
        return new Revision(machine.Revision);
    }

    public ValueTask<AlarmResult> RaiseAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) =>
        AlarmAsync(new AlarmCommand(Raises: true, new Alarm(kind, member)), cancellationToken);

    public ValueTask<AlarmResult> DisarmAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) =>
        AlarmAsync(new AlarmCommand(Raises: false, new Alarm(kind, member)), cancellationToken);

    public async ValueTask<LoomBackupStream> OpenBackupAsync(CancellationToken cancellationToken = default)
    {
        await CatchUpAsync(cancellationToken).ConfigureAwait(false);
        await access.RequireRootAsync(cancellationToken).ConfigureAwait(false);
        return await store.CaptureAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>It is the store's, and stays.</summary>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>
    /// Lets users and roles be the newest before they judge, where there is a quorum; a member that is alone judges by what it has, as its backup must be had.
    /// </summary>
    private async ValueTask CatchUpAsync(CancellationToken cancellationToken)
    {
        store.ThrowIfClosed();
        if (access.Trusts || store.Status.Raft is { NoQuorum: true } or { Leader.IsNone: true })
        {
            return;
        }

        try
        {
            await access.BarrierAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (LoomException exception) when (exception.Code is LoomErrorCode.NoQuorum or LoomErrorCode.LeaderChanged or LoomErrorCode.DeadlineExceeded)
        {
        }
    }

    /// <summary>A read for whoever calls (A2): judged before, and by the newest users and roles after; begun again where those were not in force yet at what was read.</summary>
    private TResult Read<TQuery, TResult>(TQuery query, Action<CallerAccess, AuthState, TQuery> require, Func<LocalReads, TQuery, TResult> read, Func<TResult, Revision> revision)
    {
        for (int tries = 1; ; tries++)
        {
            PublishedAuth judged = access.Auth;
            require(access, judged.State, query);
            TResult result = read(store.Reads, query);

            // Users may have changed while it was read: the newest ones judge what it is now.
            PublishedAuth newest = access.Auth;
            if (!ReferenceEquals(newest, judged))
            {
                require(access, newest.State, query);
            }

            if (access.MayShow(newest, revision(result), tries))
            {
                return result;
            }
        }
    }

    private async IAsyncEnumerable<WatchBatch> ReadAsync(WatchQuery query, [EnumeratorCancellation] CancellationToken cancellationToken)
    {
        await access.WaitAsync(ReadConsistency.Local, cancellationToken).ConfigureAwait(false);
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
        ProposalResult answer = await access.ProposeAsync(command, cancellationToken).ConfigureAwait(false);
        return answer.Result as AlarmResult ?? new AlarmResult(new Revision(answer.Outcome.Revision), answer.Outcome.Extra == 0 ? null : command.Alarm);
    }

    private static void ThrowIf(Fault? fault)
    {
        if (fault is { } found)
        {
            throw Refusals.ToException(found);
        }
    }
}
