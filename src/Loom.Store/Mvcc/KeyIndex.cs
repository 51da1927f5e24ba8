using System.Numerics;

namespace Loom.Store.Mvcc;

/// <summary>
/// The ordered index: a copy-on-write tree of width 64 over slabs (KeyIndexSlabs.cs). One writer, the applier; readers from any thread, without locks, each in a tree that never changes.
/// </summary>
/// <remarks>
/// The writer builds generation g: nodes of older generations are copied, its own change in place, a changed key gets a new entry. <see cref="Publish"/> shows g to readers by one
/// write of the root. What g replaced is retired under g and reused when every reader that could have taken an older root has left (<see cref="KeyIndexReaders"/>).
/// One key through its life, C = compaction at 6 (T = tombstone, the list is oldest first):
/// <code>
///   put@2          head 2            older []            create 2 version 1
///   put@4          head 4            older [2]           create 2 version 2
///   del@6          head 6T           older [2 4]         not live
///   put@9          head 9            older [2 4 6T]      create 9 version 1
///   C              head 9            older [6T]          the tombstone at 6 itself stays: a watch from 6 delivers it; compaction at 7 drops it
/// </code>
/// About 90 bytes per key of 24 bytes: entry 56, key 24, place in a leaf 8, and 12 per older change.
/// </remarks>
internal sealed partial class KeyIndex : IKeyIndex
{
    private readonly EntrySlab entries = new();
    private readonly KeySlab keys = new();
    private readonly KeyHistories histories = new();
    private readonly KeyIndexReaders readers = new();
    private KeyRoot root = new(new KeyLeaf(0), 1, 0);

    /// <inheritdoc/>
    public long LiveKeys => Volatile.Read(ref root).Top.Live;

    /// <summary>Bytes of the slabs, free blocks included; nodes (about 8 per key) are not.</summary>
    public long SlabBytes => entries.Bytes + keys.Bytes + histories.Bytes;

    /// <inheritdoc/>
    public bool TryFind(ReadOnlySpan<byte> key, long revision, out RecordKey at)
    {
        if (revision == long.MaxValue)
        {
            return TryFind(top, key, revision, out at);
        }

        ref long place = ref readers.Enter(Volatile.Read(ref root).Generation);
        try
        {
            return TryFind(Volatile.Read(ref root).Top, key, revision, out at);
        }
        finally
        {
            KeyIndexReaders.Exit(ref place);
        }
    }

    /// <inheritdoc/>
    public void Visit<TVisitor>(ReadOnlySpan<byte> start, ReadOnlySpan<byte> end, long revision, ref TVisitor visitor)
        where TVisitor : struct, IKeyVisitor
    {
        if (revision == long.MaxValue)
        {
            Visit(top, start, end, revision, ref visitor);
            return;
        }

        ref long place = ref readers.Enter(Volatile.Read(ref root).Generation);
        try
        {
            Visit(Volatile.Read(ref root).Top, start, end, revision, ref visitor);
        }
        finally
        {
            KeyIndexReaders.Exit(ref place);
        }
    }

    /// <inheritdoc/>
    public long Count(ReadOnlySpan<byte> start, ReadOnlySpan<byte> end, long revision)
    {
        if (!end.IsEmpty && end.SequenceCompareTo(start) <= 0)
        {
            return 0;
        }

        if (revision == long.MaxValue)
        {
            return CountNewest(top, start, end);
        }

        ref long place = ref readers.Enter(Volatile.Read(ref root).Generation);
        try
        {
            KeyRoot seen = Volatile.Read(ref root);
            if (revision >= seen.NewestMain)
            {
                return CountNewest(seen.Top, start, end);
            }

            Counter counter = default;
            Visit(seen.Top, start, end, revision, ref counter);
            return counter.Keys;
        }
        finally
        {
            KeyIndexReaders.Exit(ref place);
        }
    }

    private bool TryFind(KeyNode node, ReadOnlySpan<byte> key, long revision, out RecordKey at)
    {
        while (node is KeyBranch branch)
        {
            node = branch.Children[ChildOf(branch, key)]!;
        }

        KeyLeaf leaf = (KeyLeaf)node;
        if (!Find(leaf, key, out int position))
        {
            at = default;
            return false;
        }

        return TryLiveAt(ref entries[leaf.Entries[position]], revision, out at);
    }

