using Loom.Raft.Consensus;
using Loom.Raft.Sessions;

namespace Loom.Raft.Replica;

/// <summary>
/// The port between consensus and what committed bytes mean. Loom.Raft calls it, always from one thread at a time (the applier's), in log order.
/// An exception out of any member means that this replica is broken: it stops and serves nothing more (D8). Refusals are outcomes.
/// </summary>
public interface IReplicatedStateMachine
{
    /// <summary>Called once, before everything else. Returns the index up to which the durable state is applied (0 = empty: the log is replayed from its start).</summary>
    long Open();

    /// <summary>
    /// Applies a batch of committed entries: decides, installs and publishes all of them before it returns. A pure function of (state, entries) (T4): the same on every replica.
    /// Fills one <see cref="ApplyResult"/> per entry. Nothing needs to be durable on return: the log holds the entries.
    /// Entries that need no apply (no-ops, configurations, repeats of a session) are not in the batch, so indexes may skip.
    /// </summary>
    void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results);

    /// <summary>Captures one consistent state for a snapshot (S2). The port is in place; its first use comes with checkpoints. May throw <see cref="NotSupportedException"/> until then.</summary>
    IStateSnapshot CaptureSnapshot();

    /// <summary>Replaces the whole state by a snapshot (S3). Comes with checkpoints; may throw <see cref="NotSupportedException"/> until then.</summary>
    void InstallSnapshot(IStateSnapshot snapshot);

    /// <summary>Called once, last.</summary>
    void Close();
}

/// <summary>A consistent state of the machine at one index, as opaque bytes.</summary>
public interface IStateSnapshot : IDisposable
{
    /// <summary>Index of the last entry it contains.</summary>
    long AppliedIndex { get; }

    /// <summary>Writes it as a stream of chunks.</summary>
    void WriteTo(Action<ReadOnlyMemory<byte>> chunk);
}

/// <summary>An entry that the machine must apply.</summary>
/// <param name="Index">Its index; grows strictly.</param>
/// <param name="Term">Its term.</param>
/// <param name="ClusterTime">Cluster time, ns since formation (T5): the only clock that apply may read.</param>
/// <param name="Kind">Command: no other kind is the machine's yet.</param>
/// <param name="Payload">The application's bytes, checksum verified. Valid as long as referenced; never changed.</param>
/// <param name="WantsResult">A caller on this replica waits, so fill <see cref="ApplyResult.Result"/>. Must not influence the state.</param>
public readonly record struct CommittedEntry(long Index, long Term, long ClusterTime, EntryKind Kind, ReadOnlyMemory<byte> Payload, bool WantsResult);

/// <summary>Result of applying one entry.</summary>
public struct ApplyResult
{
    /// <summary>The replicated outcome.</summary>
    public Outcome Outcome { get; set; }

    /// <summary>128-bit hash of (write batch, outcome), the same on every replica (S5).</summary>
    public UInt128 Hash { get; set; }

    /// <summary>The full answer for the caller on this replica, if <see cref="CommittedEntry.WantsResult"/>; never replicated.</summary>
    public object? Result { get; set; }
}
