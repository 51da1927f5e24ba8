using Loom.Raft.Consensus;
using Loom.Raft.Sessions;

namespace Loom.Raft.Replica;

/// <summary>
/// The port between consensus and what committed bytes mean. Loom.Raft calls it, always from one thread at a time (the applier's), in log order.
/// An exception out of any member means that this replica is broken: it stops and serves nothing more (D8). Refusals are outcomes.
/// </summary>
public interface IReplicatedStateMachine
{
    /// <summary>
    /// Called once, before everything else, before any thread of the replica runs. Opens the newest whole checkpoint (a bad one falls back to the one before it) and returns what it holds;
    /// null: the state is empty and the log is replayed from its start. Finishes or discards an installation that a crash interrupted (<see cref="StateOrigin.LogBase"/>).
    /// </summary>
    /// <exception cref="SnapshotNeededException">What is there cannot be used and the log does not reach back far enough to do without it. Nothing was changed.</exception>
    /// <exception cref="RaftException">Corruption or CannotOpen: it belongs to another cluster or member, or to a newer version.</exception>
    StateCheckpoint? Open(StateOrigin origin);

    /// <summary>
    /// Applies a batch of committed entries: decides, installs and publishes all of them before it returns. A pure function of (state, entries) (T4): the same on every replica.
    /// Fills one <see cref="ApplyResult"/> per entry. Nothing needs to be durable on return: the log holds the entries.
    /// Entries that need no apply (no-ops, configurations, repeats of a session) are not in the batch, so indexes may skip.
    /// </summary>
    void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results);

    /// <summary>
    /// Asked on the applier's thread before entries are applied, with the payloads of all of them, repeats included: takes the space that applying them may need. False: there is none,
    /// for the reason given; nothing is applied, and it is asked again a tenth of a second later (S6: apply stops before the disk is full, not in the middle of an entry).
    /// </summary>
    bool TryReserve(ReadOnlySpan<ReadOnlyMemory<byte>> payloads, out string? obstacle)
    {
        obstacle = null;
        return true;
    }

    /// <summary>
    /// Begins a checkpoint of the state as it is now, between two batches; returns at once, and what is applied afterwards is not in it. False: one is under way already.
    /// <paramref name="completed"/> is called once, from any thread: with null when the checkpoint is durable and the one before it is still usable (L9), else with the error,
    /// after which this replica fails itself; unless it is a <see cref="RaftException"/> with NoSpace: then everything is as before, and the next checkpoint will hold what this one would have. Must only signal.
    /// </summary>
    bool BeginCheckpoint(StatePosition at, Action<Exception?> completed);

    /// <summary>A checkpoint would be worth it although nothing was applied since the last: it gives disk space back. Asked by the applier's thread about once a second.</summary>
    bool WantsCheckpoint => false;

    /// <summary>Captures the state as it is now, between two batches (S2): cheap, and what is applied or compacted afterwards does not change it. It is read from another thread while applying goes on.</summary>
    IStateSnapshot CaptureSnapshot(StatePosition at);

    /// <summary>Begins to collect a state beside the present one, in files of its own (S3). Not on the applier's thread; one at a time; the present state goes on serving. <paramref name="header"/>: <see cref="IStateSnapshot.Header"/>.</summary>
    /// <exception cref="RaftException">The header is of a version that this build does not know, or there is no space.</exception>
    IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header);

    /// <summary>
    /// Replaces the whole state by a completed installation, durable on return; the old one is deleted. Between two batches, after the log's base record is flushed (S3):
    /// a crash before this call is finished by the next <see cref="Open"/>.
    /// </summary>
    void Switch(IStateInstallation installation);

    /// <summary>
    /// The state here is wrong (S5): from now on no read of it is served and no checkpoint of it is opened again, until a <see cref="Switch"/> replaces it. Durable on return. Any thread.
    /// </summary>
    void Condemn();

    /// <summary>Called once, last. What it throws says that something of it may still write in the data directory, which stays locked then until the process ends.</summary>
    void Close();
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
