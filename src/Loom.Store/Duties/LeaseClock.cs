using Loom.Raft;

namespace Loom.Store.Duties;

/// <summary>
/// Cluster time as well as this member can tell it, for answers only: nothing ends by it. The leader knows it (T5). Another member knows the last stamp in its log, and adds the time
/// since it first saw it, while it hears a leader; so it may be ahead by what the leader did not count, and behind by a quarter of a second.
/// </summary>
internal sealed class LeaseClock
{
    private readonly Lock gate = new();
    private long stamp = -1;
    private long seenAt;

    /// <param name="now">Monotonic, in milliseconds.</param>
    /// <param name="raft">The replica's status.</param>
    /// <returns>Cluster time in ns.</returns>
    public long Read(long now, RaftNodeStatus raft)
    {
        lock (gate)
        {
            if (raft.LogTime != stamp || raft.NoQuorum)
            {
                (stamp, seenAt) = (raft.LogTime, now);
            }

            bool leads = raft.Leader == raft.MemberId;
            return Math.Max(raft.ClusterTime, leads ? stamp : stamp + ((now - seenAt) * 1_000_000));
        }
    }
}
