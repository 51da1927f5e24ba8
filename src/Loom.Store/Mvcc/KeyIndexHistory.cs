namespace Loom.Store.Mvcc;

// The walk over versions: what a snapshot holds (S2), and what the record store may give up.
internal sealed partial class KeyIndex
{
    /// <inheritdoc/>
    public void VisitVersions<TVisitor>(ReadOnlySpan<byte> start, RecordKey after, long compacted, long revision, ref TVisitor visitor)
        where TVisitor : struct, IVersionVisitor
    {
        ref long place = ref readers.Enter(Volatile.Read(ref root).Generation);
        try
        {
            VisitVersions(Volatile.Read(ref root).Top, start, after, new(compacted, revision), ref visitor);
        }
        finally
        {
            KeyIndexReaders.Exit(ref place);
        }
    }

    /// <inheritdoc/>
    public bool Contains(ReadOnlySpan<byte> key, RecordKey at)
    {
        ref long place = ref readers.Enter(Volatile.Read(ref root).Generation);
        try
        {
            KeyNode node = Volatile.Read(ref root).Top;
            while (node is KeyBranch branch)
            {
                node = branch.Children[ChildOf(branch, key)]!;
            }

            KeyLeaf leaf = (KeyLeaf)node;
            return Find(leaf, key, out int position) && Contains(ref entries[leaf.Entries[position]], at);
        }
        finally
        {
            KeyIndexReaders.Exit(ref place);
        }
    }

    private bool Contains(ref KeyEntry entry, RecordKey at)
    {
        if (entry.Head.At == at)
        {
            return true;
        }

        KeyHistory older = histories.Get(entry.Older, entry.OlderCount);
        int place = older.FirstAbove(new(at.Main, at.Sub - 1));
        return place < older.Length && older[place].At == at;
    }

    private bool VisitVersions<TVisitor>(KeyNode node, ReadOnlySpan<byte> start, RecordKey after, StateBounds bounds, ref TVisitor visitor)
        where TVisitor : struct, IVersionVisitor
    {
        if (node is KeyBranch branch)
        {
            for (int i = start.IsEmpty ? 0 : ChildOf(branch, start); i < branch.Count; i++, start = default)
            {
                if (!VisitVersions(branch.Children[i]!, start, after, bounds, ref visitor))
                {
                    return false;
                }
            }

            return true;
        }

        KeyLeaf leaf = (KeyLeaf)node;
        int position = 0;
        bool found = !start.IsEmpty && Locate(leaf, start, out position);
        for (; position < leaf.Count; position++, found = false)
        {
            if (!VisitVersions(ref entries[leaf.Entries[position]], found ? after : RecordKey.BeforeAll, bounds, ref visitor))
            {
                return false;
            }
        }

        return true;
    }

    private bool VisitVersions<TVisitor>(ref KeyEntry entry, RecordKey after, StateBounds bounds, ref TVisitor visitor)
        where TVisitor : struct, IVersionVisitor
    {
        ReadOnlySpan<byte> key = keys.Get(entry.Key);
        KeyHistory older = histories.Get(entry.Older, entry.OlderCount);
        bool headIsBase = entry.Head.Main <= bounds.Compacted;
        int first = headIsBase ? older.Length : Math.Max(0, older.NewestAtOrBelow(bounds.Compacted));
        if (first < older.Length && IsDeadBase(older[first], bounds.Compacted))
        {
            first++;
        }

        for (int i = Math.Max(first, older.FirstAbove(after)); i < older.Length && older[i].Main <= bounds.Revision; i++)
        {
            if (!visitor.Visit(key, older[i].At))
            {
                return false;
            }
        }

        bool headCounts = entry.Head.Main <= bounds.Revision && entry.Head.At.CompareTo(after) > 0 && !IsDeadBase(entry.Head, bounds.Compacted);
        return !headCounts || visitor.Visit(key, entry.Head.At);
    }

    // Callers make sure that it is the newest at or below, where it is at or below at all.
    private static bool IsDeadBase(KeyChange change, long compacted) => change.IsDeleted && change.Main < compacted;

    private readonly record struct StateBounds(long Compacted, long Revision);
}
