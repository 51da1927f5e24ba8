using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;

namespace Loom.Raft.Log;

/// <summary>The durable log (L1 to L7).</summary>
internal sealed class DurableLog : IReplicaLog, IDisposable
{
    public long BaseIndex { get; }
    public long LastIndex { get; }
    public long DurableIndex { get; }

    /// <summary>Sequence of the write that holds everything written to the log so far; a message that waits for a flush (L8) may leave when <see cref="DurableSequence"/> reaches it.</summary>
    public long WriteSequence { get; }

    /// <summary>Every write up to this sequence is flushed here.</summary>
    public long DurableSequence { get; }

    /// <summary>Bytes appended and not yet taken by the writer.</summary>
    public long PendingBytes { get; }

    /// <summary>Bytes of all segment files.</summary>
    public long SizeBytes { get; }

    /// <summary>True when <see cref="TakeBatch"/> would return a batch.</summary>
    public bool HasWork { get; }

    /// <summary>The first I/O error (L1), or null. From then on appends throw and nothing becomes durable.</summary>
    public Exception? Failure { get; }

    /// <summary>Makes the log of a new member. Leftovers of a formation that did not finish are removed; a log that holds anything is refused.</summary>
    public static RecoveredLog Create(
        IFileSystem files, string directory, LogIdentity identity, Configuration initial, ulong saltSeed, DurableLogOptions? options = null) =>
        throw new NotImplementedException();

    /// <summary>Opens the log of a member that was formed. Its absence is damage.</summary>
    /// <exception cref="CorruptionException">Damage below the synced end, or missing files.</exception>
    /// <exception cref="IOException">A file operation failed.</exception>
    public static RecoveredLog Open(IFileSystem files, string directory, LogIdentity identity, ulong saltSeed, DurableLogOptions? options = null) =>
        throw new NotImplementedException();

    public long TermAt(long index) => throw new NotImplementedException();

    public IReadOnlyList<Entry> Read(long from, long to, long maxBytes) => throw new NotImplementedException();

    public void Append(ReadOnlySpan<Entry> entries) => throw new NotImplementedException();

    public void SaveHardState(HardState state) => throw new NotImplementedException();

    public void SaveCommitHint(long index) => throw new NotImplementedException();

    /// <summary>Loop thread: the next batch, or null when nothing waits, one is out already, or the log has failed.</summary>
    public LogBatch? TakeBatch() => throw new NotImplementedException();

    /// <summary>Loop thread: the batch that is out was flushed, or failed.</summary>
    public void Completed(long sequence, Exception? error) => throw new NotImplementedException();

    /// <summary>Any one thread at a time, beside the writer: one step of work ahead (zero-fills a spare segment by 1 MiB and flushes it, recycles a freed one). False: nothing to do.</summary>
    public bool PrepareAhead() => throw new NotImplementedException();

    /// <summary>Loop thread: entries up to here are applied, so their memory may go (they are read back from the segments).</summary>
    public void AdvanceApplied(long index) => throw new NotImplementedException();

    /// <summary>Loop thread: entries up to here are in a durable snapshot (L9); segments that hold nothing later are recycled once that is flushed (L6).</summary>
    public void TruncateBelow(long index) => throw new NotImplementedException();

    /// <summary>No batch may be out. Flushes the synced end and closes the files.</summary>
    public void Dispose()
    {
    }
}
