using Loom.Raft;
using Loom.Store.Model;

namespace Loom.Store;

/// <summary>
/// A replica of one consistent, replicated key-value store. Every member of the cluster, standbys too, takes writes and serves reads in every mode.
/// Safe from any thread. Cancelling a call stops the waiting, not the write. Keys and values are not copied on the way in: do not change them while a call is under way.
/// </summary>
/// <remarks>
/// Durability: a write that returned is flushed on a majority of voters and applied here. Visibility: it is seen by every later linearizable read on every replica,
/// and by every read on this one. Errors: <see cref="LoomException"/>; its <see cref="LoomException.Outcome"/> says what is known of the write.
/// </remarks>
public interface ILoomStore : IAsyncDisposable
{
    /// <summary>Puts a value; returns its revision. With a lease the key is deleted when it ends (<see cref="Leases"/>); 0, the default: none. One that does not exist is refused (LeaseNotFound).</summary>
    ValueTask<Revision> PutAsync(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long lease = 0, CancellationToken cancellationToken = default);

    /// <summary>Put with every option; the answer may hold the previous pair.</summary>
    ValueTask<PutResult> PutAsync(PutOperation put, CancellationToken cancellationToken = default);

    /// <summary>Deletes a key or range; the answer says how many and, if asked, which.</summary>
    ValueTask<DeleteResult> DeleteAsync(DeleteOperation delete, CancellationToken cancellationToken = default);

    /// <summary>Deletes a key or range.</summary>
    ValueTask<DeleteResult> DeleteAsync(KeyRange range, CancellationToken cancellationToken = default);

    /// <summary>Runs a transaction. A read-only one takes no log entry and reads with the given consistency (default Linearizable).</summary>
    ValueTask<TransactionResult> TransactAsync(Transaction transaction, ReadConsistency? readOnlyConsistency = null, CancellationToken cancellationToken = default);

    /// <summary>Builds and runs a transaction: <c>t => t.When(Version(key) == 3).Put(key, v2).Otherwise().Get(key)</c>.</summary>
    ValueTask<TransactionResult> TransactAsync(Action<TransactionBuilder> build, CancellationToken cancellationToken = default);

    /// <summary>Reads this replica, now. Synchronous; a cold record costs a disk read.</summary>
    KeyValue? Get(ReadOnlyMemory<byte> key);

    /// <summary>Reads with the given consistency.</summary>
    ValueTask<KeyValue?> GetAsync(ReadOnlyMemory<byte> key, ReadConsistency consistency, CancellationToken cancellationToken = default);

    /// <summary>Range over this replica's applied state, now.</summary>
    RangeResult Range(RangeQuery query);

    /// <summary>Range with the given consistency.</summary>
    ValueTask<RangeResult> RangeAsync(RangeQuery query, ReadConsistency consistency, CancellationToken cancellationToken = default);

    /// <summary>
    /// Discards history up to a revision, as etcd's Compact. With <paramref name="physical"/> it waits until this replica's index has let go of it, so that its memory
    /// is free. In this version neither gives disk space back: records and log only grow until checkpoints exist. Returns the current revision.
    /// </summary>
    ValueTask<Revision> CompactAsync(Revision revision, bool physical = false, CancellationToken cancellationToken = default);

    /// <summary>
    /// etcd's HashKV over the history at a revision (0 = current), bit-identical to etcd's for the same history. It reads every record of this replica: one is computed
    /// at a time, others wait. Cancelling stops it, waiting or under way.
    /// </summary>
    ValueTask<HashResult> HashAsync(Revision revision = default, CancellationToken cancellationToken = default);

    /// <summary>
    /// Hands leadership to another voter (E6): the one with this id, or with 0 the one that holds most of the log. Only on the leader. Completes when another member
    /// leads; fails when it did not come to that within <see cref="LoomOptions.RequestTimeout"/>. Cancelling stops the waiting, not the hand-over.
    /// </summary>
    ValueTask TransferLeadershipAsync(ulong target = 0, CancellationToken cancellationToken = default);

    /// <summary>
    /// Watches a key or range on this replica: what was applied here from <paramref name="from"/> on, or after the call (0). See the other overload for what is promised.
    /// </summary>
    IAsyncEnumerable<WatchBatch> WatchAsync(KeyRange range, Revision from = default, CancellationToken cancellationToken = default);

    /// <summary>
    /// Watches this replica's applied state; any member serves it, standbys too, also while the cluster has no quorum. <b>Order</b>: events come in the order of their revisions, each once, and
    /// a revision whole, in one batch. <b>Completeness</b>: everything in the range from <see cref="WatchQuery.From"/> through <see cref="WatchBatch.Revision"/> has been delivered, whatever
    /// happened meanwhile to the leader, to this reader (it may be as slow as it likes, and delays nobody), or to the replica (which may have taken another one's state). <b>Resumption</b>:
    /// begin at <see cref="WatchBatch.Revision"/> + 1, on this member or another; it works as long as that is not compacted.
    /// </summary>
    /// <remarks>
    /// It never ends without a reason: <see cref="LoomException"/> with <see cref="LoomErrorCode.Compacted"/> or <see cref="LoomErrorCode.NewEpoch"/> (<see cref="WatchCompactedException"/>:
    /// read the keys again and begin after that revision), <see cref="LoomErrorCode.WatchLost"/> (what was delivered may have been wrong), <see cref="LoomErrorCode.Stopped"/> or
    /// <see cref="LoomErrorCode.Failed"/> (go on at another member); cancelling ends it with <see cref="OperationCanceledException"/>. A replica that is cut off delivers nothing until it is
    /// back: ask <see cref="WatchQuery.Progress"/> to tell silence from that.
    /// </remarks>
    /// <exception cref="LoomException">At once: the query can never work, or this member serves none.</exception>
    IAsyncEnumerable<WatchBatch> WatchAsync(WatchQuery query, CancellationToken cancellationToken = default);

