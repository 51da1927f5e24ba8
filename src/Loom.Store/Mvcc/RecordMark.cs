using System.IO.Hashing;
using System.Runtime.InteropServices;

namespace Loom.Store.Mvcc;

/// <summary>What the index remembers of a record, so that the content of the state is known without reading it back: 12 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly record struct RecordMark(ulong Hash, int Bytes)
{
    /// <summary>XxHash3 of the record, seeded with its revision: the same bytes under another revision are other content.</summary>
#pragma warning disable RS0030 // System.IO.Hashing does no I/O; its namespace only says so.
    public static RecordMark Of(RecordKey at, ReadOnlySpan<byte> record) => new(XxHash3.HashToUInt64(record, Seed(at)), record.Length);
#pragma warning restore RS0030

    private static long Seed(RecordKey at)
    {
        ulong mixed = ((ulong)at.Main * 0x9E3779B97F4A7C15) + (uint)at.Sub;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
        return (long)(mixed ^ (mixed >> 31));
    }
}
