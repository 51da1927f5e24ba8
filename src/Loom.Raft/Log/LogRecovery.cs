using System.Buffers.Binary;
using Loom.Raft.Consensus;
#if LOOM_MUTATIONS
using Loom.Raft.Diagnostics;
#endif

namespace Loom.Raft.Log;

/// <summary>A segment file of the log.</summary>
internal readonly record struct SegmentFile(long Sequence, long Bytes);

/// <summary>
/// Open = scan, flush, settle the tail, cut (L5). Reads every segment from the oldest, follows the chain to its end, tells a torn tail from damage (refused, L4),
/// and makes everything it is going to report durable before anybody hears of it: after a kill the scan has read the page cache.
/// </summary>
internal sealed class LogRecovery
{
    /// <summary>What an operator does about a damaged log; there is no such thing as mending it.</summary>
    public const string StartOver =
        "Restore a backup (docs/operating.md), or, in a cluster of several members, delete the whole data directory and start again with the same flags: the others fill it.";

    private const string Remedy = "Do not cut or delete the file: this member has acknowledged what it held. " + StartOver;

    private readonly IFileSystem files;
    private readonly string directory;
    private readonly LogIdentity identity;
    private readonly LogPosition syncedEnd;
    private readonly byte[] window = new byte[256 * 1024];
    private readonly List<(RecordKind Kind, byte[] Payload)> unproven = [];

    // [available + 1, State.LastIndex] were met as entries; what lies before is in segments freed long ago and must be below the base.
    private long available;
    private long batchFirst;
    private long batchLast;
    private StreamState? restated;
    private int configurationsToCome;

    private LogRecovery(IFileSystem files, string directory, LogIdentity identity, LogPosition syncedEnd, SegmentIndex index)
    {
        this.files = files;
        this.directory = directory;
        this.identity = identity;
        this.syncedEnd = syncedEnd;
        Index = index;
    }

    public StreamState State { get; private set; } = null!;

    public TermRuns Terms { get; private set; } = null!;

    public SegmentIndex Index { get; }

    public List<SegmentFile> Segments { get; } = [];

    public long LastClusterTime => State.ClusterTime ?? 0;

    /// <summary>Where the proven stream ends, and the checksum of its last record.</summary>
    public LogPosition End { get; private set; }

    public uint EndChecksum { get; private set; }

    /// <summary>Reads the log without changing anything.</summary>
    /// <exception cref="CorruptionException">Damage.</exception>
    public static LogRecovery Scan(IFileSystem files, string directory, LogIdentity identity, LogPosition syncedEnd, int indexStrideBytes)
    {
        var recovery = new LogRecovery(files, directory, identity, syncedEnd, new SegmentIndex(indexStrideBytes));
        recovery.ScanAll();
        return recovery;
    }

    /// <summary>Removes segments that were never reported, and flushes the others and the directory (L5).</summary>
    public void Flush()
    {
        foreach (string name in files.ListFiles(directory))
        {
            if (SegmentHeader.SequenceOf(name) is { } sequence && sequence > End.Sequence)
                files.Delete(PathOf(sequence));
        }

#if LOOM_MUTATIONS
        if (Mutations.On("L5-report-before-flush-at-open"))
            return;
#endif
        foreach (SegmentFile segment in Segments)
        {
            using IFile file = files.Open(PathOf(segment.Sequence), create: false);
            file.Flush();
        }

        files.FlushDirectory(directory);
    }

    /// <summary>
    /// What is intact behind the proven end is written once more, into a fresh segment, and flushed there. Flushing it where it lies is not enough: if the process ended because a flush
    /// had failed, the kernel has marked those pages clean, reads them back from memory and flushes nothing.
    /// The old copy stays until the new one is flushed; then it is behind the end that the new segment's header names. Then the last segment's unused rest is cut off (L2).
    /// </summary>
    public void Settle(LogWriter writer)
    {
        LogPosition old = End;
        if (unproven.Count > 0)
        {
            LogBatch batch = UnprovenBatch(writer);
            batch.Write();
            batch.Flush();
            End = batch.WrittenAt;
            Segments.Add(new SegmentFile(End.Sequence, batch.StartedSegmentBytes));
            AcceptUnproven();
            EndBatch(End.Sequence, End.Offset, batch.ChecksumBefore);
        }
        else
        {
            writer.MarkSynced();
        }
        using IFile file = files.Open(PathOf(old.Sequence), create: false);
        if (file.Length > old.Offset)
        {
            file.SetLength(old.Offset);
            file.Flush();
        }
    }

