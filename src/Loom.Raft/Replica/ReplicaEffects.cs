using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;

namespace Loom.Raft.Replica;

/// <summary>
/// What one Step asks its driver to do, in any order. Owned by the replica and overwritten by its next Step: take what you need before it.
/// Everything in it is permitted now: messages that wait for a flush (L8) and entries that are not durable here (L9) are held inside.
/// </summary>
internal sealed class ReplicaEffects
{
    /// <summary>Consensus messages for the control lanes, in order per peer.</summary>
    public List<Message> Control { get; } = [];

    /// <summary>Proposals and receipts for the forward lanes. A message for a peer without a connection is dropped: say <see cref="PeerDisconnected"/> once.</summary>
    public List<ForwardMessage> Forward { get; } = [];

    /// <summary>The log has something to write: take a batch, if none is being written.</summary>
    public bool LogWork { get; set; }

    /// <summary>Hand these to the applier, in order.</summary>
    public List<ApplyWork> Apply { get; } = [];

    /// <summary>Not null: hand it to the applier, behind <see cref="Apply"/>, and answer with what <see cref="Applier.Switch"/> returns.</summary>
    public InstallWork? Install { get; set; }

    /// <summary>Collected snapshots that are not installed, and why: dispose of them.</summary>
    public List<DiscardedSnapshot> Discarded { get; } = [];

    /// <summary><see cref="ReplicaCore.WantedSnapshot"/> changed.</summary>
    public bool SnapshotWanted { get; set; }

    /// <summary>Have the applier capture its state between two works, and answer each with a <see cref="StateCaptured"/>.</summary>
    public List<CaptureRequested> Captures { get; } = [];

    public List<ProposalCompletion> Proposals { get; } = [];

    public List<ReadCompletion> Reads { get; } = [];

    public List<TransferCompletion> Transfers { get; } = [];

    /// <summary>Absolute time (ns) of the next <see cref="Awake"/> at the latest.</summary>
    public long NextWake { get; set; }

    /// <summary>Role, term, leader or quorum changed: publish a new status.</summary>
    public bool StatusChanged { get; set; }

    /// <summary>This leader's own disk or applier hangs while the others go on: it is handing over (E8, N3). For the log.</summary>
    public bool Unfit { get; set; }

    /// <summary>Not null from the step on in which this replica failed (L1, D8, L10): it sends, writes and acknowledges nothing more.</summary>
    public Exception? Failure { get; set; }

    public void Clear()
    {
        Control.Clear();
        Forward.Clear();
        LogWork = false;
        Apply.Clear();
        Install = null;
        Discarded.Clear();
        SnapshotWanted = false;
        Captures.Clear();
        Proposals.Clear();
        Reads.Clear();
        Transfers.Clear();
        StatusChanged = false;
        Unfit = false;
    }
}

/// <summary>A collected snapshot that is not needed, or does not fit. For the log: <paramref name="Reason"/>.</summary>
internal readonly record struct DiscardedSnapshot(IStateInstallation Installation, string Reason);

/// <summary>A transfer ended: <paramref name="Error"/> is 0 when another member leads.</summary>
internal readonly record struct TransferCompletion(TransferRequest Request, RaftErrorCode Error);
