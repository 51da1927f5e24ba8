namespace Loom.Raft.Consensus;

internal enum RaftRole : byte { Follower, PreCandidate, Candidate, Leader }

/// <summary>Why a proposal was not appended. Refused before append: safe to say NotApplied (P3).</summary>
internal enum ProposalRefusal : byte { None, NotLeader, Overloaded, Transferring, Invalid }

/// <summary>Where a proposal went: (index, term) of its entry, or why it was refused.</summary>
internal readonly record struct ProposalAnswer(ulong Tag, ProposalRefusal Refusal, long Index, long Term);

/// <summary>The read index of a request, or a refusal (<paramref name="Index"/> = -1: no leader known, or leadership was lost; ask again).</summary>
internal readonly record struct ReadAnswer(ulong Context, long Index);

/// <summary>
/// What one Step asks its driver to do. Owned by the core, valid until its next Step. Appends and hard state already went to the
/// <see cref="IRaftLog"/> in order; what is here is what leaves the core.
/// </summary>
internal sealed class Output
{
    /// <summary>Send now: pre-votes, appends, heartbeats (L8: they promise nothing).</summary>
    public List<Message> Now { get; } = [];

    /// <summary>Send after everything written to the log so far is flushed (L8): votes, vote and append responses, anything in a term not yet on disk.
    /// The driver drops one whose Term is below the core's term when the flush completes.</summary>
    public List<Message> AfterFlush { get; } = [];

    public List<ProposalAnswer> Proposals { get; } = [];

    public List<ReadAnswer> Reads { get; } = [];

    /// <summary>Null, or the answer to a ProposeConfiguration of this step.</summary>
    public bool? ConfigurationAccepted { get; set; }

    /// <summary>Null, or the answer to an InstallSnapshot of this step: false, it is not needed here (any more).</summary>
    public bool? SnapshotAccepted { get; set; }

    /// <summary>S4: the least index of a snapshot that would help this member, whose log the leader's no longer reaches back to; 0: none is needed. Said in every step.</summary>
    public long SnapshotNeeded { get; set; }

    /// <summary>Commit index known here. Entries up to min(Commit, log.DurableIndex) may be applied (L9).</summary>
    public long Commit { get; set; }

    /// <summary>Absolute time (ns, monotonic) at which the core wants a Wake at the latest.</summary>
    public long NextDeadline { get; set; }

    /// <summary>Role, term or leader changed in this step.</summary>
    public bool StateChanged { get; set; }

    public void Clear()
    {
        Now.Clear();
        AfterFlush.Clear();
        Proposals.Clear();
        Reads.Clear();
        ConfigurationAccepted = null;
        SnapshotAccepted = null;
        StateChanged = false;
    }
}
