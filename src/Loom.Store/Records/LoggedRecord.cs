using System.Buffers.Binary;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>A record as it stands on FASTER's log (the bytes: <see cref="RecordLogScan"/>).</summary>
internal readonly ref struct LoggedRecord(ReadOnlySpan<byte> bytes, int size)
{
    private const int HeaderBytes = 28;
    private const ulong Valid = 1UL << 56;

    private readonly ReadOnlySpan<byte> bytes = bytes;

    /// <summary>FASTER has not taken it back.</summary>
    public bool IsValid => (BinaryPrimitives.ReadUInt64LittleEndian(bytes) & Valid) != 0;

    public RecordKey Key => new(BinaryPrimitives.ReadInt64LittleEndian(bytes[8..]), BinaryPrimitives.ReadInt32LittleEndian(bytes[16..]));

    /// <summary>Where the record itself begins in it.</summary>
    public static int RecordOffset => HeaderBytes + RecordFunctions.ChecksumBytes;

    public ReadOnlySpan<byte> Record => bytes[(HeaderBytes + RecordFunctions.ChecksumBytes)..(HeaderBytes + size)];

    public bool IsIntact => RecordChecksum.Of(Key, Record) == BinaryPrimitives.ReadUInt32LittleEndian(bytes[HeaderBytes..]);

    /// <summary>Bytes that it takes.</summary>
    public int Length => (HeaderBytes + size + 7) & ~7;

    /// <summary>The record at the front of what is left of a page. False: the rest of the page is empty.</summary>
    /// <exception cref="InvalidDataException">There is none.</exception>
    public static bool TryRead(ReadOnlySpan<byte> rest, out LoggedRecord record)
    {
        record = default;
        if (rest.Length < 8 || BinaryPrimitives.ReadUInt64LittleEndian(rest) == 0)
        {
            return false;
        }

        int size = rest.Length < HeaderBytes + RecordFunctions.ChecksumBytes ? -1 : BinaryPrimitives.ReadInt32LittleEndian(rest[24..]);
        if (size < RecordFunctions.ChecksumBytes || size > rest.Length - HeaderBytes)
        {
            throw new InvalidDataException($"there is no record header ({size} bytes)");
        }

        record = new(rest, size);
        return true;
    }
}
