using System.Diagnostics;

namespace Loom.Store.Mvcc;

// The writer's side: one path from the top to a leaf, changed bottom-up, then published.
internal sealed partial class KeyIndex
{
    // 64-wide, at least half full after splits in random order, and two children per branch at the very least: far beyond any number of keys that fits in memory.
    private const int MaxDepth = 32;

    private readonly KeyBranch[] pathBranches = new KeyBranch[MaxDepth];
    private readonly int[] pathChildren = new int[MaxDepth];
    private readonly Queue<(long Generation, int Entry)> retiredEntries = new();
    private readonly Queue<(long Generation, RetiredBlock Block)> retiredBlocks = new();
    private readonly List<RetiredBlock> left = [];
    private readonly Queue<(long Generation, ulong Key)> retiredKeys = new();

    private KeyNode top = new KeyLeaf(0);
    private long building = 2;
    private RecordKey newest = new(0, -1);
    private bool changed;
    private int pathDepth;
    private KeyLeaf pathLeaf = null!;
    private int pathPosition;
    private bool pathLeadsToKey;

    /// <inheritdoc/>
    public bool TryGetNewest(ReadOnlySpan<byte> key, out KeyHead head)
    {
        if (!Descend(key))
        {
            head = default;
            return false;
        }

        ref KeyEntry entry = ref entries[pathLeaf.Entries[pathPosition]];
        head = new(entry.Head.At, entry.Head.IsDeleted, entry.Create, entry.Version) { Mark = entry.Mark };
        return true;
    }

    /// <inheritdoc/>
    public void Put(ReadOnlySpan<byte> key, RecordKey at, long create, long version, RecordMark mark = default)
    {
        Debug.Assert(create > 0 && create <= at.Main && version > 0, "a live version has a create revision and a version");
        Advance(at);
        KeyChange change = new(at, isDeleted: false);
        if (Descend(key))
        {
            Change(change, create, version, mark);
        }
        else
        {
            ulong stored = keys.Add(key);
            InsertIntoLeaf(entries.Add(new KeyEntry { Key = stored, Head = change, Create = create, Version = version, Mark = mark }), stored, KeyLeaf.PrintOf(key));
            pathLeadsToKey = false;
        }
    }

    /// <inheritdoc/>
    public void Delete(ReadOnlySpan<byte> key, RecordKey at, RecordMark mark = default)
    {
        Advance(at);
        if (!Descend(key) || entries[pathLeaf.Entries[pathPosition]].Head.IsDeleted)
        {
            throw new InvalidOperationException("a key that is not live cannot be deleted");
        }

        Change(new(at, isDeleted: true), 0, 0, mark);
    }

    /// <inheritdoc/>
    public void Publish()
    {
        if (changed)
        {
            Volatile.Write(ref root, new(top, building, newest.Main));
            building++;
            changed = false;
        }

        Reclaim();
    }

    /// <summary>Slots that wait for readers of older generations.</summary>
    internal int Retired => retiredEntries.Count + retiredBlocks.Count + retiredKeys.Count;

    private void Advance(RecordKey at)
    {
        Debug.Assert(at.CompareTo(newest) > 0, "revisions grow");
        newest = at;
        changed = true;
    }

    /// <summary>Remembers the way to a key. True when it is there; else the position is where it belongs.</summary>
    private bool Descend(ReadOnlySpan<byte> key)
    {
        // A write asks for the newest version first, then changes the same key.
        if (pathLeadsToKey && KeyOf(pathLeaf, pathPosition).SequenceEqual(key))
        {
            return true;
        }

        KeyNode node = top;
        pathDepth = 0;
        while (node is KeyBranch branch)
        {
            int child = ChildOf(branch, key);
            pathBranches[pathDepth] = branch;
            pathChildren[pathDepth++] = child;
            node = branch.Children[child]!;
        }

        pathLeaf = (KeyLeaf)node;
        pathLeadsToKey = Find(pathLeaf, key, out pathPosition) || Locate(pathLeaf, key, out pathPosition);
        return pathLeadsToKey;
    }

    /// <summary>Adds a change to the key at the path.</summary>
    private void Change(KeyChange change, long create, long version, RecordMark mark)
    {
        int id = pathLeaf.Entries[pathPosition];
        KeyEntry old = entries[id];
        KeyEntry entry = old with { Head = change, Create = create, Version = version, OlderCount = old.OlderCount + 1, Mark = mark };

        // Readers of the old entry look at its first OlderCount changes only.
        entry.Older = histories.Append(old.Older, old.OlderCount, old.Head, left);
        RetireLeft();
        Replace(id, old, entry);
    }

    private void Replace(int id, in KeyEntry old, in KeyEntry entry)
    {
        retiredEntries.Enqueue((building, id));
        OwnPath();
        pathLeaf.Entries[pathPosition] = entries.Add(entry);
        AddToSums((entry.Head.IsDeleted ? 0 : 1) - (old.Head.IsDeleted ? 0 : 1), (entry.HasHistory ? 1 : 0) - (old.HasHistory ? 1 : 0));
    }

    private void RetireLeft()
    {
        foreach (RetiredBlock block in left)
        {
            retiredBlocks.Enqueue((building, block));
        }

        left.Clear();
    }

