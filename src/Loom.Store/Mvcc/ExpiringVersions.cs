using System.Runtime.InteropServices;

namespace Loom.Store.Mvcc;

/// <summary>
/// The versions that a later compaction takes out of the state, in the order of the revision from which on it does: 16 bytes each, in blocks that know their own sums,
/// so that a compaction of millions costs the applier a look at each block. As long as the history that the index keeps, and dropped with it.
/// </summary>
internal sealed class ExpiringVersions
{
    private const int BlockLength = 1024;

    private readonly Queue<Block> blocks = new();
    private Block? newest;

    /// <summary>Adds a version that no state compacted at <paramref name="expiry"/> or later holds. Expiries never fall.</summary>
    public void Add(long expiry, in RecordMark mark)
    {
        if (newest is null || newest.Count == BlockLength || expiry - newest.First > int.MaxValue)
        {
            newest = new Block(expiry);
            blocks.Enqueue(newest);
        }

        newest.Add(expiry, mark);
    }

    /// <summary>Takes what a compaction at <paramref name="revision"/> drops.</summary>
    public ContentSums Take(long revision)
    {
        ContentSums taken = default;
        while (blocks.TryPeek(out Block? block))
        {
            if (block.Last > revision)
            {
                return block.Take(revision, taken);
            }

            taken = new(unchecked(taken.Hash + block.Sums.Hash), taken.Records + block.Sums.Records, taken.Bytes + block.Sums.Bytes);
            blocks.Dequeue();
        }

        newest = null;
        return taken;
    }

    private sealed class Block
    {
        private Item[] items = new Item[16];
        private int start;

        public Block(long first)
        {
            First = first;
            Last = first;
        }

        public long First { get; }

        public long Last { get; private set; }

        public int Count { get; private set; }

        /// <summary>Of what was not taken yet.</summary>
        public ContentSums Sums { get; private set; }

        public void Add(long expiry, in RecordMark mark)
        {
            if (Count == items.Length)
            {
                Array.Resize(ref items, Math.Min(items.Length * 4, BlockLength));
            }

            items[Count++] = new Item(mark.Hash, mark.Bytes, (int)(expiry - First));
            Last = expiry;
            Sums = Sums.With(mark);
        }

        public ContentSums Take(long revision, ContentSums taken)
        {
            for (; start < Count && First + items[start].After <= revision; start++)
            {
                RecordMark mark = new(items[start].Hash, items[start].Bytes);
                taken = taken.With(mark);
                Sums = Sums.Without(mark);
            }

            return taken;
        }
    }

    [StructLayout(LayoutKind.Sequential)]
    private readonly record struct Item(ulong Hash, int Bytes, int After);
}
