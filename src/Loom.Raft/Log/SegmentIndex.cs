namespace Loom.Raft.Log;

/// <summary>Where a scan for an entry may start: a batch, and the checksum before it.</summary>
internal readonly record struct EntryPlace(long FirstIndex, long Sequence, long Offset, uint ChecksumBefore);

/// <summary>
/// A sparse map from entries to places: one per segment and stride, and one wherever the stream does not go on with the next index.
/// Invariant: places ascend in index and in position; between a place and the next one the stream holds the entries
/// [place.FirstIndex, next.FirstIndex) once each, in order (and perhaps, behind them, some that were superseded).
/// </summary>
internal sealed class SegmentIndex(int strideBytes)
{
    private readonly List<EntryPlace> places = [];
    private long streamLast = -1;

    public int Count => places.Count;

    /// <summary>A batch with the entries [first, last] was written or read at a place behind all earlier ones.</summary>
    public void Add(long first, long last, long sequence, long offset, uint checksumBefore)
    {
        int keep = places.Count;
        while (keep > 0 && places[keep - 1].FirstIndex >= first)
            keep--;
        bool superseded = keep < places.Count || first != streamLast + 1;
        places.RemoveRange(keep, places.Count - keep);
        if (superseded || keep == 0 || places[^1].Sequence != sequence || offset - places[^1].Offset >= strideBytes)
            places.Add(new EntryPlace(first, sequence, offset, checksumBefore));
        streamLast = last;
    }

    /// <summary>The place to scan from for an entry, and the last index that this scan can reach.</summary>
    public (EntryPlace Place, long ReachesTo) Find(long index)
    {
        int at = PlaceOf(index);
        if (at < 0)
            throw new InvalidOperationException($"entry {index} is not on disk");
        return (places[at], at + 1 < places.Count ? places[at + 1].FirstIndex - 1 : long.MaxValue);
    }

    /// <summary>The nearest place at or before an entry, or null when it is not on disk.</summary>
    public EntryPlace? TryFind(long index)
    {
        int at = PlaceOf(index);
        return at < 0 ? null : places[at];
    }

    /// <summary>The oldest segment that holds an entry behind <paramref name="baseIndex"/>; long.MaxValue when none does.</summary>
    public long OldestNeeded(long baseIndex)
    {
        int at = PlaceOf(baseIndex + 1);
        return at >= 0 ? places[at].Sequence : places.Count > 0 ? places[0].Sequence : long.MaxValue;
    }

    public void DropBelow(long baseIndex)
    {
        int at = PlaceOf(baseIndex + 1);
        if (at > 0)
            places.RemoveRange(0, at);
    }

    /// <summary>The log begins anew behind <paramref name="baseIndex"/>.</summary>
    public void Clear(long baseIndex)
    {
        places.Clear();
        streamLast = baseIndex;
    }

    private int PlaceOf(long index)
    {
        int low = 0, high = places.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            if (places[middle].FirstIndex <= index)
                low = middle + 1;
            else
                high = middle;
        }

        return low - 1;
    }
}
