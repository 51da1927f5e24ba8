using Loom.Raft.Consensus;

namespace Loom.Raft.Log;

/// <summary>Something in a batch that is not an entry; it stands before the entry at <paramref name="Before"/>.</summary>
internal readonly record struct LogMark(int Before, RecordKind Kind, HardState HardState, long Index, long Term, SnapshotBase? Snapshot = null);

/// <summary>What a snapshot's place in the log needs beside index and term (S3): what the entries that never were here would have said.</summary>
/// <param name="ClusterTime">Cluster time of the last entry in the snapshot (T5).</param>
/// <param name="ConfigurationIndex">Index of the configuration in force at the snapshot's.</param>
/// <param name="Configuration">Bytes of ConfigurationCodec.</param>
internal sealed record SnapshotBase(long ClusterTime, long ConfigurationIndex, byte[] Configuration);

/// <summary>
/// Everything that one write and one flush make durable. The loop fills it, <see cref="DurableLog.TakeBatch"/> hands it to the log writer, which alone calls
/// <see cref="Write"/> and then <see cref="Flush"/>; <see cref="DurableLog.Completed"/> takes it back. One batch is out at a time.
/// The hand-over between the threads is the driver's queue; <see cref="Stage"/> only catches a driver that breaks the order.
/// </summary>
internal sealed class LogBatch
{
    private readonly LogWriter writer;
    private readonly List<Entry> entries = [];
    private readonly List<LogMark> marks = [];

    internal LogBatch(LogWriter writer) => this.writer = writer;

    internal enum BatchStage
    {
        Filling,
        Taken,
        Written,
        Flushed,
    }

    /// <summary>The write sequence that its completion names (L7).</summary>
    public long Sequence { get; private set; }

    /// <summary>Consecutive indexes.</summary>
    internal List<Entry> Entries => entries;

    internal List<LogMark> Marks => marks;

    /// <summary>Bytes of the records of its entries.</summary>
    internal long EntryBytes { get; private set; }

    /// <summary>Written with the batch when it is newer than the last one written; -1: none.</summary>
    internal long CommitHint { get; set; }

    internal BatchStage Stage { get; private set; }

    /// <summary>Where the writer put it: filled by Write, read by the loop after Flush.</summary>
    internal LogPosition WrittenAt { get; set; }

    internal uint ChecksumBefore { get; set; }

    /// <summary>Size of a segment that this batch began; 0 when it went into the current one.</summary>
    internal long StartedSegmentBytes { get; set; }

    internal bool IsEmpty => entries.Count == 0 && marks.Count == 0;

    /// <summary>Log-writer thread: encodes and writes. What it throws, but for the first of these, goes to Completed.</summary>
    /// <exception cref="NoSpaceException">The disk is full and nothing was written: the log is as before and pauses; call again when there may be space (S6).</exception>
    /// <exception cref="IOException">The write failed; the log has failed with it (L1).</exception>
    public void Write()
    {
        if (Stage != BatchStage.Taken)
            throw new InvalidOperationException($"a batch that is {Stage} cannot be written");
        writer.Write(this);
        Advance(BatchStage.Taken, BatchStage.Written);
    }

    /// <summary>Log-writer thread: fdatasync, then the synced end (L4). What it throws goes to Completed.</summary>
    /// <exception cref="IOException">The flush failed; the log has failed with it (L1).</exception>
    public void Flush()
    {
        if (Stage != BatchStage.Written)
            throw new InvalidOperationException($"a batch that is {Stage} cannot be flushed");
        writer.Flush();
        Advance(BatchStage.Written, BatchStage.Flushed);
    }

    internal void Reset(long sequence)
    {
        entries.Clear();
        marks.Clear();
        EntryBytes = 0;
        CommitHint = -1;
        StartedSegmentBytes = 0;
        Sequence = sequence;
        Stage = BatchStage.Filling;
    }

    internal void Add(in Entry entry)
    {
        entries.Add(entry);
        EntryBytes += RecordCodec.EntryOverheadBytes + entry.Body.Length;
    }

    internal void Add(LogMark mark)
    {
        // Two votes with nothing between them: the later one alone is what a reader would end with.
        if (marks.Count > 0 && marks[^1].Before == mark.Before && marks[^1].Kind == mark.Kind)
            marks[^1] = mark;
        else
            marks.Add(mark);
    }

    /// <summary>Takes out entries that were superseded before they were ever written. Marks keep their order against what remains.</summary>
    internal void CutFrom(long index)
    {
        while (entries.Count > 0 && entries[^1].Index >= index)
        {
            EntryBytes -= RecordCodec.EntryOverheadBytes + entries[^1].Body.Length;
            entries.RemoveAt(entries.Count - 1);
        }

        for (int i = marks.Count - 1; i >= 0 && marks[i].Before > entries.Count; i--)
            marks[i] = marks[i] with { Before = entries.Count };
    }

    internal void Take() => Advance(BatchStage.Filling, BatchStage.Taken);

    private void Advance(BatchStage from, BatchStage to)
    {
        if (Stage != from)
            throw new InvalidOperationException($"a batch that is {Stage} cannot become {to}");
        Stage = to;
    }
}