    /// <summary>Makes every node of the path the writer's.</summary>
    private void OwnPath()
    {
        if (pathLeaf.Generation == building)
        {
            return;
        }

        pathLeaf = pathLeaf.Own(building);
        KeyNode child = pathLeaf;
        for (int level = pathDepth - 1; level >= 0; level--)
        {
            KeyBranch branch = pathBranches[level].Own(building);
            branch.Children[pathChildren[level]] = child;
            pathBranches[level] = branch;
            child = branch;
        }

        top = child;
    }

    private void AddToSums(int live, int histories)
    {
        pathLeaf.Live += live;
        pathLeaf.Histories += histories;
        for (int level = 0; level < pathDepth; level++)
        {
            pathBranches[level].Live += live;
            pathBranches[level].Histories += histories;
        }
    }

    /// <summary>Inserts a new live key at the path, splitting what is full.</summary>
    private void InsertIntoLeaf(int entry, ulong key, byte print)
    {
        OwnPath();
        AddToSums(1, 0);
        if (pathPosition == 0)
        {
            LowerFirstKeys(key);
        }

        if (pathLeaf.Count < KeyNode.Width)
        {
            pathLeaf.Insert(pathPosition, entry, print);
            return;
        }

        KeyLeaf right = new(building);
        pathLeaf.MoveTo(right, SplitPoint(pathPosition));
        bool goesRight = pathPosition >= pathLeaf.Count && (right.Count == 0 || pathPosition > pathLeaf.Count);
        if (goesRight)
        {
            right.Insert(pathPosition - pathLeaf.Count, entry, print);
        }
        else
        {
            pathLeaf.Insert(pathPosition, entry, print);
        }

        Sum(pathLeaf);
        Sum(right);
        InsertIntoBranch(pathDepth - 1, pathLeaf, FirstKey(right), right);
    }

    private void InsertIntoBranch(int level, KeyNode left, ulong firstKey, KeyNode right)
    {
        if (level < 0)
        {
            KeyBranch grown = new(building);
            grown.Insert(0, FirstKey(left), left);
            grown.Insert(1, firstKey, right);
            grown.Discriminate(keys);
            Sum(grown);
            top = grown;
            return;
        }

        KeyBranch branch = pathBranches[level];
        int position = pathChildren[level] + 1;
        if (branch.Count < KeyNode.Width)
        {
            branch.Insert(position, firstKey, right);
            branch.Discriminate(keys);
            return;
        }

        KeyBranch other = new(building);
        branch.MoveTo(other, SplitPoint(position));
        if (position > branch.Count || other.Count == 0)
        {
            other.Insert(position - branch.Count, firstKey, right);
        }
        else
        {
            branch.Insert(position, firstKey, right);
        }

        branch.Discriminate(keys);
        other.Discriminate(keys);
        Sum(branch);
        Sum(other);
        InsertIntoBranch(level - 1, branch, FirstKey(other), other);
    }

    // Keys that come in ascending order fill the left node to the brim instead of leaving it half empty for ever.
    private static int SplitPoint(int position) => position == KeyNode.Width ? KeyNode.Width : KeyNode.Width / 2;

    /// <summary>Keeps the invariant of <see cref="KeyBranch.FirstKeys"/> after a leaf got a new first key.</summary>
    private void LowerFirstKeys(ulong key)
    {
        for (int level = pathDepth - 1; level >= 0; level--)
        {
            // Only the leftmost of all leaves can get a new first key, and leftmost keys are not among the discriminators.
            Debug.Assert(pathChildren[level] == 0, "a key below the first key of a child belongs to the child before it");
            pathBranches[level].FirstKeys[0] = key;
        }
    }

    private ulong FirstKey(KeyNode node) => node is KeyBranch branch ? branch.FirstKeys[0] : entries[((KeyLeaf)node).Entries[0]].Key;

    private void Sum(KeyLeaf leaf)
    {
        leaf.Live = 0;
        leaf.Histories = 0;
        for (int i = 0; i < leaf.Count; i++)
        {
            ref KeyEntry entry = ref entries[leaf.Entries[i]];
            leaf.Live += entry.Head.IsDeleted ? 0 : 1;
            leaf.Histories += entry.HasHistory ? 1 : 0;
        }
    }

    private static void Sum(KeyBranch branch)
    {
        branch.Live = 0;
        branch.Histories = 0;
        for (int i = 0; i < branch.Count; i++)
        {
            branch.Live += branch.Children[i]!.Live;
            branch.Histories += branch.Children[i]!.Histories;
        }
    }

    /// <summary>Reuses what no reader can reach any more. What readers still hold waits here; they leave within microseconds, unless the machine has stopped them.</summary>
    private void Reclaim()
    {
        if (Retired == 0)
        {
            return;
        }

        long oldest = readers.Oldest(root.Generation);
        while (retiredEntries.TryPeek(out var entry) && entry.Generation <= oldest)
        {
            entries.Free(retiredEntries.Dequeue().Entry);
        }

        while (retiredBlocks.TryPeek(out var block) && block.Generation <= oldest)
        {
            retiredBlocks.Dequeue();
            histories.Free(block.Block);
        }

        while (retiredKeys.TryPeek(out var key) && key.Generation <= oldest)
        {
            keys.Free(retiredKeys.Dequeue().Key);
        }
    }
}
