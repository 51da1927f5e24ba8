using System.Buffers.Binary;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>
/// A place in the walk over a state: behind a version of a key. Nothing: before all. Little-endian:
/// <code>
///   0 u8 format = 1 | 1 i64 main | 9 i32 sub | 13 key …
/// </code>
/// </summary>
internal readonly record struct StateCursor(ReadOnlyMemory<byte> Key, RecordKey At)
{
    private const byte Format = 1;
    private const int HeaderBytes = 13;

    public static StateCursor Start { get; } = new(default, RecordKey.BeforeAll);

    /// <summary>Whether a version of a key comes behind this place.</summary>
    public bool Precedes(ReadOnlySpan<byte> key, RecordKey at)
    {
        int order = Key.Span.SequenceCompareTo(key);
        return order < 0 || (order == 0 && At.CompareTo(at) < 0);
    }

    public ReadOnlyMemory<byte> Encode()
    {
        if (At == RecordKey.BeforeAll)
        {
            return default;
        }

        byte[] bytes = new byte[HeaderBytes + Key.Length];
        bytes[0] = Format;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(1), At.Main);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(9), At.Sub);
        Key.Span.CopyTo(bytes.AsSpan(HeaderBytes));
        return bytes;
    }

    /// <summary>False: these bytes are no cursor of this version.</summary>
    public static bool TryDecode(ReadOnlyMemory<byte> bytes, out StateCursor cursor)
    {
        cursor = Start;
        if (bytes.IsEmpty)
        {
            return true;
        }

        ReadOnlySpan<byte> span = bytes.Span;
        if (span.Length < HeaderBytes || span[0] != Format)
        {
            return false;
        }

        cursor = new(bytes[HeaderBytes..], new(BinaryPrimitives.ReadInt64LittleEndian(span[1..]), BinaryPrimitives.ReadInt32LittleEndian(span[9..])));
        return cursor.At.Main >= 0 && cursor.At.Sub >= 0;
    }
}
