using System.IO.Hashing;

namespace Loom.Raft.Diagnostics;

/// <summary>128-bit hash that is the same in every process and on every processor (T4). It lives here because the pure folders may not name System.IO (T3).</summary>
internal static class StableHash
{
    public static UInt128 Of(ReadOnlySpan<byte> bytes) => XxHash128.HashToUInt128(bytes);
}
