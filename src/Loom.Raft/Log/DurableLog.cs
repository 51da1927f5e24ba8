using System.Diagnostics;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
#if LOOM_MUTATIONS
using Loom.Raft.Diagnostics;
#endif

namespace Loom.Raft.Log;

/// <summary>
/// The durable log (L1 to L7): entries, term and vote, and commit hints in one stream of checksummed records. All members but those said otherwise belong to the loop's thread.
/// Appends are visible at once and collect in the open batch; <see cref="TakeBatch"/> hands a batch to the log writer's thread, <see cref="Completed"/> takes it back.
/// Whatever is appended meanwhile forms the next batch: group commit without a timer.
/// Invariants: DurableIndex &lt;= LastIndex, and BaseIndex &lt;= DurableIndex but for the time from an install to its flush; entries that are not flushed are in the tail;
/// a batch holds consecutive entries.
/// </summary>
internal sealed class DurableLog : IReplicaLog, IDisposable
{
    private readonly DurableLogOptions options;
    private readonly SegmentPool pool;
    private readonly LogWriter writer;
    private readonly SegmentIndex index;
    private readonly SegmentReader reader;
    private readonly TermRuns terms;
    private readonly EntryTail tail;
    private readonly List<SegmentFile> segments;

    private readonly Queue<LogBatch> waiting = [];
    private readonly Stack<LogBatch> idle = [];
    private LogBatch? open;
    private LogBatch? taken;
    private long lastBatch;

    // (first entry, sequence of the batch that wrote it last), ascending in both: which prefix a completed sequence makes durable (L7).
    private readonly List<(long First, long Sequence)> unflushed = [];
    private long commitHint;
    private long appliedIndex;
    private long baseSequence;

    // Sequence of the batch with which the log began anew at a snapshot: what was written before it is not part of the log.
    private long anewSequence;
    private bool disposed;

    private DurableLog(
        DurableLogOptions options, SegmentPool pool, LogWriter writer, SegmentIndex index, SegmentReader reader, LogRecovery recovered)
    {
        this.options = options;
        this.pool = pool;
        this.writer = writer;
        this.index = index;
        this.reader = reader;
        terms = recovered.Terms;
        segments = recovered.Segments;
        BaseIndex = recovered.State.BaseIndex;
        LastIndex = DurableIndex = recovered.State.LastIndex;
        commitHint = Math.Min(recovered.State.CommitHint, LastIndex);
        appliedIndex = BaseIndex;
        tail = new EntryTail(LastIndex + 1);
        SizeBytes = segments.Sum(s => s.Bytes);
    }

    public long BaseIndex { get; private set; }

    public long LastIndex { get; private set; }

    public long DurableIndex { get; private set; }

    /// <summary>
    /// Sequence of the batch that holds everything written to the log so far; a message that waits for a flush (L8) may leave when <see cref="DurableSequence"/> reaches it.
    /// Grows with each batch, not with each append.
    /// </summary>
    public long WriteSequence { get; private set; }

    /// <summary>Every batch up to this sequence is flushed here.</summary>
    public long DurableSequence { get; private set; }

    /// <summary>Bytes of entries appended and not yet taken by the writer.</summary>
    public long PendingBytes { get; private set; }

    /// <summary>Bytes of all segment files.</summary>
    public long SizeBytes { get; private set; }

    /// <summary>True when <see cref="TakeBatch"/> would return a batch.</summary>
    public bool HasWork => Failure is null && taken is null && (waiting.Count > 0 || open is not null);

    /// <summary>The first I/O error (L1), or null. From then on appends throw, no batch is given out and nothing becomes durable.</summary>
    public Exception? Failure { get; private set; }

    /// <summary>True when the directory holds a log, whole or not. After formation its absence is damage, and <see cref="Open"/> says so.</summary>
    public static bool Exists(IFileSystem files, string directory) => files.FileExists($"{directory}/{SyncedEnd.FileName}");

