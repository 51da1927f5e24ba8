using Loom.Store.Model;

namespace Loom.Store.Hosting;

/// <summary>
/// The store that services get by injection. Services are made before the host has started and opened it, so this one stands for it from the first moment
/// and says so when it is called too early.
/// </summary>
internal sealed class HostedStore : ILoomStore
{
    private LoomStore? store;

    public LoomStatus Status => Store.Status;

    public LoomLeases Leases => Store.Leases;

    public LoomAuth Auth => Store.Auth;

    public ILoomStore As(LoomIdentity identity) => Store.As(identity);

    /// <summary>Status, or null while the store is not open.</summary>
    public LoomStatus? TryStatus => Volatile.Read(ref store)?.Status;

    private LoomStore Store => Volatile.Read(ref store)
        ?? throw new LoomException(LoomErrorCode.Stopped, "LOOM1010: the store is not open yet: the host opens it when it starts. Nothing was applied. Call it from a started service, not from a constructor.");

    public void Opened(LoomStore opened) => Volatile.Write(ref store, opened);

    public ValueTask<Revision> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0, CancellationToken cancellationToken = default) => Store.PutAsync(key, value, lease, cancellationToken);

    public ValueTask<PutResult> PutAsync(PutOperation put, CancellationToken cancellationToken = default) => Store.PutAsync(put, cancellationToken);

    public ValueTask<DeleteResult> DeleteAsync(DeleteOperation delete, CancellationToken cancellationToken = default) => Store.DeleteAsync(delete, cancellationToken);

    public ValueTask<DeleteResult> DeleteAsync(KeyRange range, CancellationToken cancellationToken = default) => Store.DeleteAsync(range, cancellationToken);

    public ValueTask<TransactionResult> TransactAsync(Transaction transaction, ReadConsistency? readOnlyConsistency = null, CancellationToken cancellationToken = default) => Store.TransactAsync(transaction, readOnlyConsistency, cancellationToken);

    public ValueTask<TransactionResult> TransactAsync(Action<TransactionBuilder> build, CancellationToken cancellationToken = default) => Store.TransactAsync(build, cancellationToken);

    public KeyValue? Get(ReadOnlyMemory<byte> key) => Store.Get(key);

    public ValueTask<KeyValue?> GetAsync(ReadOnlyMemory<byte> key, ReadConsistency consistency, CancellationToken cancellationToken = default) => Store.GetAsync(key, consistency, cancellationToken);

    public RangeResult Range(RangeQuery query) => Store.Range(query);

    public ValueTask<RangeResult> RangeAsync(RangeQuery query, ReadConsistency consistency, CancellationToken cancellationToken = default) => Store.RangeAsync(query, consistency, cancellationToken);

    public ValueTask<Revision> CompactAsync(Revision revision, bool physical = false, CancellationToken cancellationToken = default) => Store.CompactAsync(revision, physical, cancellationToken);

    public ValueTask<HashResult> HashAsync(Revision revision = default, CancellationToken cancellationToken = default) => Store.HashAsync(revision, cancellationToken);

    public ValueTask TransferLeadershipAsync(ulong target = 0, CancellationToken cancellationToken = default) => Store.TransferLeadershipAsync(target, cancellationToken);

    public IAsyncEnumerable<WatchBatch> WatchAsync(KeyRange range, Revision from = default, CancellationToken cancellationToken = default) => Store.WatchAsync(range, from, cancellationToken);

    public IAsyncEnumerable<WatchBatch> WatchAsync(WatchQuery query, CancellationToken cancellationToken = default) => Store.WatchAsync(query, cancellationToken);

    public LoomWatchStream OpenWatches() => Store.OpenWatches();

    public ValueTask<Revision> ReadBarrierAsync(CancellationToken cancellationToken = default) => Store.ReadBarrierAsync(cancellationToken);

    public ValueTask<AlarmResult> RaiseAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) => Store.RaiseAlarmAsync(kind, member, cancellationToken);

    public ValueTask<AlarmResult> DisarmAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default) => Store.DisarmAlarmAsync(kind, member, cancellationToken);

    public ValueTask<LoomBackupStream> OpenBackupAsync(CancellationToken cancellationToken = default) => Store.OpenBackupAsync(cancellationToken);

    public ValueTask DisposeAsync() => Volatile.Read(ref store)?.DisposeAsync() ?? ValueTask.CompletedTask;
}
