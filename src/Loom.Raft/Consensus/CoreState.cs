using Loom.Raft.Quorums;

namespace Loom.Raft.Consensus;

/// <summary>What all roles of a <see cref="RaftCore"/> share: term, vote, commit, configurations, log, and the output under construction.</summary>
internal sealed class CoreState(RaftCoreOptions options, IRaftLog log, HardState hardState, ConfigurationHistory configurations, ClusterTime clusterTime)
{
    public RaftCoreOptions Options { get; } = options;

    public LogView Log { get; } = new(log);

    public ConfigurationHistory Configurations { get; } = configurations;

    public ClusterTime ClusterTime { get; } = clusterTime;

    public SeededRandom Random { get; } = new(options.Seed);

    public Output Output { get; } = new();

    /// <summary>Time of the step under way (T1).</summary>
    public long Now { get; set; }

    public RaftRole Role { get; set; }

    public long Term { get; private set; } = hardState.Term;

    public MemberId Vote { get; private set; } = hardState.Vote;

    public MemberId Leader { get; set; }

    public long Commit { get; private set; }

    public bool MayVote { get; set; } = options.MayVote;

    /// <summary>See <see cref="RaftCore.LeaderHeardAt"/>.</summary>
    public long LeaderHeardAt { get; set; }

    /// <summary>The newest term that is surely flushed: a message of a later one waits for the flush (L8).</summary>
    public long TermOnDisk { get; set; } = hardState.Term;

    public MemberId Self => Options.Self;

    public CommitQuorum Quorum => Configurations.Quorum;

    public long ElectionTimeout => Options.ElectionTimeoutNanoseconds;

    /// <summary>A voter of the configuration in force that is not told to abstain (E1).</summary>
    public bool MayCampaign => MayVote && Quorum.IsVoter(Quorum.PositionOf(Self));

    /// <summary>Term and vote go to the log before any entry of that term, and before any message of it can leave (L8).</summary>
    public void SaveHardState(long term, MemberId vote)
    {
        if (term < Term || (term == Term && !Vote.IsNone && vote != Vote))
        {
#if LOOM_MUTATIONS
            if (!Diagnostics.Mutations.On("E3-two-votes-in-a-term"))
#endif
            throw new InvalidOperationException($"term {Term} with a vote for {Vote} cannot become term {term} with a vote for {vote}");
        }

        Term = term;
        Vote = vote;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E3-vote-not-saved"))
        {
            return;
        }
#endif
        Log.Log.SaveHardState(new HardState(term, vote));
    }

    /// <summary>Raises the commit index. True if it moved.</summary>
    public bool CommitTo(long index)
    {
        if (index <= Commit)
        {
            return false;
        }

        if (index > Log.LastIndex)
        {
            throw new InvalidOperationException($"commit index {index} is beyond the last index {Log.LastIndex}: this log lost entries");
        }

        Commit = index;
        Log.Log.SaveCommitHint(index);
        return true;
    }

    /// <summary>The log goes on from a snapshot (S3), above its base; what is in it is committed.</summary>
    public void Install(InstallSnapshot snapshot)
    {
        bool held = Log.Holds(snapshot.Index, snapshot.Term);
        if (!held && snapshot.Index <= Commit)
        {
            throw new InvalidOperationException($"the snapshot at {snapshot.Index} contradicts a committed entry (commit index {Commit})");
        }

        Log.Forget();
        Log.Log.Install(snapshot.Index, snapshot.Term, snapshot.Configuration, snapshot.ClusterTime);
        if (held)
        {
            Configurations.DropBelow(snapshot.Index);
        }
        else
        {
            Configurations.Restart(snapshot.Configuration);
            ClusterTime.Appended(snapshot.ClusterTime);
        }

        CommitTo(snapshot.Index);
    }

    /// <summary>Committed entries leave the log (L9).</summary>
    public void Truncate(long index)
    {
        if (index > Commit)
        {
            throw new InvalidOperationException($"entries up to {index} cannot leave the log: only {Commit} are committed");
        }

        Log.Log.TruncateBelow(index);
        Configurations.DropBelow(index);
    }

    /// <summary>At the start: the hint of the former life. It is true of a log that held it; entries beyond the log are not here to be committed.</summary>
    public void Recover(long commitHint) => Commit = Math.Max(Log.Log.BaseIndex, Math.Min(commitHint, Log.LastIndex));

    /// <summary>Sends a message that promises nothing: at once, unless its term is not on disk yet (L8).</summary>
    public void Send(Message message)
    {
        if (message.Term > TermOnDisk && message.Kind != MessageKind.PreVote && !(message.Kind == MessageKind.PreVoteResponse && !message.Reject))
        {
            Output.AfterFlush.Add(message);
        }
        else
        {
            Output.Now.Add(message);
        }
    }

    /// <summary>Sends a message that promises what was just written: after the flush (L8).</summary>
    public void SendAfterFlush(Message message)
    {
#if LOOM_MUTATIONS
        bool early = message.Kind switch
        {
            MessageKind.Vote => Diagnostics.Mutations.On("L8-candidacy-before-flush"),
            MessageKind.VoteResponse => Diagnostics.Mutations.On("L8-vote-before-flush"),
            MessageKind.AppendResponse => Diagnostics.Mutations.On("L8-ack-before-flush"),
            _ => false,
        };
        if (early)
        {
            Output.Now.Add(message);
            return;
        }
#endif
        Output.AfterFlush.Add(message);
    }

    /// <summary>An entry of the newest flushed term proves that the term itself is flushed: it stands before its entries in the one stream (L8).</summary>
    public void LogFlushed()
    {
        long durable = Log.Log.DurableIndex;
        if (TermOnDisk < Term && durable > Log.Log.BaseIndex)
        {
            TermOnDisk = Math.Max(TermOnDisk, Log.TermAt(durable));
        }
    }
}
