using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Store.Auth;

/// <summary>
/// What a set of permissions permits together: the unions of their ranges, for reading and for writing. A range is permitted when it lies in the union, also where no single permission covers it.
/// Invariant: spans ascend and neither touch nor overlap, so that a permitted range lies in one of them.
/// </summary>
internal sealed class PermissionRanges
{
    private readonly Span[] reads;
    private readonly Span[] writes;

    private PermissionRanges(Span[] reads, Span[] writes)
    {
        this.reads = reads;
        this.writes = writes;
    }

    public static PermissionRanges Of(IReadOnlyList<Permission> permissions) =>
        new(Union(permissions, PermissionKind.Read), Union(permissions, PermissionKind.Write));

    public bool MayRead(KeyRange range) => Contains(reads, range);

    public bool MayWrite(KeyRange range) => Contains(writes, range);

    private static Span[] Union(IReadOnlyList<Permission> permissions, PermissionKind kind)
    {
        List<Span> spans = [];
        foreach (Permission permission in permissions)
        {
            if (permission.Kind == kind || permission.Kind == PermissionKind.ReadWrite)
            {
                spans.Add(Span.Of(permission.Range));
            }
        }

        spans.Sort(static (x, y) => x.Start.Span.SequenceCompareTo(y.Start.Span));
        List<Span> union = [];
        foreach (Span span in spans)
        {
            if (union.Count > 0 && union[^1].Reaches(span.Start.Span))
            {
                union[^1] = union[^1].Through(span);
            }
            else
            {
                union.Add(span);
            }
        }

        return [.. union];
    }

    private static bool Contains(Span[] spans, KeyRange range)
    {
        ReadOnlySpan<byte> start = range.Start.Span;
        int low = 0, high = spans.Length;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (spans[middle].Start.Span.SequenceCompareTo(start) <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        // The last that begins at or before the range. What is asked for must begin in it, also where the range is empty.
        return low > 0 && spans[low - 1].Covers(range);
    }

    /// <param name="Start">The first key.</param>
    /// <param name="End">The first key after it; without <see cref="IsOpen"/>.</param>
    /// <param name="IsOpen">It has no end.</param>
    private readonly record struct Span(ReadOnlyMemory<byte> Start, ReadOnlyMemory<byte> End, bool IsOpen)
    {
        public static Span Of(KeyRange range)
        {
            if (range.IsOpenEnded())
            {
                return new(range.Start, default, IsOpen: true);
            }

            // The key after a key is that key and a zero byte.
            byte[]? next = range.IsSingle ? [.. range.Start.Span, 0] : null;
            return new(range.Start, next ?? range.End, IsOpen: false);
        }

        /// <summary>A span that begins at this key leaves no gap behind this one.</summary>
        public bool Reaches(ReadOnlySpan<byte> key) => IsOpen || key.SequenceCompareTo(End.Span) <= 0;

        public Span Through(in Span next) => IsOpen || next.IsOpen
            ? new(Start, default, IsOpen: true)
            : next.End.Span.SequenceCompareTo(End.Span) > 0 ? this with { End = next.End } : this;

        /// <summary>A range that begins no earlier.</summary>
        public bool Covers(KeyRange range) =>
            IsOpen || (range.Start.Span.SequenceCompareTo(End.Span) < 0
                && (range.IsSingle || (!range.IsOpenEnded() && range.End.Span.SequenceCompareTo(End.Span) <= 0)));
    }
}
