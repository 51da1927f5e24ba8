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

    /// <summary>Longest prefix whose entries' latest write is flushed here (L7).</summary>
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

    /// <summary>Records term and vote in the same stream, before any entry appended afterwards (L8).</summary>
    void SaveHardState(HardState state);

    /// <summary>Records how far the log is known to be committed: a hint for restart, nothing waits for its flush.</summary>
    void SaveCommitHint(long index);
}
