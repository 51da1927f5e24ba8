using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Loom.Raft.Consensus;
#if LOOM_MUTATIONS
using Loom.Raft.Diagnostics;
#endif

namespace Loom.Raft.Log;

/// <summary>
/// Puts batches into segments: one write and one fdatasync each. Owned by the log-writer thread; the loop reaches it only through a <see cref="LogBatch"/>.
/// Invariants: at most one batch is written and not yet flushed, so <c>vouched</c> (the end flushed last) is where the batch before ended, and whatever a crash tears lies behind it;
/// a batch begins on a fresh block, and no block that was flushed is written again (L3).
/// </summary>
internal sealed class LogWriter : IDisposable
{
    private const int KeepBufferBytes = 2 * 1024 * 1024;

    private readonly IFileSystem files;
    private readonly string directory;
    private readonly LogIdentity identity;
    private readonly DurableLogOptions options;
    private readonly SegmentPool pool;
    private readonly SyncedEnd synced;
    private readonly StreamState state;
    private readonly LogBuffer buffer = new();
    private ulong saltSeed;

    private IFile? segment;
    private IFile? finished;
    private long sequence;
    private uint segmentChecksum;
    private long capacity;
    private long filledTo;
    private long offset;
    private uint checksum;
    private LogPosition vouched;
    private bool segmentIsNew;
    private bool spareWanted;
    private Exception? failure;

    /// <param name="files">Where.</param>
    /// <param name="directory">The raft directory.</param>
    /// <param name="identity">Whose.</param>
    /// <param name="options">Sizes.</param>
    /// <param name="pool">Files for new segments.</param>
    /// <param name="synced">The synced end; the writer owns it.</param>
    /// <param name="state">What the stream says up to <paramref name="end"/>.</param>
    /// <param name="end">Where the stream ends; every open goes on in a fresh segment (L2).</param>
    /// <param name="checksum">Checksum of its last record.</param>
    /// <param name="saltSeed">Random.</param>
    public LogWriter(
        IFileSystem files, string directory, LogIdentity identity, DurableLogOptions options, SegmentPool pool, SyncedEnd synced, StreamState state,
        LogPosition end, uint checksum, ulong saltSeed)
    {
        this.files = files;
        this.directory = directory;
        this.identity = identity;
        this.options = options;
        this.pool = pool;
        this.synced = synced;
        this.state = state;
        this.checksum = checksum;
        this.saltSeed = saltSeed;
        sequence = end.Sequence;
        offset = end.Offset;
        vouched = end;
    }

    public void Write(LogBatch batch)
    {
        ThrowIfFailed();
        bool begun = false;
        try
        {
            pool.ThrowIfFailed();
            buffer.Clear();
            long bytes = BatchBytes(batch);
            long writeAt = offset;
            bool startsSegment = segment is null || offset + bytes > capacity;
            NewSegment next = startsSegment ? Obtain(bytes) : default;
            begun = true;
            if (startsSegment)
            {
                StartSegment(next);
                writeAt = 0;
                batch.StartedSegmentBytes = capacity;
            }

            batch.WrittenAt = new LogPosition(sequence, offset);
            batch.ChecksumBefore = checksum;
            EncodeBatch(batch, bytes);
            FillAhead();
            if (offset > capacity / 2 && !spareWanted)
            {
                pool.WantSpare();
                spareWanted = true;
            }

            segment!.Write(writeAt, buffer.Written);
            buffer.Shrink(KeepBufferBytes);
        }
        catch (NoSpaceException) when (!begun)
        {
            // Space is taken for a whole segment before anything of it is written, and here it was not to be had. Nothing has changed: the batch is tried again (S6).
#if LOOM_MUTATIONS
            if (Mutations.On("S6-full-disk-is-success") && segment is not null)
                return;
#endif
            throw;
        }
        catch (Exception e)
        {
            // No space inside a segment, where it was taken, comes from a file system that does not overwrite in place: half of the batch may be written, so it is no pause.
            failure = e is NoSpaceException ? new IOException(e.Message, e) : e;
            if (failure != e)
                throw failure;
            throw;
        }
    }

    public void Flush()
    {
        ThrowIfFailed();
        try
        {
#if LOOM_MUTATIONS
            if (Mutations.On("L1-ack-without-flush"))
                return;
#endif
            FlushSegment();
            vouched = new LogPosition(sequence, offset);
            if (!segmentIsNew)
            {
                synced.Write(vouched);
            }
            else
            {
                synced.Settle(vouched);
                segmentIsNew = false;
                finished?.Dispose();
                finished = null;
            }
        }
        catch (Exception e)
        {
            failure = e;
            throw;
        }
    }

