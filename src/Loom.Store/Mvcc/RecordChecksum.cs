using Loom.Raft.Diagnostics;

namespace Loom.Store.Mvcc;

/// <summary>crc32c of a record, seeded with its key: a record that is found under another key is as wrong as one with a flipped bit. FASTER itself checks nothing.</summary>
internal static class RecordChecksum
{
    public static uint Of(RecordKey key, ReadOnlySpan<byte> record) => Crc32C.Append(Crc32C.Append(Crc32C.Append(Crc32C.Start, key.Main), key.Sub), record);
}
