using System.Runtime.InteropServices;

namespace Loom.Store.Mvcc;

/// <summary>
/// The older changes of each key. Up to <see cref="PageLength"/> of them stand in one block, which is doubled when it is full. A longer history (a counter that every request writes,
/// not compacted for an hour) is a table of pages, so that neither the next change nor a step of compaction ever copies millions:
/// <code>
///   table: first position in page 0 | page 0 | page 1 | …      a block of the same slab, read as ints; it is doubled when it is full, pages never are
/// </code>
/// The writer adds behind the count that readers were given; everything else that a reader may see never changes.
/// </summary>
internal sealed class KeyHistories
{
    /// <summary>Changes in one page.</summary>
    public const int PageLength = 1024;

    private const int IntsPerChange = 3;

    private readonly ChangeSlab slab = new();

    public long Bytes => slab.Bytes;

    public KeyHistory Get(int history, int count)
    {
        if (count <= PageLength)
        {
            return new KeyHistory(slab, slab.Get(history, count), default, 0, count);
        }

        Span<int> table = Table(history, count);
        return new KeyHistory(slab, default, table[1..], table[0], count);
    }

    /// <summary>Adds a change and returns the history, which may be another one. What it leaves behind is added to <paramref name="retired"/>.</summary>
    public int Append(int history, int count, KeyChange change, List<RetiredBlock> retired)
    {
        if (count >= PageLength)
        {
            return AppendToPages(history, count, change, retired);
        }

        if (count == 0 || count == ChangeSlab.Capacity(count))
        {
            int larger = slab.Allocate(ChangeSlab.Capacity(count + 1));
            slab.Get(history, count).CopyTo(slab.Get(larger, count + 1));
            if (count > 0)
            {
                retired.Add(new(history, count));
            }

            history = larger;
        }

        slab.Get(history, count + 1)[count] = change;
        return history;
    }

    /// <summary>The history without its oldest changes. What it leaves behind is added to <paramref name="retired"/>.</summary>
    public int DropOldest(int history, ref int count, int drop, List<RetiredBlock> retired)
    {
        int left = count - drop;
        if (count > PageLength && left > PageLength)
        {
            return DropPages(history, ref count, drop, retired);
        }

        int kept = 0;
        if (left > 0)
        {
            kept = slab.Allocate(ChangeSlab.Capacity(left));
            Get(history, count).CopyTo(drop, slab.Get(kept, left));
        }

        Retire(history, count, retired);
        count = left;
        return kept;
    }

    /// <summary>Adds all blocks of a history to <paramref name="retired"/>.</summary>
    public void Retire(int history, int count, List<RetiredBlock> retired)
    {
        if (count > PageLength)
        {
            Span<int> table = Table(history, count);
            RetirePages(table[1..], retired);
            retired.Add(new(history, TableLength(table.Length)));
        }
        else if (count > 0)
        {
            retired.Add(new(history, count));
        }
    }

    /// <summary>No reader can see it any more.</summary>
    public void Free(RetiredBlock block) => slab.Free(block.Block, block.Count);

    private int AppendToPages(int history, int count, KeyChange change, List<RetiredBlock> retired)
    {
        if (count == PageLength)
        {
            // The full block becomes the first page as it is.
            int table = slab.Allocate(TableLength(2));
            Ints(table, TableLength(2))[0] = 0;
            Ints(table, TableLength(2))[1] = history;
            history = table;
        }

        int start = Ints(history, 1)[0];
        int page = (start + count) / PageLength;
        int place = (start + count) % PageLength;
        if (place == 0)
        {
            history = AddPage(history, page, retired);
        }

        slab.Get(Ints(history, TableLength(page + 2))[1 + page], PageLength)[place] = change;
        return history;
    }

    private int AddPage(int history, int pages, List<RetiredBlock> retired)
    {
        int length = TableLength(1 + pages);
        if (2 + pages > length * IntsPerChange)
        {
            int larger = slab.Allocate(TableLength(2 + pages));
            slab.Get(history, length).CopyTo(slab.Get(larger, length));
            retired.Add(new(history, length));
            history = larger;
        }

        Ints(history, TableLength(2 + pages))[1 + pages] = slab.Allocate(PageLength);
        return history;
    }

    private int DropPages(int history, ref int count, int drop, List<RetiredBlock> retired)
    {
        Span<int> table = Table(history, count);
        int pages = (table[0] + drop) / PageLength;
        int start = (table[0] + drop) % PageLength;
        int length = table.Length - pages;
        int shorter = slab.Allocate(TableLength(length));
        Span<int> target = Ints(shorter, TableLength(length));
        target[0] = start;
        table[(1 + pages)..].CopyTo(target[1..]);
        RetirePages(table.Slice(1, pages), retired);
        retired.Add(new(history, TableLength(table.Length)));
        count -= drop;
        return shorter;
    }

    private static void RetirePages(ReadOnlySpan<int> pages, List<RetiredBlock> retired)
    {
        foreach (int page in pages)
        {
            retired.Add(new(page, PageLength));
        }
    }

    /// <summary>The part of a table that a history of this many changes uses.</summary>
    private Span<int> Table(int history, int count)
    {
        int pages = (Ints(history, 1)[0] + count + PageLength - 1) / PageLength;
        return Ints(history, TableLength(1 + pages))[..(1 + pages)];
    }

    /// <summary>How long a block is that holds a table of so many numbers.</summary>
    private static int TableLength(int ints) => ChangeSlab.Capacity((ints + IntsPerChange - 1) / IntsPerChange);

    private Span<int> Ints(int block, int length) => MemoryMarshal.Cast<KeyChange, int>(slab.Get(block, length));
}

/// <summary>A block that nothing refers to any more.</summary>
internal readonly record struct RetiredBlock(int Block, int Count);

/// <summary>The older changes of a key, oldest first.</summary>
internal readonly ref struct KeyHistory(ChangeSlab slab, ReadOnlySpan<KeyChange> plain, ReadOnlySpan<int> pages, int start, int length)
{
    private readonly ReadOnlySpan<KeyChange> plain = plain;
    private readonly ReadOnlySpan<int> pages = pages;

    public int Length => length;

    public KeyChange this[int position]
    {
        get
        {
            if (pages.IsEmpty)
            {
                return plain[position];
            }

            (int page, int place) = Math.DivRem(start + position, KeyHistories.PageLength);
            return slab.Get(pages[page], KeyHistories.PageLength)[place];
        }
    }

    /// <summary>Copies what follows a position.</summary>
    public void CopyTo(int from, Span<KeyChange> target)
    {
        for (int i = 0; i < target.Length; i++)
        {
            target[i] = this[from + i];
        }
    }

    /// <summary>Position of the last change with main ≤ revision, or -1.</summary>
    public int NewestAtOrBelow(long revision)
    {
        int low = 0, high = length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (this[middle].Main <= revision)
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

    /// <summary>Position of the first change above a version, or the length.</summary>
    public int FirstAbove(RecordKey after)
    {
        int low = 0, high = length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (this[middle].At.CompareTo(after) <= 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }
}