    /// <summary>At open, when nothing had to be written again: everything up to here is flushed.</summary>
    public void MarkSynced() => synced.Settle(vouched);

    /// <summary>After the last batch: the next start may rely on the synced end even after a power cut (L4).</summary>
    public void Dispose()
    {
        try
        {
            if (failure is null)
                synced.Flush();
        }
        finally
        {
            segment?.Dispose();
            finished?.Dispose();
            synced.Dispose();
        }
    }

    private void FlushSegment()
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L1-ignore-flush-error"))
        {
            try
            {
                segment!.Flush();
            }
            catch (IOException)
            {
                return;
            }
        }
#endif
        segment!.Flush();
#if LOOM_MUTATIONS
        if (Mutations.On("L5-forget-directory-flush"))
            return;
#endif
        if (segmentIsNew)
            files.FlushDirectory(directory);
    }

    private long BatchBytes(LogBatch batch)
    {
        long bytes = RecordCodec.BatchRecordBytes + batch.EntryBytes;
        foreach (ref readonly LogMark mark in CollectionsMarshal.AsSpan(batch.Marks))
            bytes += RecordCodec.SizeOf(in mark);
        if (batch.CommitHint > state.CommitHint)
            bytes += RecordCodec.CommitHintRecordBytes;
#if LOOM_MUTATIONS
        if (Mutations.On("L3-rewrite-flushed-block"))
            return bytes;
#endif
        return RecordCodec.RoundUpToBlock(bytes);
    }

    /// <summary>The file of the next segment, large enough for its restatement and this batch, with all of its space taken. A crash that leaves it without a header is undone by recovery.</summary>
    /// <exception cref="NoSpaceException">There is no space for it; nothing has changed.</exception>
    private NewSegment Obtain(long batchBytes)
    {
        long restatementBytes = RecordCodec.RoundUpToBlock(
            RecordCodec.BatchRecordBytes + RecordCodec.HeadBytes + RecordCodec.RestatementPayloadBytes
            + state.Restated.Sum(c => RecordCodec.HeadBytes + 8L + c.Bytes.Length));
        long needed = SegmentHeader.BlockBytes + restatementBytes + batchBytes;
        long bytes = Math.Max(options.SegmentBytes, RecordCodec.RoundUpToBlock(needed));
        string path = $"{directory}/{SegmentHeader.FileName(sequence + 1)}";
        SpareSegment spare = pool.Take(bytes);
        try
        {
            files.Rename($"{directory}/{spare.Name}", path);
        }
        catch (NoSpaceException)
        {
            pool.Return(spare);
            throw;
        }

        return new NewSegment(files.Open(path, create: false), bytes, spare.IsFilled ? bytes : 0, restatementBytes);
    }

    /// <summary>
    /// Goes on in a new segment: its header and its restatement (L6) are put into the buffer before the batch, so that one write and one flush cover all.
    /// The segment before is flushed to its end, which is what the header's link and the restatement's <c>vouched</c> say.
    /// </summary>
    private void StartSegment(NewSegment next)
    {
        long previousEnd = sequence == 0 ? 0 : offset;
        SegmentHeader header = new(identity, sequence + 1, NextSalt(), previousEnd, checksum);
        finished = segment;
        sequence++;
        segment = next.File;
        capacity = next.Bytes;
        filledTo = next.FilledTo;
        segmentIsNew = true;
        spareWanted = false;
        segmentChecksum = checksum = header.Encode(buffer.Take(SegmentHeader.BlockBytes));
        offset = SegmentHeader.BlockBytes;
        EncodeRestatement(next.RestatementBytes);
    }

    private void EncodeRestatement(long bytes)
    {
        int start = buffer.Length;
        (long Index, byte[] Bytes)[] configurations = [.. state.Restated];
        EncodeHead(bytes, 1 + configurations.Length);
        Span<byte> record = buffer.Take(RecordCodec.HeadBytes + RecordCodec.RestatementPayloadBytes);
        state.EncodeRestatement(record[RecordCodec.HeadBytes..]);
        checksum = RecordCodec.Seal(record, RecordKind.Restatement, checksum);
        foreach ((long index, byte[] configuration) in configurations)
        {
            record = buffer.Take(RecordCodec.HeadBytes + 8 + configuration.Length);
            BinaryPrimitives.WriteInt64LittleEndian(record[RecordCodec.HeadBytes..], index);
            configuration.CopyTo(record[(RecordCodec.HeadBytes + 8)..]);
            checksum = RecordCodec.Seal(record, RecordKind.Configuration, checksum);
        }

        EndBatch(start, bytes);
    }

    private void EncodeBatch(LogBatch batch, long bytes)
    {
        int start = buffer.Length;
        bool hint = batch.CommitHint > state.CommitHint;
        EncodeHead(bytes, batch.Entries.Count + batch.Marks.Count + (hint ? 1 : 0));
        int mark = 0;
        ReadOnlySpan<Entry> entries = CollectionsMarshal.AsSpan(batch.Entries);
#if LOOM_MUTATIONS
        if (Mutations.On("L8-entries-before-their-term"))
            mark = -batch.Marks.Count;
#endif
        for (int i = 0; i < entries.Length; i++)
        {
            while (mark >= 0 && mark < batch.Marks.Count && batch.Marks[mark].Before <= i)
                EncodeMark(batch.Marks[mark++]);
            EncodeEntry(in entries[i]);
        }

        for (mark = Math.Max(mark, 0); mark < batch.Marks.Count; mark++)
            EncodeMark(batch.Marks[mark]);
        if (hint)
        {
            Span<byte> record = buffer.Take(RecordCodec.CommitHintRecordBytes);
            BinaryPrimitives.WriteInt64LittleEndian(record[RecordCodec.HeadBytes..], batch.CommitHint);
            checksum = RecordCodec.Seal(record, RecordKind.CommitHint, checksum);
            state.CommitHint = batch.CommitHint;
        }

        EndBatch(start, bytes);
    }

    private void EncodeHead(long bytes, int records)
    {
        Span<byte> record = buffer.Take(RecordCodec.BatchRecordBytes);
        new BatchHead(vouched, checked((int)bytes), records).Encode(record[RecordCodec.HeadBytes..], segmentChecksum, offset);
        checksum = RecordCodec.Seal(record, RecordKind.Batch, checksum);
    }

    private void EncodeEntry(in Entry entry)
    {
        Span<byte> record = buffer.Take(RecordCodec.EntryOverheadBytes + entry.Body.Length);
        RecordCodec.WriteEntry(record[RecordCodec.HeadBytes..], in entry);
        checksum = RecordCodec.Seal(record, RecordKind.Entry, checksum);
        state.Append(in entry);
    }

    private void EncodeMark(LogMark mark)
    {
        Span<byte> record = buffer.Take(RecordCodec.SizeOf(in mark));
        RecordCodec.WriteMark(record[RecordCodec.HeadBytes..], in mark);
        checksum = RecordCodec.Seal(record, mark.Kind, checksum);
        switch (mark.Kind)
        {
            case RecordKind.HardState:
                state.HardState = mark.HardState;
                break;
            case RecordKind.Base:
                state.MoveBase(mark.Index, mark.Term);
                break;
            default:
                state.Install(mark.Index, mark.Term, mark.Snapshot!);
                break;
        }
    }

    private void EndBatch(int start, long bytes)
    {
        int written = buffer.Length - start;
        if (written > bytes)
            throw new InvalidOperationException($"a batch of {written} bytes was measured as {bytes}");
        buffer.Take((int)bytes - written).Clear();
        offset += bytes;
    }

    /// <summary>
    /// The writer reached the end of what is filled: zeros up to the next step go out with this batch, so that the batches after it overwrite. A filled spare needs none of it.
    /// </summary>
    private void FillAhead()
    {
        if (offset <= filledTo || options.ZeroFillBytes == 0)
            return;
        long to = Math.Min(capacity, (offset / options.ZeroFillBytes + 1) * options.ZeroFillBytes);
        for (long at = offset; at < to; at += SegmentPool.Zeros.Length)
            segment!.Write(at, SegmentPool.Zeros.AsSpan(0, (int)Math.Min(SegmentPool.Zeros.Length, to - at)));
        filledTo = to;
    }

    private void ThrowIfFailed()
    {
        if (failure is not null)
            throw new IOException($"The log failed before: {failure.Message}", failure);
    }

    /// <summary>SplitMix64 over the random seed handed in: a salt never comes twice in one life, and two lives do not share them.</summary>
    private ulong NextSalt()
    {
        ulong z = saltSeed += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }

    private readonly record struct NewSegment(IFile File, long Bytes, long FilledTo, long RestatementBytes);
}
