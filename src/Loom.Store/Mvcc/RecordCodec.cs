using System.Buffers.Binary;
using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>
/// The payload of a record, little-endian; the store adds a checksum seeded with the record's revision:
/// <code>
/// offset 0     1        9         17      25           29   29 + key length
///        flags create   version   lease   key length   key  value …
/// </code>
/// flags: 0x10 = this layout, +1 = tombstone (then only the key is there). The mod revision is the record's own key.
/// </summary>
internal static class RecordCodec
{
    public const int HeaderBytes = 29;
    private const byte Layout = 0x10;
    private const byte Tombstone = 0x01;

    public static int Size(in Change change) => HeaderBytes + change.Key.Length + change.Value.Length;

    public static void Write(in Change change, Span<byte> record)
    {
        record[0] = (byte)(Layout | (change.IsTombstone ? Tombstone : 0));
        BinaryPrimitives.WriteInt64LittleEndian(record[1..], change.Create);
        BinaryPrimitives.WriteInt64LittleEndian(record[9..], change.Version);
        BinaryPrimitives.WriteInt64LittleEndian(record[17..], change.Lease);
        BinaryPrimitives.WriteInt32LittleEndian(record[25..], change.Key.Length);
        change.Key.Span.CopyTo(record[HeaderBytes..]);
        change.Value.Span.CopyTo(record[(HeaderBytes + change.Key.Length)..]);
    }

    public static bool IsTombstone(ReadOnlySpan<byte> record) => (record[0] & Tombstone) != 0;

    public static ReadOnlySpan<byte> Key(ReadOnlySpan<byte> record) => record.Slice(HeaderBytes, BinaryPrimitives.ReadInt32LittleEndian(record[25..]));

    /// <summary>What the index needs of a record.</summary>
    public static RecordHeader ReadHeader(RecordKey at, ReadOnlySpan<byte> record)
    {
        int keyLength = CheckLayout(at, record);
        return new RecordHeader(
            record.Slice(HeaderBytes, keyLength), IsTombstone(record), BinaryPrimitives.ReadInt64LittleEndian(record[1..]), BinaryPrimitives.ReadInt64LittleEndian(record[9..]),
            BinaryPrimitives.ReadInt64LittleEndian(record[17..]));
    }

    /// <summary>The pair; its key and value are slices of <paramref name="record"/>. A tombstone has only its key and mod revision.</summary>
    public static KeyValue Read(RecordKey at, ReadOnlyMemory<byte> record)
    {
        ReadOnlySpan<byte> span = record.Span;
        int keyLength = CheckLayout(at, span);
        return new KeyValue(
            record.Slice(HeaderBytes, keyLength),
            record[(HeaderBytes + keyLength)..],
            BinaryPrimitives.ReadInt64LittleEndian(span[1..]),
            at.Main,
            BinaryPrimitives.ReadInt64LittleEndian(span[9..]),
            BinaryPrimitives.ReadInt64LittleEndian(span[17..]));
    }

    /// <summary>Length of the key.</summary>
    private static int CheckLayout(RecordKey at, ReadOnlySpan<byte> record)
    {
        if (record.Length < HeaderBytes || (record[0] & ~Tombstone) != Layout)
        {
            throw new LoomException(LoomErrorCode.Corruption, $"LOOM1020: the record of revision {at.Main}.{at.Sub} has an unknown layout. Restart this member with an empty records directory: it is rebuilt from the log.");
        }

        int keyLength = BinaryPrimitives.ReadInt32LittleEndian(record[25..]);
        return (uint)keyLength <= (uint)(record.Length - HeaderBytes)
            ? keyLength
            : throw new LoomException(LoomErrorCode.Corruption, $"LOOM1020: the record of revision {at.Main}.{at.Sub} has a key of {keyLength} bytes in {record.Length}. Restart this member with an empty records directory: it is rebuilt from the log.");
    }
}

/// <summary>What the index, and the table of leases, need of a record.</summary>
internal readonly ref struct RecordHeader(ReadOnlySpan<byte> key, bool isTombstone, long create, long version, long lease)
{
    public readonly ReadOnlySpan<byte> Key = key;
    public readonly bool IsTombstone = isTombstone;
    public readonly long Create = create;
    public readonly long Version = version;
    public readonly long Lease = lease;
}