    /// <summary>
    /// Makes the log of a new member, whose record 0 is the initial configuration (N5); durable on return. What a formation that did not finish left behind is removed;
    /// a log that holds an entry, a term or a vote is refused.
    /// </summary>
    /// <param name="files">Where.</param>
    /// <param name="directory">Of the log.</param>
    /// <param name="identity">Whose.</param>
    /// <param name="initial">The initial configuration.</param>
    /// <param name="saltSeed">Random.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="start">Behind which entry it begins: the last one of a backup that the cluster begins from, or none.</param>
    public static RecoveredLog Create(
        IFileSystem files, string directory, LogIdentity identity, Configuration initial, ulong saltSeed, DurableLogOptions? options = null, LogStart start = default)
    {
        options ??= new DurableLogOptions();
        files.CreateDirectory(directory);
        int slash = directory.LastIndexOf('/');
        if (slash > 0)
            files.FlushDirectory(directory[..slash]);
        RemoveUnfinished(files, directory, start);

        // The synced end first, at (0, 0): until it has moved, nothing that follows counts as a log.
        SyncedEnd.Create(files, directory, identity, default);
        var state = new StreamState(start, ConfigurationCodec.Encode(initial));
        using (SyncedEnd synced = SyncedEnd.Open(files, directory, identity))
        using (var pool = new SegmentPool(files, directory, options))
        using (var writer = new LogWriter(
            files, directory, identity, options with { SegmentBytes = SegmentHeader.BlockBytes, ZeroFillBytes = 0 }, pool, synced, state, default, 0, ~saltSeed))
        {
            var first = new LogBatch(writer);
            first.Reset(0);
            first.Take();
            first.Write();
            first.Flush();
        }

        return Open(files, directory, identity, saltSeed, options);
    }

    /// <summary>Opens the log of a member that was formed. Everything it reports is flushed (L5); writing goes on in a fresh segment (L2).</summary>
    /// <exception cref="CorruptionException">Damage below the end that was flushed, or missing files (L4).</exception>
    /// <exception cref="RaftException">CannotOpen: the files are another member's, or of a newer format.</exception>
    /// <exception cref="IOException">A file operation failed.</exception>
    public static RecoveredLog Open(IFileSystem files, string directory, LogIdentity identity, ulong saltSeed, DurableLogOptions? options = null)
    {
        options ??= new DurableLogOptions();
        SyncedEnd synced = SyncedEnd.Open(files, directory, identity);
        try
        {
            LogRecovery recovered = LogRecovery.Scan(files, directory, identity, synced.Position, options.IndexStrideBytes);
            recovered.Flush();
            StreamState state = recovered.State;
            var pool = new SegmentPool(files, directory, options);
            pool.Adopt(files.ListFiles(directory));
            var writer = new LogWriter(files, directory, identity, options, pool, synced, state.Copy(), recovered.End, recovered.EndChecksum, saltSeed);
            recovered.Settle(writer);
            recovered.Index.DropBelow(state.BaseIndex);
            var log = new DurableLog(options, pool, writer, recovered.Index, new SegmentReader(files, directory, recovered.Index), recovered);
            return new RecoveredLog(log, state.HardState, log.commitHint, state.DecodeConfigurations(), recovered.LastClusterTime);
        }
        catch
        {
            synced.Dispose();
            throw;
        }
    }

    public long TermAt(long index)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(index, BaseIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(index, LastIndex);
        return terms.TermAt(index);
    }

    public IReadOnlyList<Entry> Read(long from, long to, long maxBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(from, BaseIndex);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(to, LastIndex);
        if (from > to)
            return [];
        if (from >= tail.First)
            return ReadTail(from, to, maxBytes);
        List<Entry> entries = [];
        reader.Read(from, Math.Min(to, tail.First - 1), ref maxBytes, entries);
        for (long at = tail.First; maxBytes >= 0 && at <= to && from + entries.Count == at; at++)
        {
            maxBytes -= tail[at].Body.Length;
            if (maxBytes >= 0)
                entries.Add(tail[at]);
        }

        return entries;
    }

