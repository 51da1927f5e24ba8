using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Loom.Store.Mvcc;

/// <summary>
/// Sums over the state as S2 defines it: every version above the compacted revision, and per key the newest at or below it, unless that is a tombstone strictly below.
/// A function of the log alone: a compaction counts at once and in full when it is applied, however much of it is trimmed, so replicas at one index have the same sums (S5).
/// The applier's.
/// </summary>
/// <remarks>
/// What each version needs is known when it is written or replaced: a version that is followed by another at revision r leaves with a compaction at r or later,
/// a tombstone at m with one at m + 1 or later, or at m when its own transaction puts the key again:
/// <code>
///   put@2 put@4 del@6 put@9      2 leaves at 4, 4 at 6, the tombstone 6 at 7; 9 stays
/// </code>
/// </remarks>
internal sealed class StateContent
{
    private readonly ExpiringVersions replaced = new();
    private readonly ExpiringVersions tombstones = new();

    // Tombstones of the newest revision: its transaction may still put their keys again. In order of sub.
    private readonly List<(RecordKey At, RecordMark Mark, bool Replaced)> fresh = [];

    /// <summary>What the state holds.</summary>
    public ContentSums Sums { get; private set; }

    /// <summary>A state that was loaded: its sums, and what later compactions drop of it, in any order (<see cref="ContentLoader"/>).</summary>
    public static StateContent Load(ContentSums sums, List<(long Expiry, RecordMark Mark)> expiring)
    {
        StateContent content = new() { Sums = sums };
        expiring.Sort(static (a, b) => a.Expiry.CompareTo(b.Expiry));
        foreach ((long expiry, RecordMark mark) in expiring)
        {
            content.replaced.Add(expiry, mark);
        }

        return content;
    }

    /// <summary>A version is written. <paramref name="old"/> is the key's newest one before, if there is one. Revisions grow.</summary>
    public void Add(RecordKey at, bool isTombstone, in RecordMark mark, in KeyHead? old)
    {
        Settle(at.Main);
        Sums = Sums.With(mark);
        if (old is { } replacedHead)
        {
            Replace(replacedHead, at.Main);
        }

        if (isTombstone)
        {
            fresh.Add((at, mark, false));
        }
    }

    /// <summary>The state is compacted at a revision that is not above the newest one.</summary>
    public void Compact(long revision) => Sums = Sums.Without(replaced.Take(revision)).Without(tombstones.Take(revision));

    private void Replace(in KeyHead old, long by)
    {
        Debug.Assert(old.At.Main <= by, "revisions grow");
        if (!old.IsDeleted)
        {
            replaced.Add(by, old.Mark);
        }
        else if (old.At.Main == by)
        {
            replaced.Add(by, old.Mark);
            int place = fresh.BinarySearch((old.At, default, default), BySub);
            fresh[place] = fresh[place] with { Replaced = true };
        }
    }

    private void Settle(long revision)
    {
        if (fresh.Count == 0 || fresh[0].At.Main == revision)
        {
            return;
        }

        foreach ((RecordKey at, RecordMark mark, bool isReplaced) in CollectionsMarshal.AsSpan(fresh))
        {
            if (!isReplaced)
            {
                tombstones.Add(at.Main + 1, mark);
            }
        }

        // One huge delete must not pin its memory for ever.
        fresh.Clear();
        if (fresh.Capacity > 65_536)
        {
            fresh.Capacity = 0;
        }
    }

    private static readonly Comparer<(RecordKey At, RecordMark Mark, bool Replaced)> BySub = Comparer<(RecordKey At, RecordMark Mark, bool Replaced)>.Create(static (a, b) => a.At.CompareTo(b.At));
}
