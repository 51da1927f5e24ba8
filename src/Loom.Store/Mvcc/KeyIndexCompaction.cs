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
        int next = 0;
        for (int work = 0; next < (done ? examined.Count : examined.Count - 1) && work < budget; next++)
        {
            // A key with millions of versions takes several steps.
            if (!Trim(examined[next], revision, budget - work, removed, ref work))
            {
                break;
            }
        }

        done &= next == examined.Count;
        cursor = done ? null : keys.Get(examined[next]).ToArray();
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

    /// <summary>Drops the changes of a key that a compaction makes unreachable; drops the key when none is left. False: there is more, because it holds far more than the budget.</summary>
    private bool Trim(ulong key, long revision, int budget, List<RecordKey> removed, ref int work)
    {
        work++;
        Descend(keys.Get(key));
        int id = pathLeaf.Entries[pathPosition];
        KeyEntry old = entries[id];
        KeyHistory older = histories.Get(old.Older, old.OlderCount);
        bool headIsBase = old.Head.Main <= revision;
        int keep = headIsBase ? older.Length : older.NewestAtOrBelow(revision);
        if (keep < 0)
        {
            return true;
        }

        KeyChange kept = headIsBase ? old.Head : older[keep];
        if (kept.IsDeleted && kept.Main < revision)
        {
            keep++;
        }

        if (keep == 0)
        {
            return true;
        }

        changed = true;
        int limit = Math.Max(budget, KeyHistories.PageLength);
        int drop = Math.Min(keep, older.Length);
        bool last = drop <= limit;
        drop = last ? drop : limit;
        work += drop;
        for (int i = 0; i < drop; i++)
        {
            removed.Add(older[i].At);
        }

        if (last && keep > older.Length)
        {
            removed.Add(old.Head.At);
            histories.Retire(old.Older, old.OlderCount, left);
            RetireLeft();
            retiredEntries.Enqueue((building, id));
            retiredKeys.Enqueue((building, old.Key));
            RemoveFromLeaf();
            return true;
        }

        if (drop > 0)
        {
            KeyEntry entry = old;
            entry.Older = histories.DropOldest(old.Older, ref entry.OlderCount, drop, left);
            RetireLeft();
            Replace(id, old, entry);
        }

        return last;
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
