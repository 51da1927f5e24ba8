using Loom.Raft.Consensus;
#if LOOM_MUTATIONS
using Loom.Raft.Diagnostics;
#endif

namespace Loom.Raft.Replica;

/// <summary>
/// How far the log may be cut after a checkpoint. Never above the checkpoint before it, to which this member may have to fall back (L9). A tail stays for members that are a little behind,
/// and a leader keeps what members that it hears still lack, each up to a bound in bytes; beyond that a snapshot is the shorter way. While a member collects one, the log is kept from there on (S4).
/// A pure policy: it only says an index.
/// </summary>
internal sealed class LogRetention(ReplicaOptions options)
{
    /// <summary>A member that is silent for longer is not waited for.</summary>
    private long Patience => 10 * options.ElectionTimeout;

    /// <summary>The index up to which entries may leave; the log's base if none may.</summary>
    /// <param name="now">The monotonic clock.</param>
    /// <param name="previous">Index of the checkpoint before the newest.</param>
    /// <param name="applied">Everything up to here is applied here.</param>
    /// <param name="log">The log.</param>
    /// <param name="peers">On a leader: the others. Elsewhere empty.</param>
    /// <param name="pinned">The least index that a member collecting a snapshot was told; long.MaxValue: nobody is.</param>
    public long Limit(long now, long previous, long applied, IReplicaLog log, IReadOnlyList<PeerView> peers, long pinned)
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L9-truncate-above-previous-manifest"))
            return Math.Max(log.BaseIndex, applied);
#endif
        var limit = Math.Min(previous, Tail(previous, applied, log));
        for (var i = 0; i < peers.Count; i++)
        {
            if (now - peers[i].LastHeard <= Patience && !peers[i].NeedsSnapshot)
            {
                // Of one that is still probed nothing is known yet: it may need everything.
                limit = Keep(limit, peers[i].Replicating ? peers[i].Match : log.BaseIndex, log, options.MaxRetainedBytes);
            }
        }

        limit = Keep(limit, pinned, log, options.MaxPinnedBytes);
        return Math.Max(log.BaseIndex, limit);
    }

    private static long Keep(long limit, long from, IReplicaLog log, long maxBytes) =>
        from < limit && from >= log.BaseIndex && log.BytesAbove(from) <= maxBytes ? from : limit;

    /// <summary>Large entries: fewer of them stay, as many as the bound in bytes allows.</summary>
    private long Tail(long previous, long applied, IReplicaLog log)
    {
        var low = Math.Max(log.BaseIndex, applied - options.SnapshotCatchUpEntries);
        var high = Math.Max(low, previous);
        while (low < high && log.BytesAbove(low) > options.SnapshotCatchUpBytes)
        {
            var middle = low + ((high - low) / 2);
            if (log.BytesAbove(middle) > options.SnapshotCatchUpBytes)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
