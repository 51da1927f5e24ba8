using System.Buffers.Binary;
using System.Numerics;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>crc32c of a record, seeded with its key: a record that FASTER returns under another key is as wrong as one with a flipped bit. FASTER itself checks nothing.</summary>
internal static class RecordChecksum
{
    public static uint Of(RecordKey key, ReadOnlySpan<byte> record)
    {
        uint crc = BitOperations.Crc32C(BitOperations.Crc32C(uint.MaxValue, (ulong)key.Main), (uint)key.Sub);
        while (record.Length >= sizeof(ulong))
        {
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(record));
            record = record[sizeof(ulong)..];
        }

        foreach (byte b in record)
        {
            crc = BitOperations.Crc32C(crc, b);
        }

        return crc;
    }
}