    public void Append(ReadOnlySpan<Entry> entries)
    {
        ThrowIfFailed();
        if (entries.IsEmpty)
            return;
        long first = entries[0].Index;
        if (first <= BaseIndex || first > LastIndex + 1)
            throw new ArgumentOutOfRangeException(nameof(entries), first, $"the log holds {BaseIndex + 1} to {LastIndex}");
        if (first <= LastIndex)
            CutFrom(first);
        foreach (ref readonly Entry entry in entries)
        {
            Debug.Assert(entry.Index == LastIndex + 1, "entries are consecutive");
            LogBatch batch = OpenBatch();
            if (unflushed.Count == 0 || unflushed[^1].Sequence != batch.Sequence)
                unflushed.Add((entry.Index, batch.Sequence));
            batch.Add(in entry);
            tail.Append(in entry);
            terms.Append(entry.Index, entry.Term);
            LastIndex = entry.Index;
            PendingBytes += RecordCodec.EntryOverheadBytes + entry.Body.Length;
            if (batch.EntryBytes >= options.BatchBytes)
                CloseBatch();
        }
    }

    public void SaveHardState(HardState state)
    {
        ThrowIfFailed();
        LogBatch batch = OpenBatch();
        batch.Add(new LogMark(batch.Entries.Count, RecordKind.HardState, state, 0, 0));
    }

    public void SaveCommitHint(long index)
    {
        // No batch is begun for it: it rides with the next one.
        if (index > commitHint)
            commitHint = index;
    }

    /// <summary>The next batch for the log writer, or null when nothing waits, one is out already, or the log has failed.</summary>
    public LogBatch? TakeBatch()
    {
        if (!HasWork)
            return null;
        if (waiting.Count == 0)
            CloseBatch();
        taken = waiting.Dequeue();
        taken.CommitHint = HintFor(taken.Sequence);
        PendingBytes -= taken.EntryBytes;
        taken.Take();
        return taken;
    }

    /// <summary>The batch that is out was flushed, or failed. Makes durable the longest prefix whose entries were last written by this or an earlier batch (L7).</summary>
    public void Completed(long sequence, Exception? error)
    {
        if (taken is null || taken.Sequence != sequence)
            throw new InvalidOperationException($"batch {sequence} is not out");
        LogBatch batch = taken;
        taken = null;
        if (error is not null)
        {
            Failure ??= error;
            return;
        }

        if (Failure is not null)
            return;
        if (batch.Stage != LogBatch.BatchStage.Flushed)
            throw new InvalidOperationException($"batch {sequence} is {batch.Stage}, not flushed");
        Note(batch);
        DurableSequence = sequence;
        if (sequence >= anewSequence)
            DurableIndex = WrittenBy(sequence);
#if LOOM_MUTATIONS
        if (Mutations.On("L7-completion-by-index") && batch.Entries.Count > 0)
            DurableIndex = Math.Min(LastIndex, Math.Max(DurableIndex, batch.Entries[^1].Index));
#endif
        unflushed.RemoveRange(0, WrittenRuns(sequence));
        batch.Reset(0);
        idle.Push(batch);
        Evict();
        FreeSegments();
    }

    /// <summary>
    /// One step of work ahead: zero-fills 1 MiB of a spare segment and flushes it, or recycles a freed segment. False: nothing to do.
    /// Any thread, one at a time, beside the loop and the writer. Without it a new segment is filled as the writer goes.
    /// </summary>
    public bool PrepareAhead() => pool.PrepareAhead();

    /// <summary>The last <see cref="PrepareAhead"/> found no space for what should be there.</summary>
    public bool IsShortOfSpace => pool.IsShortOfSpace;

    /// <summary>Entries up to here are applied, so the memory of those that are flushed may go: they are read back from the segments.</summary>
    public void AdvanceApplied(long index)
    {
        Debug.Assert(index <= LastIndex, "only entries of the log are applied");
        appliedIndex = Math.Max(appliedIndex, index);
        Evict();
    }

    /// <summary>
    /// Entries up to here are in a durable snapshot (L9) and leave the log. Segments that hold nothing later are freed, oldest first,
    /// once the new base and a later restatement are flushed (L6).
    /// </summary>
    public void TruncateBelow(long index)
    {
        ThrowIfFailed();
        if (index <= BaseIndex)
            return;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(index, DurableIndex);
        MoveBase(index, terms.TermAt(index));
    }

