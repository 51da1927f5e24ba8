using System.Buffers.Binary;
using Loom.Raft;
using Loom.Raft.Diagnostics;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>A record on its way from one store to another.</summary>
internal readonly record struct StateRecord(RecordKey At, ReadOnlyMemory<byte> Bytes);

/// <summary>
/// The bytes of a chunk, little-endian. It says which place it follows and where it ends, so that no chunk can be left out, repeated or taken from another stream unnoticed:
/// <code>
///    0 u32 magic "LMSC" | 4 u16 format = 1 | 6 u16 zero | 8 u32 CRC-32C of the cursor that it ends at and all other bytes | 12 u32 records | 16 u32 length of the cursor that it follows
///   20 the cursor that it follows (StateCursor)
///      then per record: i64 main | i32 sub | u32 length | u32 CRC-32C seeded with main and sub | record (RecordCodec)
/// </code>
/// </summary>
internal static class StateChunkCodec
{
    public const int RecordOverheadBytes = 20;
    private const uint Magic = 0x4353_4D4C;
    private const ushort Format = 1;
    private const int HeaderBytes = 20;

    /// <summary>Size of a chunk without its records.</summary>
    public static int EmptyBytes(ReadOnlyMemory<byte> after) => HeaderBytes + after.Length;

    public static int RecordBytes(ReadOnlyMemory<byte> record) => RecordOverheadBytes + record.Length;

    public static StateChunk Encode(ReadOnlyMemory<byte> after, IReadOnlyList<StateRecord> records, ReadOnlyMemory<byte> end)
    {
        int length = EmptyBytes(after);
        foreach (StateRecord record in records)
        {
            length += RecordBytes(record.Bytes);
        }

        byte[] bytes = GC.AllocateUninitializedArray<byte>(length);
        Span<byte> rest = bytes;
        BinaryPrimitives.WriteUInt32LittleEndian(rest, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[4..], Format);
        BinaryPrimitives.WriteUInt16LittleEndian(rest[6..], 0);
        BinaryPrimitives.WriteInt32LittleEndian(rest[12..], records.Count);
        BinaryPrimitives.WriteInt32LittleEndian(rest[16..], after.Length);
        after.Span.CopyTo(rest[HeaderBytes..]);
        rest = rest[EmptyBytes(after)..];
        foreach (StateRecord record in records)
        {
            BinaryPrimitives.WriteInt64LittleEndian(rest, record.At.Main);
            BinaryPrimitives.WriteInt32LittleEndian(rest[8..], record.At.Sub);
            BinaryPrimitives.WriteInt32LittleEndian(rest[12..], record.Bytes.Length);
            BinaryPrimitives.WriteUInt32LittleEndian(rest[16..], RecordChecksum.Of(record.At, record.Bytes.Span));
            record.Bytes.Span.CopyTo(rest[RecordOverheadBytes..]);
            rest = rest[RecordBytes(record.Bytes)..];
        }

        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), Checksum(bytes, end.Span));
        return new StateChunk(end, bytes);
    }

    /// <summary>The records of a chunk that must follow a cursor, each with its checksum verified; slices of the chunk.</summary>
    /// <exception cref="RaftException">CannotOpen: a newer version made it. Corruption: it is damaged, or follows another place.</exception>
    public static List<StateRecord> Decode(StateChunk chunk, ReadOnlyMemory<byte> after)
    {
        ReadOnlySpan<byte> bytes = chunk.Bytes.Span;
        if (bytes.Length < HeaderBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            throw Damaged("it does not begin as a chunk does");
        }

        // The format before the checksum: another format may have another one.
        ushort format = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != Checksum(bytes, chunk.Cursor.Span))
        {
            throw format == Format ? Damaged("its checksum does not match") : new RaftException(
                RaftErrorCode.CannotOpen, $"A chunk of a state has format {format}; this version of Loom knows {Format}. Nothing was changed. Let members of one version exchange states, or upgrade this one.");
        }

        int count = BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]);
        int afterLength = BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]);
        if (afterLength < 0 || afterLength > bytes.Length - HeaderBytes || !bytes.Slice(HeaderBytes, afterLength).SequenceEqual(after.Span))
        {
            throw Damaged("it follows another place than where this state stands");
        }

        return DecodeRecords(chunk.Bytes[(HeaderBytes + afterLength)..], count);
    }

    private static List<StateRecord> DecodeRecords(ReadOnlyMemory<byte> rest, int count)
    {
        if (count <= 0 || count > rest.Length / RecordOverheadBytes)
        {
            throw Damaged($"it says that it holds {count} records");
        }

        List<StateRecord> records = new(count);
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> span = rest.Span;
            int length = span.Length < RecordOverheadBytes ? -1 : BinaryPrimitives.ReadInt32LittleEndian(span[12..]);
            if (length < 0 || length > span.Length - RecordOverheadBytes)
            {
                throw Damaged($"record {i} of {count} does not fit");
            }

            RecordKey at = new(BinaryPrimitives.ReadInt64LittleEndian(span), BinaryPrimitives.ReadInt32LittleEndian(span[8..]));
            ReadOnlyMemory<byte> record = rest.Slice(RecordOverheadBytes, length);
            if (BinaryPrimitives.ReadUInt32LittleEndian(span[16..]) != RecordChecksum.Of(at, record.Span))
            {
                throw Damaged($"the checksum of record {at.Main}.{at.Sub} does not match");
            }

            records.Add(new(at, record));
            rest = rest[(RecordOverheadBytes + length)..];
        }

        return rest.IsEmpty ? records : throw Damaged($"{rest.Length} bytes follow its last record");
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes, ReadOnlySpan<byte> end) =>
        ~Crc32C.Append(Crc32C.Append(Crc32C.Append(Crc32C.Start, end), bytes[..8]), bytes[12..]);

    internal static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"A chunk of a state is damaged: {what}. It was not taken. Ask for it again, or take the state from another member.");
}
