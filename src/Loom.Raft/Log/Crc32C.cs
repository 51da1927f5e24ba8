using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;

namespace Loom.Raft.Log;

/// <summary>CRC-32C (Castagnoli) by the processor's instruction. Continuing from an earlier sum is how records are chained (L2).</summary>
internal static class Crc32C
{
    /// <summary>The sum over everything that <paramref name="seed"/> already covers, followed by these bytes.</summary>
    public static uint Continue(uint seed, ReadOnlySpan<byte> bytes)
    {
        uint sum = ~seed;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
            sum = BitOperations.Crc32C(sum, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        foreach (byte value in bytes[(words.Length * 8)..])
            sum = BitOperations.Crc32C(sum, value);
        return ~sum;
    }
}
