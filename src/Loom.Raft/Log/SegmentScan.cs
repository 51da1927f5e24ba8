using System.Buffers.Binary;

namespace Loom.Raft.Log;

/// <summary>One record as a scan found it; its payload is valid until the scan moves on.</summary>
internal readonly ref struct ScannedRecord(RecordKind kind, long offset, ReadOnlySpan<byte> payload)
{
    public RecordKind Kind { get; } = kind;

    public long Offset { get; } = offset;

    public ReadOnlySpan<byte> Payload { get; } = payload;
}

/// <summary>
/// Walks the chain of records in one segment, from its header or from any batch whose preceding checksum is known, up to the first thing that is not the chain's next record.
/// Invariant: everything before <see cref="End"/> is proven by the chain.
/// </summary>
internal sealed class SegmentScan
{
    private readonly IFile file;
    private readonly long limit;
    private byte[] window;
    private long windowStart;
    private int windowBytes;
    private long batchEnd;
    private int recordsLeft;

    /// <param name="file">The segment.</param>
    /// <param name="offset">Where a batch begins.</param>
    /// <param name="checksum">Checksum of the record before it.</param>
    /// <param name="limit">Where to stop: records beyond it are not the log's.</param>
    /// <param name="window">Buffer to read through; the scan may replace it by a larger one for a large record.</param>
    public SegmentScan(IFile file, long offset, uint checksum, long limit, byte[] window)
    {
        this.file = file;
        this.limit = limit;
        this.window = window;
        End = batchEnd = offset;
        Checksum = checksum;
    }

    /// <summary>End of the last proven record, or of its batch's padding when that was the batch's last and the padding is whole.</summary>
    public long End { get; private set; }

    /// <summary>Checksum of the last proven record.</summary>
    public uint Checksum { get; private set; }

    /// <summary>Checksum of the record before the current batch: with the offset of its Batch record, where a later scan may start.</summary>
    public uint ChecksumBeforeBatch { get; private set; }

    /// <summary>False at the end of the chain.</summary>
    public bool Next(out ScannedRecord record)
    {
        record = default;
        if (recordsLeft > 0)
        {
            if (!TryRead(out record))
                return false;
            recordsLeft--;
            if (recordsLeft == 0)
                SkipPadding();
            return true;
        }

        // End is short of batchEnd when the padding is cut or broken: nothing behind it belongs to the chain.
        if (End != batchEnd || End >= limit)
            return false;
        long offset = End;
        uint before = Checksum;
        if (!TryRead(out record, RecordKind.Batch))
            return false;
        BatchHead head = BatchHead.Decode(record.Payload);
        ChecksumBeforeBatch = before;
        batchEnd = offset + head.Bytes;
        recordsLeft = head.Records;
        if (recordsLeft == 0)
            SkipPadding();
        return true;
    }

    private bool TryRead(out ScannedRecord record, RecordKind? required = null)
    {
        record = default;
        if (!Fill(RecordCodec.HeadBytes))
            return false;
        int at = (int)(End - windowStart);
        int length = BinaryPrimitives.ReadInt32LittleEndian(window.AsSpan(at + 4));
        var kind = (RecordKind)window[at + 8];
        if ((uint)length > RecordCodec.MaxPayloadBytes || kind is < RecordKind.Batch or > RecordKind.Snapshot || (required is { } only && kind != only)
            || (required is null && kind == RecordKind.Batch) || length < LeastPayloadBytes(kind) || !Fill(RecordCodec.HeadBytes + length))
            return false;
        at = (int)(End - windowStart);
        ReadOnlySpan<byte> bytes = window.AsSpan(at, RecordCodec.HeadBytes + length);
        uint checksum = RecordCodec.Checksum(bytes, Checksum);
        if (checksum != BinaryPrimitives.ReadUInt32LittleEndian(bytes))
            return false;
        record = new ScannedRecord(kind, End, bytes[RecordCodec.HeadBytes..]);
        Checksum = checksum;
        End += bytes.Length;
        return true;
    }

    private static int LeastPayloadBytes(RecordKind kind) => kind switch
    {
        RecordKind.Batch => RecordCodec.BatchPayloadBytes,
        RecordKind.Restatement => RecordCodec.LeastRestatementPayloadBytes,
        RecordKind.Entry => RecordCodec.EntryHeaderBytes,
        RecordKind.Snapshot => RecordCodec.SnapshotHeaderBytes,
        RecordKind.Configuration or RecordKind.CommitHint => 8,
        _ => 16,
    };

    /// <summary>Moves End over the zeros that fill the batch's last block, if they are there. Their damage harms nobody, but what is not proven is not skipped.</summary>
    private void SkipPadding()
    {
        long end = End, left = batchEnd - end;
        if (batchEnd > limit || left is < 0 or >= SegmentHeader.BlockBytes)
            return;

        // Not through the window: the payload just returned lies in it.
        Span<byte> padding = stackalloc byte[(int)left];
        int inWindow = (int)Math.Clamp(windowStart + windowBytes - end, 0, left);
        window.AsSpan((int)(end - windowStart), inWindow).CopyTo(padding);
        if (inWindow < left && file.Read(end + inWindow, padding[inWindow..]) < left - inWindow)
            return;
        if (!padding.ContainsAnyExcept((byte)0))
            End = batchEnd;
    }

    /// <summary>Makes the bytes [End, End + count) present in the window; false when the limit or the file ends before.</summary>
    private bool Fill(int count)
    {
        if (End + count > limit)
            return false;
        if (End >= windowStart && End + count <= windowStart + windowBytes)
            return true;
        if (count > window.Length)
        {
            // Never allocate for a length that the file cannot hold.
            if (End + count > file.Length)
                return false;
            window = new byte[count];
        }

        windowStart = End;
        windowBytes = file.Read(End, window.AsSpan(0, (int)Math.Min(window.Length, limit - End)));
        return windowBytes >= count;
    }
}
