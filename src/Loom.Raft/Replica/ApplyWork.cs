using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Sessions;
using Loom.Raft.Snapshots;

namespace Loom.Raft.Replica;

/// <summary>
/// Committed entries that the applier applies next: consecutive, committed and durable here (L9), immutable. A value that crosses from the loop to the applier.
/// </summary>
/// <param name="Entries">Never empty.</param>
/// <param name="Local">Which of them this process proposed, ascending by <see cref="LocalEntry.Position"/>: only these come back in <see cref="AppliedBatch.Local"/>.</param>
internal sealed record ApplyWork(IReadOnlyList<Entry> Entries, IReadOnlyList<LocalEntry> Local)
{
    public long FirstIndex => Entries[0].Index;

    public long LastIndex => Entries[^1].Index;

    /// <summary>Its first entries, and the rest. At least one on each side.</summary>
    public (ApplyWork First, ApplyWork Second) SplitAt(int count) =>
        (new([.. Entries.Take(count)], [.. Local.Where(one => one.Position < count)]),
        new([.. Entries.Skip(count)], [.. Local.Where(one => one.Position >= count).Select(one => one with { Position = one.Position - count })]));
}

/// <summary>
/// A whole installation that the applier switches to next (S3), behind the works handed out before. Its place in the log is flushed: a crash from now on is finished by the next open.
/// </summary>
/// <param name="Manifest">What it is.</param>
/// <param name="Installation">Durable beside the present state. The applier's from now on.</param>
/// <param name="Inquiry">What its sessions are asked (P3).</param>
internal sealed record InstallWork(SnapshotManifest Manifest, IStateInstallation Installation, SessionInquiry Inquiry);

/// <summary>An entry of the work that this process proposed.</summary>
/// <param name="Position">Its position in <see cref="ApplyWork.Entries"/>.</param>
/// <param name="WantsResult">A caller still waits for the machine's full answer.</param>
internal readonly record struct LocalEntry(int Position, bool WantsResult);

/// <summary>What came of an <see cref="ApplyWork"/>; a value that crosses back.</summary>
/// <param name="LastIndex">Index of its last entry: everything up to it is applied and published.</param>
/// <param name="LastTerm">Term of the last entry.</param>
/// <param name="ClusterTime">Cluster time of the last entry (T5).</param>
/// <param name="ApplyHash">Rolling hash up to the last entry (S5).</param>
/// <param name="Local">One per <see cref="ApplyWork.Local"/>, in the same order.</param>
/// <param name="Marks">The rolling hash at the multiples of the exchange interval that the work passed (S5), ascending.</param>
internal sealed record AppliedBatch(long LastIndex, long LastTerm, long ClusterTime, UInt128 ApplyHash, IReadOnlyList<LocalOutcome> Local, IReadOnlyList<StateMark> Marks)
{
    /// <summary>Nothing of the work is left. False: it is applied in parts, and this is not the last.</summary>
    public bool EndsWork { get; init; } = true;
}

/// <summary>How a session judged an entry (P1).</summary>
internal enum ApplyVerdict : byte
{
    /// <summary>Applied now.</summary>
    Applied = 1,

    /// <summary>A repeat: the stored outcome of the first application.</summary>
    Deduplicated = 2,

    /// <summary>Refused: its session is unknown, so nothing of it was or will be applied after this index.</summary>
    SessionExpired = 3,

    /// <summary>Refused: below the session's floor. Its outcome was settled before.</summary>
    StaleSequence = 4,

    /// <summary>Refused: beyond the session's window.</summary>
    BeyondWindow = 5,
}

/// <summary>What an entry proposed by this process did here.</summary>
internal readonly record struct LocalOutcome(
    long Index, long Term, EntryKind Kind, ProposalId Id, ApplyVerdict Verdict, Outcome Outcome, object? Result);
