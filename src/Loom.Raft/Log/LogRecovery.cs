using System.Buffers.Binary;
using Loom.Raft.Consensus;
#if LOOM_MUTATIONS
using Loom.Raft.Diagnostics;
#endif

namespace Loom.Raft.Log;

/// <summary>A segment file of the log.</summary>
internal readonly record struct SegmentFile(long Sequence, long Bytes);

/// <summary>
/// Open = scan, cut, flush (L5). Reads every segment from the oldest, follows the chain to its end, tells a torn tail (cut it) from damage (refuse, L4),
/// and makes everything it is going to report durable before anybody hears of it: after a kill the scan has read the page cache.
/// </summary>
internal sealed class LogRecovery
{
    private const string Remedy =
        "Do not cut or delete it: this member has acknowledged what it held. Restore the directory as it was, or remove this member from the cluster and let it join again with an empty one.";

    private readonly IFileSystem files;
    private readonly string directory;
    private readonly LogIdentity identity;
    private readonly LogPosition syncedEnd;
    private readonly byte[] window = new byte[256 * 1024];

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

    public long LastClusterTime { get; private set; }

    /// <summary>Where the stream ends, and the checksum of its last record.</summary>
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

    /// <summary>Cuts what is torn, flushes every segment and the directory, then the synced end (L5).</summary>
    public void CutAndFlush(SyncedEnd synced)
    {
        foreach (string name in files.ListFiles(directory))
        {
            if (SegmentHeader.SequenceOf(name) is { } sequence && sequence > End.Sequence)
                files.Delete(PathOf(sequence));
        }

        foreach (SegmentFile segment in Segments)
        {
            using IFile file = files.Open(PathOf(segment.Sequence), create: false);
            if (segment.Sequence == End.Sequence && file.Length > End.Offset)
                file.SetLength(End.Offset);
#if LOOM_MUTATIONS
            if (Mutations.On("L5-report-before-flush-at-open"))
                continue;
#endif
            file.Flush();
        }

#if LOOM_MUTATIONS
        if (Mutations.On("L5-report-before-flush-at-open"))
            return;
#endif
        files.FlushDirectory(directory);
        synced.Write(End);
        synced.Flush();
    }

    public static RaftException Foreign(string path, LogIdentity found, LogIdentity expected) => new(RaftErrorCode.CannotOpen,
        $"{path} belongs to member {found.MemberId} of cluster {found.ClusterId:x}, not to member {expected.MemberId} of cluster {expected.ClusterId:x}. "
        + "Put back the directory that belongs here, or choose another one.");

    private void ScanAll()
    {
        List<(long Sequence, SegmentHeader Header, uint Checksum)> found = ReadHeaders();
        for (int i = 0; i < found.Count; i++)
        {
            bool last = i == found.Count - 1;
            using IFile file = files.Open(PathOf(found[i].Sequence), create: false);
            long length = file.Length;
            long limit = last ? length : found[i + 1].Header.PreviousEnd;
            SegmentScan scan = ScanSegment(file, found[i].Sequence, found[i].Checksum, Math.Min(limit, length), isFirst: i == 0);
            if (last && (restated is null || configurationsToCome > 0))
            {
                // A segment that was being started: its restatement is not whole, so nothing behind it was flushed either. The segments before it say everything.
                RequireTorn(new LogPosition(found[i].Sequence, 0), file, found[i].Checksum, scan.End, "its restatement is not intact");
                if (i == 0)
                    throw Damage(found[i].Sequence, scan.End, "the only segment has no intact restatement");
                break;
            }

            if (last)
                RequireTorn(new LogPosition(found[i].Sequence, scan.End), file, found[i].Checksum, scan.End, "a record below the end that was flushed does not match its checksum");
            else if (scan.End != limit || scan.Checksum != found[i + 1].Header.PreviousChecksum)
                throw Damage(found[i].Sequence, scan.End, $"a record does not match its checksum, though the next segment says that records go on to offset {limit}");
            Segments.Add(new SegmentFile(found[i].Sequence, last ? scan.End : length));
            End = new LogPosition(found[i].Sequence, scan.End);
            EndChecksum = scan.Checksum;
        }

        if (State.BaseIndex < available)
            throw Damage(Segments[0].Sequence, 0, $"the entries {State.BaseIndex + 1} to {available} are in no segment");
    }

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
            else if (i < sequences.Length - 1 || i == 0 || MustBeWhole(new LogPosition(sequence, 0)))
            {
                throw Damage(sequence, 0, "its header is not intact");
            }
        }

        if (found.Count == 0 || MustBeWhole(new LogPosition(found[^1].Sequence + 1, 0)))
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
            case RecordKind.HardState:
                State.HardState = new HardState(
                    BinaryPrimitives.ReadInt64LittleEndian(payload), new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(payload[8..])));
                break;
            case RecordKind.CommitHint:
                State.CommitHint = BinaryPrimitives.ReadInt64LittleEndian(payload);
                break;
            case RecordKind.Base:
                long index = BinaryPrimitives.ReadInt64LittleEndian(payload), term = BinaryPrimitives.ReadInt64LittleEndian(payload[8..]);
                State.MoveBase(index, term);
                Terms.MoveBase(index, term);
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
        State.Append(entry.Index, entry.Kind, body);
        LastClusterTime = entry.ClusterTime;
    }

    /// <summary>The chain ends at <paramref name="end"/>. That is a torn tail only if nothing vouches for what comes after it (L4).</summary>
    private void RequireTorn(LogPosition end, IFile file, uint segmentChecksum, long offset, string what)
    {
        if (MustBeWhole(end) || Vouched(file, segmentChecksum, end))
            throw Damage(end.Sequence, offset, what);
    }

    private bool MustBeWhole(LogPosition end)
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L4-cut-damage-as-torn"))
            return false;
#endif
        return end < syncedEnd;
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
