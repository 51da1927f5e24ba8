using Loom.Raft.Membership;

namespace Loom.Raft.Consensus;

/// <summary>
/// The core's view of the durable log: what was appended so far, flushed or not. Implemented by Log/DurableLog and, in tests of the core, by a list.
/// Reads see every append at once; durability comes later as <see cref="LogFlushed"/>. None of these calls flushes.
/// </summary>
internal interface IRaftLog
{
    /// <summary>Index before the first kept entry (0 in a log that was never truncated); its term is <c>TermAt(BaseIndex)</c>.</summary>
    long BaseIndex { get; }

    /// <summary>Last index, unflushed entries included; <see cref="BaseIndex"/> when empty.</summary>
    long LastIndex { get; }

    /// <summary>Longest prefix whose entries' latest write is flushed here (L7). From an <see cref="Install"/> to its flush it may be below <see cref="BaseIndex"/>: then it is what the former log holds of the same history, as far as that is known to be committed.</summary>
    long DurableIndex { get; }

    /// <summary>Term of the entry at <paramref name="index"/>, which must lie in [BaseIndex, LastIndex].</summary>
    long TermAt(long index);

    /// <summary>Entries from <paramref name="from"/> to at most <paramref name="to"/> (inclusive), stopping before <paramref name="maxBytes"/> of bodies are exceeded, but at least one.</summary>
    IReadOnlyList<Entry> Read(long from, long to, long maxBytes);

    /// <summary>
    /// Appends consecutive entries. A first index at or below LastIndex supersedes the suffix from there (L7); the caller has already skipped what the log holds.
    /// The bytes join the next batch of the log writer.
    /// </summary>
    void Append(ReadOnlySpan<Entry> entries);

    /// <summary>
    /// The log goes on from a snapshot whose last entry is (index, term) (S3): keeps what follows that entry if the log holds it, else drops everything. Joins the next batch of the log
    /// writer like an append: a crash before its flush brings the former log back, one after it brings back this base, its configuration and its cluster time.
    /// </summary>
    /// <param name="index">Above <see cref="BaseIndex"/>.</param>
    /// <param name="term">Term of the last entry in the snapshot.</param>
    /// <param name="configuration">The configuration in force at the index, and the index of its entry (E4).</param>
    /// <param name="clusterTime">Cluster time of the last entry in the snapshot (T5).</param>
    void Install(long index, long term, ConfigurationAt configuration, long clusterTime);

    /// <summary>Entries up to here, which are durable here and in a durable checkpoint (L9), leave the log. Nothing waits for it: after a crash they may be back.</summary>
    void TruncateBelow(long index);

    /// <summary>Records term and vote in the same stream, before any entry appended afterwards (L8).</summary>
    void SaveHardState(HardState state);

    /// <summary>Records how far the log is known to be committed: a hint for restart, nothing waits for its flush.</summary>
    void SaveCommitHint(long index);
}
