using System.Buffers.Binary;
using System.IO.Hashing;

namespace Loom.Raft.Diagnostics;

/// <summary>128-bit hash that is the same in every process and on every processor (T4). It lives here because the pure folders may not name System.IO (T3).</summary>
internal static class StableHash
{
    public static UInt128 Of(ReadOnlySpan<byte> bytes) => XxHash128.HashToUInt128(bytes);

    /// <summary>Chains a hash: H(previous, bytes).</summary>
    public static UInt128 Chain(UInt128 previous, ReadOnlySpan<byte> bytes)
    {
        Span<byte> head = stackalloc byte[16];
        BinaryPrimitives.WriteUInt128LittleEndian(head, previous);
        var hash = new XxHash128();
        hash.Append(head);
        hash.Append(bytes);
        return hash.GetCurrentHashAsUInt128();
    }
}
