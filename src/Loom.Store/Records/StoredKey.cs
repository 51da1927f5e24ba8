using System.Runtime.CompilerServices;
using FASTER.core;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>
/// A record key as FASTER keeps it: 16 bytes, none undefined, because FASTER writes them to the disk as they are (S1).
/// The hash matters: FASTER's own of main &lt;&lt; 16 reaches an eighth of the buckets, and keys that share bucket and tag chain through the log, one disk read each.
/// </summary>
internal readonly struct StoredKey(RecordKey key) : IFasterEqualityComparer<StoredKey>
{
    public readonly long Main = key.Main;
    public readonly int Sub = key.Sub;

    /// <summary>Occupies what would be padding.</summary>
    public readonly int Zero = 0;

    public RecordKey Key => new(Main, Sub);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public bool Equals(ref StoredKey a, ref StoredKey b) => a.Main == b.Main && a.Sub == b.Sub;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public long GetHashCode64(ref StoredKey key)
    {
        ulong z = ((ulong)key.Main * 0x9E3779B97F4A7C15) + (uint)key.Sub;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return (long)(z ^ (z >> 31));
    }
}