    /// <summary>Takes what is intact behind the proven end into the state. Whoever reports it to others must have written it once more (<see cref="Settle"/>).</summary>
    public void AcceptUnproven()
    {
        foreach ((RecordKind kind, byte[] payload) in unproven)
            Accept(new ScannedRecord(kind, End.Offset, payload), End.Sequence, isFirst: false);
    }

    private LogBatch UnprovenBatch(LogWriter writer)
    {
        var batch = new LogBatch(writer);
        batch.Reset(0);
        foreach ((RecordKind kind, byte[] payload) in unproven)
        {
            switch (kind)
            {
                case RecordKind.Entry:
                    batch.Add(RecordCodec.ReadEntry(payload));
                    break;
                case RecordKind.HardState or RecordKind.Base or RecordKind.Snapshot:
                    batch.Add(RecordCodec.ReadMark(kind, payload, batch.Entries.Count));
                    break;
                case RecordKind.CommitHint:
                    batch.CommitHint = BinaryPrimitives.ReadInt64LittleEndian(payload);
                    break;
                default:
                    throw Damage(End.Sequence, End.Offset, "a restatement stands where none can");
            }
        }

        batch.Take();
        return batch;
    }

    public static RaftException Foreign(string path, LogIdentity found, LogIdentity expected) => new(RaftErrorCode.CannotOpen,
        $"{path} belongs to member {found.MemberId} of cluster {found.ClusterId:x}, not to member {expected.MemberId} of cluster {expected.ClusterId:x}. "
        + "Put back the directory that belongs here, or choose another one.");

    private void ScanAll()
    {
        List<(long Sequence, SegmentHeader Header, uint Checksum)> found = ReadHeaders();
        LogPosition proven = Prove(found);
        for (int i = 0; i < found.Count; i++)
        {
            bool last = i == found.Count - 1;
            using IFile file = files.Open(PathOf(found[i].Sequence), create: false);
            long limit = last ? proven.Offset : found[i + 1].Header.PreviousEnd;
            SegmentScan scan = ScanSegment(file, found[i].Sequence, found[i].Checksum, limit, isFirst: i == 0);
            if (scan.End != limit || (!last && scan.Checksum != found[i + 1].Header.PreviousChecksum))
                throw Damage(found[i].Sequence, scan.End, $"a record does not match its checksum, though records were flushed up to offset {limit}");
            if (restated is null || configurationsToCome > 0)
                throw Damage(found[i].Sequence, scan.End, "its restatement is not whole");
            Segments.Add(new SegmentFile(found[i].Sequence, last ? scan.End : file.Length));
            End = new LogPosition(found[i].Sequence, scan.End);
            EndChecksum = scan.Checksum;
            if (last)
                ReadUnproven(file);
        }

        RequireAllEntries();
    }

    /// <summary>The base whose record freed the oldest segments may be in the unproven batch: a power cut can lose the synced end, but not the batch.</summary>
    private void RequireAllEntries()
    {
        long baseIndex = State.BaseIndex, missing = available;
        foreach ((RecordKind kind, byte[] payload) in unproven)
        {
            if (kind == RecordKind.Snapshot)
                baseIndex = missing = BinaryPrimitives.ReadInt64LittleEndian(payload);
            else if (kind == RecordKind.Base)
                baseIndex = Math.Max(baseIndex, BinaryPrimitives.ReadInt64LittleEndian(payload));
            else if (kind == RecordKind.Entry)
                missing = Math.Min(missing, BinaryPrimitives.ReadInt64LittleEndian(payload) - 1);
        }

        if (baseIndex < missing)
            throw Damage(Segments[0].Sequence, 0, $"the entries {baseIndex + 1} to {missing} are in no segment");
    }

