using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>
/// E8, N3: whether this replica should go on leading. A leader whose own flush hangs still sends heartbeats and lets the others commit, but applies nothing:
/// in the end its window is full and no write of the cluster goes through. So it hands over once the others hold, flushed, what it has not flushed for half an election timeout
/// (where all disks are slow alike nobody is better, and leadership stays), once its flushes have been four times slower than the quorum's for five seconds,
/// once its applier has been stuck for ten seconds, or at once when its state was found to be wrong (S5).
/// </summary>
internal sealed class Fitness(long electionTimeout)
{
    /// <summary>N3.</summary>
    private const long ApplyLimit = 10_000_000_000;

    private readonly StallWatch flush = new(electionTimeout / 2);
    private readonly StallWatch apply = new(ApplyLimit);
    private readonly FlushPace pace = new();
    private long askAgainAt;

    /// <summary>When to look again.</summary>
    public long NextLook { get; private set; } = long.MaxValue;

    /// <summary>True: hand over now. Says so again only after two election timeouts, for a hand-over may fail.</summary>
    public bool MustHandOver(long now, RaftCore core, IReplicaLog log, HandOver handOver, bool quarantined)
    {
        flush.Look(now, log.WriteSequence, log.DurableSequence);
        apply.Look(now, handOver.HandedOver, handOver.Applied);
        NextLook = long.MaxValue;
        if (core.Role != RaftRole.Leader)
        {
            pace.Clear();
            return false;
        }

        var behind = core.Commit > log.DurableIndex;
        if (quarantined || pace.IsSlow(now, log.LastIndex, core.Commit, log.DurableIndex) || (flush.IsOverdue(now) && behind) || apply.IsOverdue(now))
        {
            var ask = now >= askAgainAt && !core.Transferring;
            if (ask)
            {
                askAgainAt = now + (2 * electionTimeout);
            }

            NextLook = Math.Max(askAgainAt, now + (electionTimeout / 2));
            return ask;
        }

        // Overdue and not behind: the next event that moves the commit index looks again by itself.
        NextLook = Math.Min(After(flush.Deadline, now), After(apply.Deadline, now));
        return false;
    }

    private static long After(long deadline, long now) => deadline > now ? deadline : long.MaxValue;
}