    /// <summary>The newest change at or below a revision, if it is no tombstone.</summary>
    private bool TryLiveAt(ref KeyEntry entry, long revision, out RecordKey at)
    {
        KeyChange change = entry.Head;
        if (change.Main > revision)
        {
            KeyHistory older = histories.Get(entry.Older, entry.OlderCount);
            int newest = older.NewestAtOrBelow(revision);
            if (newest < 0)
            {
                at = default;
                return false;
            }

            change = older[newest];
        }

        at = change.At;
        return !change.IsDeleted;
    }

    /// <summary>The child in which a key belongs: the last whose first key is ≤ it, else the first.</summary>
    private int ChildOf(KeyBranch branch, ReadOnlySpan<byte> key)
    {
        if (branch.Count < 2)
        {
            return 0;
        }

        int common = branch.CommonBytes;
        int order = key[..Math.Min(common, key.Length)].SequenceCompareTo(keys.Get(branch.FirstKeys[1])[..common]);
        if (order != 0)
        {
            return order < 0 ? 0 : branch.Count - 1;
        }

        ulong discriminator = KeyBranch.Discriminator(key, common);
        int low = 1, high = branch.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            ulong other = branch.Discriminators[middle];
            if (other < discriminator || (other == discriminator && keys.Get(branch.FirstKeys[middle]).SequenceCompareTo(key) <= 0))
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

    /// <summary>Position of a key in a leaf, by its print.</summary>
    private bool Find(KeyLeaf leaf, ReadOnlySpan<byte> key, out int position)
    {
        for (ulong candidates = leaf.Match(KeyLeaf.PrintOf(key)); candidates != 0; candidates &= candidates - 1)
        {
            position = BitOperations.TrailingZeroCount(candidates);
            if (position >= leaf.Count)
            {
                break;
            }

            if (KeyOf(leaf, position).SequenceEqual(key))
            {
                return true;
            }
        }

        position = 0;
        return false;
    }

    /// <summary>Position of a key in a leaf, or where it would be inserted.</summary>
    private bool Locate(KeyLeaf leaf, ReadOnlySpan<byte> key, out int position)
    {
        int low = 0, high = leaf.Count;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            int order = KeyOf(leaf, middle).SequenceCompareTo(key);
            if (order == 0)
            {
                position = middle;
                return true;
            }

            if (order < 0)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        position = low;
        return false;
    }

    private ReadOnlySpan<byte> KeyOf(KeyLeaf leaf, int position) => keys.Get(entries[leaf.Entries[position]].Key);

    /// <summary>Walks [start, end) below a node in order; an empty start or end is no bound. False: the visitor or the end stopped it.</summary>
    private bool Visit<TVisitor>(KeyNode node, ReadOnlySpan<byte> start, ReadOnlySpan<byte> end, long revision, ref TVisitor visitor)
        where TVisitor : struct, IKeyVisitor
    {
        if (node is KeyBranch branch)
        {
            for (int i = start.IsEmpty ? 0 : ChildOf(branch, start); i < branch.Count; i++, start = default)
            {
                if (!Visit(branch.Children[i]!, start, end, revision, ref visitor))
                {
                    return false;
                }
            }

            return true;
        }

        KeyLeaf leaf = (KeyLeaf)node;
        int position = 0;
        if (!start.IsEmpty)
        {
            Locate(leaf, start, out position);
        }

        for (; position < leaf.Count; position++)
        {
            ref KeyEntry entry = ref entries[leaf.Entries[position]];
            ReadOnlySpan<byte> key = keys.Get(entry.Key);
            if (!end.IsEmpty && key.SequenceCompareTo(end) >= 0)
            {
                return false;
            }

            if (TryLiveAt(ref entry, revision, out RecordKey at) && !visitor.Visit(key, at))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>Live keys in [start, end) by the sums in the nodes: only the two edges of the range are walked.</summary>
    private long CountNewest(KeyNode node, ReadOnlySpan<byte> start, ReadOnlySpan<byte> end)
    {
        if (start.IsEmpty && end.IsEmpty)
        {
            return node.Live;
        }

        if (node is KeyBranch branch)
        {
            int first = start.IsEmpty ? 0 : ChildOf(branch, start);
            int last = end.IsEmpty ? branch.Count - 1 : ChildOf(branch, end);
            long sum = 0;
            for (int i = first; i <= last; i++)
            {
                sum += CountNewest(branch.Children[i]!, i == first ? start : default, i == last ? end : default);
            }

            return sum;
        }

        Counter counter = default;
        Visit(node, start, end, long.MaxValue, ref counter);
        return counter.Keys;
    }

    private struct Counter : IKeyVisitor
    {
        public long Keys;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            Keys++;
            return true;
        }
    }
}
