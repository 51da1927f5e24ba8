using System.Runtime.CompilerServices;

namespace Loom.Store.Mvcc;

/// <summary>
/// A node of the tree. Nodes of the generation under construction belong to the writer and change in place; a published one never changes again.
/// Invariant: a writer's node is reachable only through writer's nodes.
/// </summary>
internal abstract class KeyNode(long generation)
{
    /// <summary>Entries or children of a full node.</summary>
    public const int Width = 64;

    /// <summary>The generation that made it.</summary>
    public readonly long Generation = generation;

    /// <summary>Entries or children in use.</summary>
    public int Count;

    /// <summary>Live keys below: lets a count at the newest revision skip whole subtrees.</summary>
    public int Live;

    /// <summary>Keys below that hold older changes or a tombstone: lets compaction skip whole subtrees.</summary>
    public int Histories;
}

/// <summary>64 numbers of entries.</summary>
[InlineArray(KeyNode.Width)]
internal struct EntryNumbers
{
    private int first;
}

/// <summary>64 references to keys.</summary>
[InlineArray(KeyNode.Width)]
internal struct KeyReferences
{
    private ulong first;
}

/// <summary>64 children.</summary>
[InlineArray(KeyNode.Width)]
internal struct KeyNodes
{
    private KeyNode? first;
}

/// <summary>Entries in key order. An object with the array inside: one header, one miss.</summary>
internal sealed class KeyLeaf(long generation) : KeyNode(generation)
{
    public EntryNumbers Entries;

    public KeyLeaf Own(long generation)
    {
        if (Generation == generation)
        {
            return this;
        }

        KeyLeaf copy = new(generation) { Count = Count, Live = Live, Histories = Histories };
        ((ReadOnlySpan<int>)Entries)[..Count].CopyTo(copy.Entries);
        return copy;
    }

    public void Insert(int position, int entry)
    {
        Span<int> entries = Entries;
        entries[position..Count].CopyTo(entries[(position + 1)..]);
        entries[position] = entry;
        Count++;
    }

    public void Remove(int position)
    {
        Span<int> entries = Entries;
        entries[(position + 1)..Count].CopyTo(entries[position..]);
        Count--;
    }

    /// <summary>Moves the entries from a position on to the end of another leaf; the sums are the caller's.</summary>
    public void MoveTo(KeyLeaf other, int from)
    {
        ((ReadOnlySpan<int>)Entries)[from..Count].CopyTo(((Span<int>)other.Entries)[other.Count..]);
        other.Count += Count - from;
        Count = from;
    }
}

/// <summary>Children in key order, each with its smallest key. Invariant: <c>FirstKeys[i]</c> is exactly the first key below <c>Children[i]</c>, so no key freed by compaction is ever compared with.</summary>
internal sealed class KeyBranch(long generation) : KeyNode(generation)
{
    public KeyReferences FirstKeys;
    public KeyNodes Children;

    public KeyBranch Own(long generation)
    {
        if (Generation == generation)
        {
            return this;
        }

        KeyBranch copy = new(generation) { Count = Count, Live = Live, Histories = Histories };
        ((ReadOnlySpan<ulong>)FirstKeys)[..Count].CopyTo(copy.FirstKeys);
        ((ReadOnlySpan<KeyNode?>)Children)[..Count].CopyTo(copy.Children);
        return copy;
    }

    public void Insert(int position, ulong firstKey, KeyNode child)
    {
        Span<ulong> keys = FirstKeys;
        Span<KeyNode?> children = Children;
        keys[position..Count].CopyTo(keys[(position + 1)..]);
        children[position..Count].CopyTo(children[(position + 1)..]);
        keys[position] = firstKey;
        children[position] = child;
        Count++;
    }

    public void Remove(int position)
    {
        Span<ulong> keys = FirstKeys;
        Span<KeyNode?> children = Children;
        keys[(position + 1)..Count].CopyTo(keys[position..]);
        children[(position + 1)..Count].CopyTo(children[position..]);
        children[--Count] = null;
    }

    public void MoveTo(KeyBranch other, int from)
    {
        ((ReadOnlySpan<ulong>)FirstKeys)[from..Count].CopyTo(((Span<ulong>)other.FirstKeys)[other.Count..]);
        Span<KeyNode?> moved = ((Span<KeyNode?>)Children)[from..Count];
        moved.CopyTo(((Span<KeyNode?>)other.Children)[other.Count..]);
        moved.Clear();
        other.Count += Count - from;
        Count = from;
    }
}

/// <summary>What readers see: a tree that never changes.</summary>
internal sealed record KeyRoot(KeyNode Top, long Generation, long NewestMain);
