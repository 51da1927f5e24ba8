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

    /// <summary>Whether each of these keys may be read.</summary>
    public bool MayReadAll(SortedSet<ReadOnlyMemory<byte>> keys) => ContainsAll(reads, keys);

    /// <summary>Whether each of these keys may be written.</summary>
    public bool MayWriteAll(SortedSet<ReadOnlyMemory<byte>> keys) => ContainsAll(writes, keys);

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

    /// <summary>
    /// From span to span, not from key to key: whoever may attach keys decides how many there are, and this is asked for each put that names their lease. Keys in byte order.
    /// </summary>
    private static bool ContainsAll(Span[] spans, SortedSet<ReadOnlyMemory<byte>> keys)
    {
        if (keys.Count == 0)
        {
            return true;
        }

        ReadOnlyMemory<byte> key = keys.Min, last = keys.Max;
        while (true)
        {
            int at = LastFrom(spans, key.Span);
            if (at < 0 || !spans[at].Covers(KeyRange.Single(key)))
            {
                return false;
            }

            if (spans[at].Covers(KeyRange.Single(last)))
            {
                return true;
            }

            // The last key lies behind the span, so there is a first one that does.
            key = keys.GetViewBetween(spans[at].End, last).Min;
        }
    }

    /// <summary>What is asked for must begin in the span, also where the range is empty.</summary>
    private static bool Contains(Span[] spans, KeyRange range) => LastFrom(spans, range.Start.Span) is >= 0 and int at && spans[at].Covers(range);

    /// <summary>The last span that begins at a key or before it; -1: none does.</summary>
    private static int LastFrom(Span[] spans, ReadOnlySpan<byte> start)
    {
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

        return low - 1;
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