    /// <summary>A stream for many watches with one reader. It costs a watch less than <see cref="WatchAsync(WatchQuery, CancellationToken)"/> does; the promises are the same.</summary>
    LoomWatchStream OpenWatches();

    /// <summary>Completes once this replica has applied everything committed before the call (R1), and returns its revision then: local reads after it are linearizable.</summary>
    ValueTask<Revision> ReadBarrierAsync(CancellationToken cancellationToken = default);

    /// <summary>
    /// Raises an alarm of a member, as an operator does: it stays until <see cref="DisarmAlarmAsync"/>, whatever becomes of its cause. One that is active already stays as it is.
    /// The active ones are in <see cref="LoomStatus.Alarms"/>. Admitted whatever alarm is active.
    /// </summary>
    ValueTask<AlarmResult> RaiseAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default);

    /// <summary>Disarms an alarm. If its cause is still there, the member raises it again.</summary>
    ValueTask<AlarmResult> DisarmAlarmAsync(AlarmKind kind, ulong member, CancellationToken cancellationToken = default);

    /// <summary>
    /// Begins a backup of this replica: everything that it has applied, at one revision, while it goes on. With <see cref="ReadBarrierAsync"/> before it, everything that was acknowledged
    /// until then is in it; without a quorum a member still gives what it has. Two at a time (Overloaded). Copy the stream to its end, and verify what was kept: <c>LoomBackup</c>.
    /// </summary>
    ValueTask<LoomBackupStream> OpenBackupAsync(CancellationToken cancellationToken = default);

    /// <summary>Leases: grant, renew, revoke, look. A key that is put with one is deleted when it ends.</summary>
    LoomLeases Leases { get; }

    /// <summary>Users, roles and tokens.</summary>
    LoomAuth Auth { get; }

    /// <summary>
    /// The same store as a caller may use it: every call on the view is made, and judged, as this identity (but for <see cref="Status"/>, which whoever serves it to a caller judges by <see cref="LoomAuth.RequireUserAsync"/>). It costs next to nothing and owns nothing: disposing of it does nothing. Make one per call or
    /// keep it, as you like.
    /// </summary>
    ILoomStore As(LoomIdentity identity);

    /// <summary>A consistent picture of this replica.</summary>
    LoomStatus Status { get; }
}

/// <summary>Answer to a hash.</summary>
/// <param name="Hash">crc32c as etcd computes it.</param>
/// <param name="CompactRevision">Compacted revision, -1 when never compacted.</param>
/// <param name="Revision">Current revision.</param>
/// <param name="HashRevision">The revision that was hashed.</param>
public sealed record HashResult(uint Hash, long CompactRevision, Revision Revision, long HashRevision);

/// <summary>State of a replica of the store.</summary>
public sealed record LoomStatus
{
    /// <summary>The consensus part.</summary>
    public required RaftNodeStatus Raft { get; init; }

    /// <summary>The configuration in force here: members, datacenters, roles.</summary>
    public required Raft.Membership.Configuration Configuration { get; init; }

    /// <summary>Current revision of this replica.</summary>
    public required Revision Revision { get; init; }

    /// <summary>Compacted revision, -1 when never compacted.</summary>
    public long CompactRevision { get; init; } = -1;

    /// <summary>How often this state was taken up again from a backup, in a new cluster: a revision that another epoch named is not of this history, even where the numbers fit.</summary>
    public long Epoch { get; init; }

    /// <summary>The alarms that are active, as applied here, by kind and member.</summary>
    public IReadOnlyList<Alarm> Alarms { get; init; } = [];

    /// <summary>Why puts are refused on this member, with <see cref="LoomErrorCode.NoSpace"/>, for the sake of disks; null: they are not. (An alarm may refuse them as well.)</summary>
    public string? SpaceRefusal { get; init; }

    /// <summary>Most bytes of state, compared with <see cref="SizeInUseBytes"/>; 0: no limit.</summary>
    public long QuotaBytes { get; init; }

    /// <summary>Free bytes of the data directory's file system; -1: not known.</summary>
    public long DiskFreeBytes { get; init; } = -1;

    /// <summary>Live keys.</summary>
    public long Keys { get; init; }

    /// <summary>Watches that are open on this member.</summary>
    public int Watches { get; init; }

    /// <summary>Bytes held by records.</summary>
    public long SizeBytes { get; init; }

    /// <summary>Bytes of live records.</summary>
    public long SizeInUseBytes { get; init; }

    /// <summary>What may be lost: "You can lose any one datacenter." (PlacementProof).</summary>
    public string Placement { get; init; } = "";
}
