using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Loom.Raft.Diagnostics;

/// <summary>
/// CRC-32C (Castagnoli) by the processor's instruction, the same on every processor (T4): checksums of the log, of frames, envelopes and records, and etcd's HashKV.
/// Loom.Store compiles this file too; neither assembly shows it.
/// </summary>
internal static class Crc32C
{
    /// <summary>Where a running sum begins; its complement is the checksum.</summary>
    public const uint Start = uint.MaxValue;

    /// <summary>A running sum continued over these bytes.</summary>
    public static uint Append(uint sum, ReadOnlySpan<byte> bytes)
    {
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
            sum = BitOperations.Crc32C(sum, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        foreach (byte value in bytes[(words.Length * sizeof(ulong))..])
            sum = BitOperations.Crc32C(sum, value);
        return sum;
    }

    /// <summary>A running sum continued over one byte.</summary>
    public static uint Append(uint sum, byte value) => BitOperations.Crc32C(sum, value);

    /// <summary>A running sum continued over a number's four bytes, little-endian.</summary>
    public static uint Append(uint sum, int value) => BitOperations.Crc32C(sum, (uint)value);

    /// <summary>A running sum continued over a number's eight bytes, little-endian.</summary>
    public static uint Append(uint sum, long value) => BitOperations.Crc32C(sum, (ulong)value);

    /// <summary>The checksum of everything that <paramref name="checksum"/> already covers, followed by these bytes: how records are chained (L2).</summary>
    public static uint Continue(uint checksum, ReadOnlySpan<byte> bytes) => ~Append(~checksum, bytes);
}
