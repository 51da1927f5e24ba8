using System.Buffers.Binary;
using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;

namespace Loom.Raft.Log;

/// <summary>Kinds of records in a segment. Values are on disk: never renumber.</summary>
internal enum RecordKind : byte
{
    /// <summary>Head of a batch.</summary>
    Batch = 1,

    /// <summary>First record of a segment: everything that segments before it said, but entries (L6). Followed by its configurations.</summary>
    Restatement = 2,

    /// <summary>A configuration of a restatement.</summary>
    Configuration = 3,
    HardState = 4,
    Entry = 5,
    CommitHint = 6,

    /// <summary>The snapshot base moved: entries up to it are no longer part of the log.</summary>
    Base = 7,

    /// <summary>The log begins anew at a snapshot (S3): nothing that stands before this record is part of it any more.</summary>
    Snapshot = 8,
}

/// <summary>
/// A record: <c>u32 checksum | u32 length of the payload | u8 kind | payload</c>. The checksum is a CRC-32C over all that follows it, seeded with the checksum of the record before
/// it in the segment, of the first one with the header's (L2): a record is valid only at the end of its own chain. All integers are little-endian.
/// <code>
/// Batch          u64 vouched segment | u64 vouched offset | u32 bytes, padding included | u32 records that follow | u32 head checksum      (L3, L4)
/// Restatement    i64 base index | i64 base term | i64 last index | i64 commit hint | i64 term | u64 vote | u32 configurations | i64 cluster time of the last index (not in format 1)
/// Configuration  i64 index | bytes of ConfigurationCodec
/// HardState      i64 term | u64 vote
/// Entry          i64 index | i64 term | i64 cluster time | u8 kind | body
/// CommitHint     i64 index
/// Base           i64 index | i64 term
/// Snapshot       i64 index | i64 term | i64 cluster time | i64 index of the configuration in force there | bytes of ConfigurationCodec
/// </code>
/// The head checksum (seeded with the header's, over the batch's offset and its fields) can be verified without the chain: behind a broken record it still proves what was flushed.
/// </summary>
internal static class RecordCodec
{
    public const int HeadBytes = 9;
    public const int BatchPayloadBytes = 28;
    public const int BatchRecordBytes = HeadBytes + BatchPayloadBytes;
    public const int RestatementPayloadBytes = 60;
    public const int LeastRestatementPayloadBytes = 52;
    public const int EntryHeaderBytes = 25;
    public const int EntryOverheadBytes = HeadBytes + EntryHeaderBytes;
    public const int HardStateRecordBytes = HeadBytes + 16;
    public const int CommitHintRecordBytes = HeadBytes + 8;
    public const int BaseRecordBytes = HeadBytes + 16;
    public const int SnapshotHeaderBytes = 32;

    /// <summary>No payload is larger: a longer length is damage, and never a reason to allocate.</summary>
    public const int MaxPayloadBytes = 256 * 1024 * 1024;

    public static long RoundUpToBlock(long bytes) => (bytes + SegmentHeader.BlockBytes - 1) / SegmentHeader.BlockBytes * SegmentHeader.BlockBytes;

    /// <summary>Completes a record whose payload is written at <paramref name="record"/>[HeadBytes..]; returns its checksum, the next one's seed.</summary>
    public static uint Seal(Span<byte> record, RecordKind kind, uint chain)
    {
        BinaryPrimitives.WriteInt32LittleEndian(record[4..], record.Length - HeadBytes);
        record[8] = (byte)kind;
        uint checksum = Checksum(record, chain);
        BinaryPrimitives.WriteUInt32LittleEndian(record, checksum);
        return checksum;
    }

    /// <summary>The checksum that a record must have after <paramref name="chain"/>.</summary>
    public static uint Checksum(ReadOnlySpan<byte> record, uint chain)
    {
#if LOOM_MUTATIONS
        if (Mutations.On("L2-old-records-of-recycled-segment"))
            chain = 0;
#endif
        return Crc32C.Continue(chain, record[4..]);
    }

    /// <summary>Bytes of a mark's record.</summary>
    public static int SizeOf(in LogMark mark) => mark.Kind switch
    {
        RecordKind.HardState => HardStateRecordBytes,
        RecordKind.Base => BaseRecordBytes,
        _ => HeadBytes + SnapshotHeaderBytes + mark.Snapshot!.Configuration.Length,
    };

