namespace Loom.Raft.Replica;

/// <summary>
/// Applies committed entries in order: verifies, lets the sessions decide, hands the rest to the machine, folds the hash (S5).
/// Runs on the applier's thread in production and inline in the simulator; it shares nothing with the loop but the values it takes and gives.
/// </summary>
internal sealed class Applier(IReplicatedStateMachine machine)
{
    /// <summary>Opens the machine; call once, before everything else.</summary>
    public void Open() => AppliedIndex = machine.Open();

    /// <summary>Index of the last applied entry.</summary>
    public long AppliedIndex { get; private set; }

    /// <summary>Applies one work. An exception means that this replica is broken: report <see cref="ApplyFailed"/> (D8).</summary>
    public AppliedBatch ApplyBatch(ApplyWork work) => throw new NotSupportedException(work.ToString());
}