    /// <summary>Durable when <see cref="DurableSequence"/> reaches <see cref="WriteSequence"/>.</summary>
    /// <inheritdoc/>
    public void Install(long index, long term, ConfigurationAt configuration, long clusterTime)
    {
        ThrowIfFailed();
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(index, BaseIndex);
        bool holds = index <= LastIndex && terms.TermAt(index) == term;
#if LOOM_MUTATIONS
        holds |= index <= LastIndex && Mutations.On("S3-install-over-longer-log");
#endif
        if (holds)
        {
            MoveBase(index, term);
            return;
        }

        // A batch holds consecutive entries. What waits of the old log is written and means nothing: its place in the stream is before this record.
        if (open is { Entries.Count: > 0 })
            CloseBatch();
        LogBatch batch = OpenBatch();
        batch.Add(new LogMark(0, RecordKind.Snapshot, default, index, term,
            new SnapshotBase(clusterTime, configuration.Index, ConfigurationCodec.Encode(configuration.Configuration))));
        DurableIndex = Math.Min(DurableIndex, Math.Max(BaseIndex, Math.Min(commitHint, index - 1)));
        BaseIndex = LastIndex = index;
        baseSequence = anewSequence = batch.Sequence;
        unflushed.Clear();
        unflushed.Add((index, batch.Sequence));
        terms.RestartAt(index, term);
        tail.RestartAt(index + 1);
        this.index.Clear(index);
    }

    private void MoveBase(long index, long term)
    {
        LogBatch batch = OpenBatch();
        batch.Add(new LogMark(batch.Entries.Count, RecordKind.Base, default, index, term));
        BaseIndex = index;
        baseSequence = batch.Sequence;
        terms.MoveBase(index, term);
        while (tail.Count > 0 && tail.First <= index)
            tail.DropFirst();
        this.index.DropBelow(index);
#if LOOM_MUTATIONS
        if (Mutations.On("L6-free-before-flush"))
        {
            baseSequence = 0;
            FreeSegments();
            while (pool.PrepareAhead())
            {
            }
        }
#endif
    }

    public long BytesAbove(long index)
    {
        if (index >= LastIndex || this.index.TryFind(index + 1) is not { } place)
            return index >= LastIndex ? 0 : PendingBytes;
        long bytes = PendingBytes - place.Offset;
        for (int i = segments.Count - 1; i >= 0 && segments[i].Sequence >= place.Sequence; i--)
            bytes += segments[i].Bytes;
        return Math.Max(bytes, 0);
    }

    /// <summary>No batch may be out. Flushes the synced end and closes the files; batches that were not taken are not written.</summary>
    public void Dispose()
    {
        if (disposed)
            return;
        disposed = true;
        reader.Dispose();
        pool.Dispose();
        writer.Dispose();
    }

    private static void RemoveUnfinished(IFileSystem files, string directory, LogStart start)
    {
        IReadOnlyList<string> names = files.ListFiles(directory);
        if (Exists(files, directory))
        {
            using SyncedEnd synced = SyncedEnd.Open(files, directory, identity: null);
            if (synced.Position.Sequence > 0)
            {
                StreamState found = LogRecovery.Scan(files, directory, synced.Identity!.Value, synced.Position, int.MaxValue).State;
                if (found.LastIndex > start.Index || found.HardState != new HardState(start.Term, MemberId.None))
                {
                    throw new RaftException(RaftErrorCode.CannotOpen,
                        $"{directory} already holds the log of a member (term {found.HardState.Term}, last entry {found.LastIndex}), but its identity file says that it was never formed. "
                        + "Restore the identity file that belongs to it, or move the directory away.");
                }
            }
        }
        else if (names.Any(n => SegmentHeader.SequenceOf(n) is not null))
        {
            SyncedEnd.Open(files, directory, identity: null).Dispose(); // Throws: a log whose synced end is missing is damaged, not unfinished.
        }

        // Segments before the synced end: a crash in between must leave what this method will clean up again.
        foreach (string name in names.OrderBy(n => n == SyncedEnd.FileName))
        {
            files.Delete($"{directory}/{name}");
            files.FlushDirectory(directory);
        }
    }

    private LogBatch OpenBatch()
    {
        if (open is null)
        {
            open = idle.TryPop(out LogBatch? batch) ? batch : new LogBatch(writer);
            open.Reset(++lastBatch);
            WriteSequence = lastBatch;
        }

        return open;
    }