    public static void WriteMark(Span<byte> payload, in LogMark mark)
    {
        if (mark.Kind == RecordKind.HardState)
        {
            BinaryPrimitives.WriteInt64LittleEndian(payload, mark.HardState.Term);
            BinaryPrimitives.WriteUInt64LittleEndian(payload[8..], mark.HardState.Vote.Value);
            return;
        }

        BinaryPrimitives.WriteInt64LittleEndian(payload, mark.Index);
        BinaryPrimitives.WriteInt64LittleEndian(payload[8..], mark.Term);
        if (mark.Snapshot is { } snapshot)
        {
            BinaryPrimitives.WriteInt64LittleEndian(payload[16..], snapshot.ClusterTime);
            BinaryPrimitives.WriteInt64LittleEndian(payload[24..], snapshot.ConfigurationIndex);
            snapshot.Configuration.CopyTo(payload[SnapshotHeaderBytes..]);
        }
    }

    /// <summary>The mark of a HardState, Base or Snapshot record.</summary>
    public static LogMark ReadMark(RecordKind kind, ReadOnlySpan<byte> payload, int before = 0)
    {
        long first = BinaryPrimitives.ReadInt64LittleEndian(payload);
        return kind switch
        {
            RecordKind.HardState => new LogMark(before, kind, new HardState(first, new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(payload[8..]))), 0, 0),
            RecordKind.Base => new LogMark(before, kind, default, first, BinaryPrimitives.ReadInt64LittleEndian(payload[8..])),
            _ => new LogMark(before, kind, default, first, BinaryPrimitives.ReadInt64LittleEndian(payload[8..]), new SnapshotBase(
                BinaryPrimitives.ReadInt64LittleEndian(payload[16..]), BinaryPrimitives.ReadInt64LittleEndian(payload[24..]), payload[SnapshotHeaderBytes..].ToArray())),
        };
    }

    public static void WriteEntry(Span<byte> payload, in Entry entry)
    {
        BinaryPrimitives.WriteInt64LittleEndian(payload, entry.Index);
        BinaryPrimitives.WriteInt64LittleEndian(payload[8..], entry.Term);
        BinaryPrimitives.WriteInt64LittleEndian(payload[16..], entry.ClusterTime);
        payload[24] = (byte)entry.Kind;
        entry.Body.Span.CopyTo(payload[EntryHeaderBytes..]);
    }

    /// <summary>The entry of a payload, with a body of its own (L10); without one when <paramref name="withBody"/> is false.</summary>
    public static Entry ReadEntry(ReadOnlySpan<byte> payload, bool withBody = true) => new(
        BinaryPrimitives.ReadInt64LittleEndian(payload), BinaryPrimitives.ReadInt64LittleEndian(payload[8..]), (EntryKind)payload[24],
        BinaryPrimitives.ReadInt64LittleEndian(payload[16..]), withBody ? payload[EntryHeaderBytes..].ToArray() : default);
}

/// <summary>The payload of a <see cref="RecordKind.Batch"/> record.</summary>
internal readonly record struct BatchHead(LogPosition Vouched, int Bytes, int Records)
{
    private const int CheckedBytes = 24;

    public void Encode(Span<byte> payload, uint segmentChecksum, long offset)
    {
        BinaryPrimitives.WriteInt64LittleEndian(payload, Vouched.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(payload[8..], Vouched.Offset);
        BinaryPrimitives.WriteInt32LittleEndian(payload[16..], Bytes);
        BinaryPrimitives.WriteInt32LittleEndian(payload[20..], Records);
        BinaryPrimitives.WriteUInt32LittleEndian(payload[CheckedBytes..], HeadChecksum(payload, segmentChecksum, offset));
    }

    public static BatchHead Decode(ReadOnlySpan<byte> payload) => new(
        new LogPosition(BinaryPrimitives.ReadInt64LittleEndian(payload), BinaryPrimitives.ReadInt64LittleEndian(payload[8..])),
        BinaryPrimitives.ReadInt32LittleEndian(payload[16..]), BinaryPrimitives.ReadInt32LittleEndian(payload[20..]));

    /// <summary>Looks at a block without knowing the chain: is it the head of a batch of this segment, and what did it vouch for (L4)?</summary>
    public static bool TryDecodeAlone(ReadOnlySpan<byte> record, uint segmentChecksum, long offset, out BatchHead head)
    {
        head = default;
        if (record.Length < RecordCodec.BatchRecordBytes || record[8] != (byte)RecordKind.Batch)
            return false;
        ReadOnlySpan<byte> payload = record.Slice(RecordCodec.HeadBytes, RecordCodec.BatchPayloadBytes);
        if (BinaryPrimitives.ReadUInt32LittleEndian(payload[CheckedBytes..]) != HeadChecksum(payload, segmentChecksum, offset))
            return false;
        head = Decode(payload);
        return true;
    }

    private static uint HeadChecksum(ReadOnlySpan<byte> payload, uint segmentChecksum, long offset)
    {
        Span<byte> place = stackalloc byte[8];
        BinaryPrimitives.WriteInt64LittleEndian(place, offset);
        return Crc32C.Continue(Crc32C.Continue(segmentChecksum, place), payload[..CheckedBytes]);
    }
}