    /// <summary>
    /// How far the stream is known to be flushed: the newest of the synced end, what the last batch vouches for, and the link of a segment that followed. What is intact behind it is
    /// at most one batch. Segments that begin behind it are taken off the list: the synced end is flushed before a new segment's first batch is reported, so nobody was told of them.
    /// </summary>
    private LogPosition Prove(List<(long Sequence, SegmentHeader Header, uint Checksum)> found)
    {
        LogPosition proven = syncedEnd;
        for (; found.Count > 0; found.RemoveAt(found.Count - 1))
        {
            (long sequence, SegmentHeader header, uint checksum) = found[^1];
            using IFile file = files.Open(PathOf(sequence), create: false);
            var scan = new SegmentScan(file, SegmentHeader.BlockBytes, checksum, file.Length, window);
            while (scan.Next(out ScannedRecord record))
            {
                if (record.Kind == RecordKind.Batch)
                    proven = Max(proven, BatchHead.Decode(record.Payload).Vouched);
            }

            LogPosition end = new(sequence, scan.End);
            if (MustBeWhole(end, proven) || Vouched(file, checksum, end))
                throw Damage(sequence, scan.End, "a record below the end that was flushed does not match its checksum");
#if LOOM_MUTATIONS
            if (Mutations.On("L5-report-before-flush-at-open") || Mutations.On("L4-cut-damage-as-torn"))
                return end;
#endif
            if (proven.Sequence == sequence)
                return proven;
            if (header.PreviousEnd > 0)
                proven = Max(proven, new LogPosition(sequence - 1, header.PreviousEnd));
        }

        throw Damage(syncedEnd.Sequence, 0, "no segment holds an intact restatement");
    }

    /// <summary>Keeps what is intact behind the proven end, to be written once more.</summary>
    private void ReadUnproven(IFile file)
    {
        var scan = new SegmentScan(file, End.Offset, EndChecksum, file.Length, window);
        while (scan.Next(out ScannedRecord record))
        {
            if (record.Kind != RecordKind.Batch)
                unproven.Add((record.Kind, record.Payload.ToArray()));
        }
    }

    private static LogPosition Max(LogPosition x, LogPosition y) => x > y ? x : y;

    /// <summary>Headers of all segments, oldest first. Only the newest may be unreadable, and only when nothing of it was ever flushed.</summary>
    private List<(long Sequence, SegmentHeader Header, uint Checksum)> ReadHeaders()
    {
        List<(long Sequence, SegmentHeader Header, uint Checksum)> found = [];
        long[] sequences = [.. files.ListFiles(directory).Select(SegmentHeader.SequenceOf).Where(s => s is not null).Select(s => s!.Value).Order()];
        byte[] block = new byte[SegmentHeader.BlockBytes];
        for (int i = 0; i < sequences.Length; i++)
        {
            long sequence = sequences[i];
            if (i > 0 && sequence != sequences[i - 1] + 1)
                throw Damage(sequences[i - 1] + 1, 0, "the segment is missing");
            string path = PathOf(sequence);
            using IFile file = files.Open(path, create: false);
            int length = file.Read(0, block);
            if (SegmentHeader.TryDecode(path, block.AsSpan(0, length), out SegmentHeader header, out uint checksum) && header.Sequence == sequence)
            {
                if (header.Identity != identity)
                    throw Foreign(path, header.Identity, identity);
                found.Add((sequence, header, checksum));
            }
            else if (i < sequences.Length - 1 || i == 0 || MustBeWhole(new LogPosition(sequence, 0), syncedEnd))
            {
                throw Damage(sequence, 0, "its header is not intact");
            }
        }

        if (found.Count == 0 || MustBeWhole(new LogPosition(found[^1].Sequence + 1, 0), syncedEnd))
            throw Damage(found.Count == 0 ? syncedEnd.Sequence : found[^1].Sequence + 1, 0, "the segment is missing");
        return found;
    }

    private SegmentScan ScanSegment(IFile file, long sequence, uint checksum, long limit, bool isFirst)
    {
        var scan = new SegmentScan(file, SegmentHeader.BlockBytes, checksum, limit, window);
        restated = null;
        configurationsToCome = 0;
        long batchOffset = 0;
        uint checksumBefore = 0;
        while (scan.Next(out ScannedRecord record))
        {
            if (record.Kind != RecordKind.Batch)
            {
                Accept(record, sequence, isFirst);
                continue;
            }

            EndBatch(sequence, batchOffset, checksumBefore);
            batchOffset = record.Offset;
            checksumBefore = scan.ChecksumBeforeBatch;
        }

        EndBatch(sequence, batchOffset, checksumBefore);
        return scan;
    }

    private void EndBatch(long sequence, long offset, uint checksumBefore)
    {
        if (batchFirst != 0)
            Index.Add(batchFirst, batchLast, sequence, offset, checksumBefore);
        batchFirst = 0;
    }