    /// <summary>How many of <see cref="unflushed"/> batches up to this one hold.</summary>
    private int WrittenRuns(long sequence)
    {
        int runs = 0;
        while (runs < unflushed.Count && unflushed[runs].Sequence <= sequence)
            runs++;
        return runs;
    }

    /// <summary>The longest prefix whose entries were last written by this or an earlier batch (L7).</summary>
    private long WrittenBy(long sequence)
    {
        int runs = WrittenRuns(sequence);
        return runs < unflushed.Count ? unflushed[runs].First - 1 : LastIndex;
    }

    /// <summary>
    /// The hint that a batch may carry: it speaks of the log in memory, so it must not come before the entries that it speaks of. A crash between the two would call
    /// those committed which they supersede.
    /// </summary>
    private long HintFor(long sequence)
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L7-hint-before-its-entries"))
            return Math.Min(commitHint, LastIndex);
#endif
        return sequence < anewSequence ? -1 : Math.Min(commitHint, WrittenBy(sequence));
    }

    private void CloseBatch()
    {
        waiting.Enqueue(open!);
        open = null;
    }

    /// <summary>The entries from here on are superseded: in memory they are gone at once, those not yet taken are never written, the rest stays in the stream behind the new ones.</summary>
    private void CutFrom(long first)
    {
        tail.CutFrom(first);
        terms.CutFrom(first);
        while (unflushed.Count > 0 && unflushed[^1].First >= first)
            unflushed.RemoveAt(unflushed.Count - 1);
        foreach (LogBatch batch in waiting)
            CutBatch(batch, first);
        if (open is not null)
            CutBatch(open, first);
        DurableIndex = Math.Min(DurableIndex, first - 1);
        LastIndex = first - 1;
    }

    private void CutBatch(LogBatch batch, long first)
    {
        long before = batch.EntryBytes;
        batch.CutFrom(first);
        PendingBytes -= before - batch.EntryBytes;
    }

    /// <summary>Learns where the writer put a batch.</summary>
    private void Note(LogBatch batch)
    {
        if (batch.StartedSegmentBytes > 0)
        {
            segments.Add(new SegmentFile(batch.WrittenAt.Sequence, batch.StartedSegmentBytes));
            SizeBytes += batch.StartedSegmentBytes;
        }

        if (batch.Entries.Count > 0 && batch.Sequence >= anewSequence)
            index.Add(batch.Entries[0].Index, batch.Entries[^1].Index, batch.WrittenAt.Sequence, batch.WrittenAt.Offset, batch.ChecksumBefore);
    }

    private Entry[] ReadTail(long from, long to, long maxBytes)
    {
        long end = from;
        for (maxBytes -= tail[from].Body.Length; end < to; end++)
        {
            maxBytes -= tail[end + 1].Body.Length;
            if (maxBytes < 0)
                break;
        }

        var entries = new Entry[end - from + 1];
        for (int i = 0; i < entries.Length; i++)
            entries[i] = tail[from + i];
        return entries;
    }

    private void Evict()
    {
        while (tail.Bytes > options.TailBytes && tail.First <= DurableIndex && (tail.First <= appliedIndex || tail.Bytes > options.UnappliedTailBytes))
            tail.DropFirst();
    }

    /// <summary>
    /// The newest segment of the stream has a flushed restatement. Once the base's record is flushed too, everything older than the first needed entry is restated or superseded.
    /// </summary>
    private void FreeSegments()
    {
        if (baseSequence > DurableSequence)
            return;
        long needed = Math.Min(index.OldestNeeded(BaseIndex), segments[^1].Sequence);
        while (segments[0].Sequence < needed)
        {
            reader.Close(segments[0].Sequence);
            pool.Free(segments[0].Sequence);
            SizeBytes -= segments[0].Bytes;
            segments.RemoveAt(0);
        }
    }

    private void ThrowIfFailed()
    {
        if (Failure is not null)
            throw new RaftException(RaftErrorCode.Failed, $"The log failed and takes nothing more: {Failure.Message}", inner: Failure);
    }
}
