namespace Loom.Store.Mvcc;

// Compaction: histories are trimmed to what etcd keeps, dead keys leave the tree.
internal sealed partial class KeyIndex
{
    // Below this many together, neighbours are merged. Far under the width, so that the next insert does not split them again.
    private const int MergeBelow = KeyNode.Width / 2;

    private readonly List<ulong> examined = [];

    /// <inheritdoc/>
    public bool Compact(long revision, ref byte[]? cursor, int budget, List<RecordKey> removed)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(budget, 1);
        examined.Clear();
        bool done = CollectHistories(top, cursor ?? [], budget);
        cursor = done ? null : keys.Get(examined[^1]).ToArray();
        foreach (ulong key in done ? examined : examined[..^1])
        {
            Trim(key, revision, removed);
        }

        Publish();
        return done;
    }

    /// <summary>Collects the keys ≥ start that hold more than one live head, one more than the budget: the next step starts with it. True when there are no more.</summary>
    private bool CollectHistories(KeyNode node, ReadOnlySpan<byte> start, int budget)
    {
        if (node.Histories == 0)
        {
            return true;
        }

        if (node is KeyBranch branch)
        {
            for (int i = start.IsEmpty ? 0 : ChildOf(branch, start); i < branch.Count; i++, start = default)
            {
                if (!CollectHistories(branch.Children[i]!, start, budget))
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
            if (entry.HasHistory)
            {
                examined.Add(entry.Key);
                if (examined.Count > budget)
                {
                    return false;
                }
            }
        }

        return true;
    }

    /// <summary>Drops the changes of a key that a compaction makes unreachable; drops the key when none is left.</summary>
    private void Trim(ulong key, long revision, List<RecordKey> removed)
    {
        Descend(keys.Get(key));
        int id = pathLeaf.Entries[pathPosition];
        KeyEntry old = entries[id];
        ReadOnlySpan<KeyChange> older = changes.Get(old.Older, old.OlderCount);
        bool headIsBase = old.Head.Main <= revision;
        int keep = headIsBase ? older.Length : NewestAtOrBelow(older, revision);
        if (keep < 0)
        {
            return;
        }

        KeyChange kept = headIsBase ? old.Head : older[keep];
        if (kept.IsDeleted && kept.Main < revision)
        {
            keep++;
        }

        if (keep == 0)
        {
            return;
        }

        changed = true;
        foreach (KeyChange change in older[..Math.Min(keep, older.Length)])
        {
            removed.Add(change.At);
        }

        RetireBlock(old);
        if (keep > older.Length)
        {
            removed.Add(old.Head.At);
            retiredEntries.Enqueue((building, id));
            retiredKeys.Enqueue((building, old.Key));
            RemoveFromLeaf();
            return;
        }

        older = older[keep..];
        KeyEntry entry = old with { OlderCount = older.Length, Older = older.IsEmpty ? 0 : changes.Add(older[..^1], older[^1]) };
        Replace(id, old, entry);
    }

    /// <summary>Removes the dead key at the path; empties and small neighbours are joined on the way up.</summary>
    private void RemoveFromLeaf()
    {
        OwnPath();
        AddToSums(0, -1);
        pathLeaf.Remove(pathPosition);
        pathLeadsToKey = false;
        KeyNode child = pathLeaf;
        for (int level = pathDepth - 1; level >= 0; level--)
        {
            KeyBranch branch = pathBranches[level];
            int position = pathChildren[level];
            bool moved = child.Count == 0;
            if (moved)
            {
                branch.Remove(position);
            }
            else
            {
                moved = branch.FirstKeys[position] != FirstKey(child);
                branch.FirstKeys[position] = FirstKey(child);
                moved |= Merge(branch, position);
            }

            if (moved)
            {
                branch.Discriminate(keys);
            }

            child = branch;
        }

        while (top is KeyBranch { Count: <= 1 } lonely)
        {
            top = lonely.Count == 1 ? lonely.Children[0]! : new KeyLeaf(building);
        }
    }

    private bool Merge(KeyBranch branch, int position)
    {
        int left = position > 0 && Fits(branch, position - 1) ? position - 1 : position;
        if (left == position && !Fits(branch, position))
        {
            return false;
        }

        KeyNode first = branch.Children[left]!, second = branch.Children[left + 1]!;
        if (first is KeyLeaf leaf)
        {
            KeyLeaf target = leaf.Own(building);
            ((KeyLeaf)second).Own(building).MoveTo(target, 0);
            Sum(target);
            branch.Children[left] = target;
        }
        else
        {
            KeyBranch target = ((KeyBranch)first).Own(building);
            ((KeyBranch)second).Own(building).MoveTo(target, 0);
            target.Discriminate(keys);
            Sum(target);
            branch.Children[left] = target;
        }

        branch.Remove(left + 1);
        return true;
    }

    private static bool Fits(KeyBranch branch, int left) => left + 1 < branch.Count && branch.Children[left]!.Count + branch.Children[left + 1]!.Count <= MergeBelow;
}