    private void Accept(ScannedRecord record, long sequence, bool isFirst)
    {
        ReadOnlySpan<byte> payload = record.Payload;
        if (record.Kind is RecordKind.Restatement or RecordKind.Configuration)
        {
            AcceptRestatement(record, sequence, isFirst);
            return;
        }

        if (restated is null || configurationsToCome > 0)
            throw Damage(sequence, record.Offset, "records stand before the segment's restatement");
        switch (record.Kind)
        {
            case RecordKind.Entry:
                AcceptEntry(RecordCodec.ReadEntry(payload, withBody: false), payload[RecordCodec.EntryHeaderBytes..], sequence, record.Offset);
                break;
            case RecordKind.CommitHint:
                State.CommitHint = BinaryPrimitives.ReadInt64LittleEndian(payload);
                break;
            case RecordKind.HardState or RecordKind.Base or RecordKind.Snapshot:
                AcceptMark(RecordCodec.ReadMark(record.Kind, payload));
                break;
        }
    }

    private void AcceptMark(in LogMark mark)
    {
        switch (mark.Kind)
        {
            case RecordKind.HardState:
                State.HardState = mark.HardState;
                break;
            case RecordKind.Base:
                State.MoveBase(mark.Index, mark.Term);
                Terms.MoveBase(mark.Index, mark.Term);
                break;
            default:
                State.Install(mark.Index, mark.Term, mark.Snapshot!);
                Terms.RestartAt(mark.Index, mark.Term);
                Index.Clear(mark.Index);
                available = mark.Index;
                break;
        }
    }

    /// <summary>The oldest segment's restatement is where the state comes from; every later one must say what the records before it say.</summary>
    private void AcceptRestatement(ScannedRecord record, long sequence, bool isFirst)
    {
        if (record.Kind == RecordKind.Restatement && restated is null)
            restated = StreamState.DecodeRestatement(record.Payload, out configurationsToCome);
        else if (record.Kind == RecordKind.Configuration && restated is not null && configurationsToCome-- > 0)
            restated.AddRestated(record.Payload);
        else
            throw Damage(sequence, record.Offset, "a restatement stands where none can");

        if (configurationsToCome > 0)
            return;
        if (isFirst)
        {
            State = restated;
            Terms = new TermRuns(State.BaseIndex, State.BaseTerm);
            available = State.LastIndex;
        }
        else if (!restated.Agrees(State))
        {
            throw Damage(sequence, record.Offset, "its restatement contradicts the segments before it");
        }
    }

    private void AcceptEntry(Entry entry, ReadOnlySpan<byte> body, long sequence, long offset)
    {
        bool follows = entry.Index <= State.LastIndex + 1 && entry.Index > State.BaseIndex && (batchFirst == 0 || entry.Index == batchLast + 1);
        if (!follows)
            throw Damage(sequence, offset, $"entry {entry.Index} does not follow entry {State.LastIndex}");
        if (batchFirst == 0)
            batchFirst = entry.Index;
        batchLast = entry.Index;
        available = Math.Min(available, entry.Index - 1);
        Terms.CutFrom(entry.Index);
        Terms.Append(entry.Index, entry.Term);
        State.Append(entry.Index, entry.Kind, entry.ClusterTime, body);
    }

    private static bool MustBeWhole(LogPosition end, LogPosition flushed)
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L4-cut-damage-as-torn"))
            return false;
#endif
        return end < flushed;
    }

    /// <summary>Looks for heads of batches behind the end of the chain: one of them was written only after everything up to its <c>vouched</c> was flushed.</summary>
    private static bool Vouched(IFile file, uint segmentChecksum, LogPosition end)
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L4-cut-damage-as-torn"))
            return false;
#endif
        long at = Math.Max(RecordCodec.RoundUpToBlock(end.Offset + 1), SegmentHeader.BlockBytes);
        byte[] blocks = new byte[64 * SegmentHeader.BlockBytes];
        for (int length; (length = file.Read(at, blocks)) > 0; at += length)
        {
            for (int block = 0; block < length; block += SegmentHeader.BlockBytes)
            {
                if (BatchHead.TryDecodeAlone(blocks.AsSpan(block, length - block), segmentChecksum, at + block, out BatchHead head) && head.Vouched > end)
                    return true;
            }
        }

        return false;
    }

    private CorruptionException Damage(long sequence, long offset, string what) => new(PathOf(sequence), offset, what, Remedy);

    private string PathOf(long sequence) => $"{directory}/{SegmentHeader.FileName(sequence)}";
}
