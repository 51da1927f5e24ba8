using Loom.Raft.Consensus;
using Loom.Raft.Proposals;

namespace Loom.Raft.Replica;

/// <summary>
/// A collected snapshot on its way into this replica (S3): first its place in the log, flushed; then, behind the works that are out, the applier switches to it. One at a time.
/// From its place in the log on nothing is handed to the applier (the log begins after what it holds), and whatever happens the installation is not thrown away:
/// a process that ends between the flush and the switch finds it at its next start and finishes it.
/// </summary>
internal sealed class StateSwitch(ReplicaOptions options, IReplicaLog log, HandOver handOver, ReplicaEffects effects)
{
    private SnapshotCollected? placed;
    private long sequence;
    private SessionInquiry? asked;

    /// <summary>A snapshot has its place in the log, and the applier has not switched to it yet.</summary>
    public bool IsUnderWay => placed is not null;

    /// <summary>
    /// The least index of a snapshot that this replica needs; null: none. The leader says so, or the state here ends before the log begins (it was damaged, and given up), or it is wrong (S5).
    /// </summary>
    public long? Wanted(long neededByCore, bool isQuarantined)
    {
        if (IsUnderWay)
        {
            return null;
        }

        var neededHere = handOver.HandedOver < log.BaseIndex ? log.BaseIndex : isQuarantined ? handOver.HandedOver + 1 : 0;
        var needed = Math.Max(neededByCore, neededHere);
        return needed == 0 ? null : needed;
    }

    /// <summary>What to step the core with; null: it was discarded, or its place is in the log already.</summary>
    public InstallSnapshot? Judge(SnapshotCollected collected, long? wanted, bool closing)
    {
        var at = collected.Manifest.At;
        long clusterTime = 0;
        try
        {
            clusterTime = AppliedSection.ClusterTimeOf(at.Section.Span);
        }
        catch (RaftException unusable)
        {
            Discard(collected, unusable.Message);
            return null;
        }

        var refusal = closing ? "this member is closing"
            : IsUnderWay ? "another one is being installed"
            : collected.Manifest.ClusterId != options.ClusterId ? $"it is of cluster {collected.Manifest.ClusterId:x}"
            : wanted is not { } least ? "none is needed any more"
            : at.Index < least ? $"it ends at entry {at.Index}, and only one from entry {least} on helps"
            : at.Index <= handOver.HandedOver ? $"it ends at entry {at.Index}, and entry {handOver.HandedOver} is applied here"
            : null;
        if (refusal is not null)
        {
            Discard(collected, refusal);
            return null;
        }

        if (at.Index == log.BaseIndex && at.Term == log.TermAt(at.Index))
        {
            Placed(collected);
            return null;
        }

        return new InstallSnapshot(at.Index, at.Term, collected.Manifest.Configuration, clusterTime, collected.Manifest.SourceTerm);
    }

    /// <summary>Its place is in the log, not flushed yet.</summary>
    public void Placed(SnapshotCollected collected)
    {
        placed = collected;
        sequence = log.WriteSequence;
    }

    public void Discard(SnapshotCollected collected, string reason) => effects.Discarded.Add(new DiscardedSnapshot(collected.Installation, reason));

    /// <summary>Hands it to the applier once the base record is flushed: before that a crash would bring the old log back, without the state that belongs to it.</summary>
    public void Advance(Proposer proposer)
    {
        if (placed is null || asked is not null || !IsFlushed())
        {
            return;
        }

        asked = proposer.Inquire();
        effects.Install = new InstallWork(placed.Manifest, placed.Installation, asked);
    }

    /// <summary>The applier switched. Returns what it was asked.</summary>
    public SessionInquiry Done()
    {
        var inquiry = asked ?? throw new InvalidOperationException("a state was installed that was not handed out");
        placed = null;
        asked = null;
        return inquiry;
    }

    private bool IsFlushed()
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("S3-switch-before-base-is-flushed"))
        {
            return true;
        }
#endif
        return sequence <= log.DurableSequence;
    }
}
