using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>Ordinal order of unsigned bytes: the only order of keys there is (T4).</summary>
internal sealed class ByteOrder : IComparer<ReadOnlyMemory<byte>>
{
    public static readonly ByteOrder Instance = new();

    public int Compare(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceCompareTo(y.Span);
}

/// <summary>etcd's encoding of ranges (see <see cref="KeyRange"/>) in terms of order.</summary>
internal static class KeyRangeOrder
{
    /// <summary>End is one zero byte: no upper bound.</summary>
    public static bool IsOpenEnded(this KeyRange range) => range.End.Length == 1 && range.End.Span[0] == 0;

    public static bool Contains(this KeyRange range, ReadOnlySpan<byte> key)
    {
        if (range.IsSingle)
        {
            return key.SequenceEqual(range.Start.Span);
        }

        return key.SequenceCompareTo(range.Start.Span) >= 0 && (range.IsOpenEnded() || key.SequenceCompareTo(range.End.Span) < 0);
    }

    /// <summary>No key can be in it; not an error.</summary>
    public static bool IsEmpty(this KeyRange range) =>
        !range.IsSingle && !range.IsOpenEnded() && range.End.Span.SequenceCompareTo(range.Start.Span) <= 0;
}
