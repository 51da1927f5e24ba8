using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Loom.Raft.Diagnostics;

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

/// <summary>64 bytes.</summary>
[InlineArray(KeyNode.Width)]
internal struct Fingerprints
{
    private byte first;
}

/// <summary>64 words.</summary>
[InlineArray(KeyNode.Width)]
internal struct Words
{
    private ulong first;
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

/// <summary>
/// Entries in key order, each with a byte of its key's hash: a lookup compares 64 of those at once and then, nearly always, one key. A binary search would fetch six keys from memory.
/// </summary>
internal sealed class KeyLeaf(long generation) : KeyNode(generation)
{
    public Fingerprints Prints;
    public EntryNumbers Entries;

    /// <summary>The byte that stands for a key.</summary>
    public static byte PrintOf(ReadOnlySpan<byte> key) => (byte)Crc32C.Append((uint)key.Length, key);

    /// <summary>A bit per position whose print matches; bits beyond the count mean nothing.</summary>
    public ulong Match(byte print) => Vector512.Equals(Vector512.LoadUnsafe(ref Unsafe.As<Fingerprints, byte>(ref Prints)), Vector512.Create(print)).ExtractMostSignificantBits();

    public KeyLeaf Own(long generation)
    {
        if (Generation == generation)
        {
            return this;
        }

        KeyLeaf copy = new(generation) { Count = Count, Live = Live, Histories = Histories };
        copy.Prints = Prints;
        ((ReadOnlySpan<int>)Entries)[..Count].CopyTo(copy.Entries);
        return copy;
    }

    public void Insert(int position, int entry, byte print)
    {
        Span<int> entries = Entries;
        Span<byte> prints = Prints;
        entries[position..Count].CopyTo(entries[(position + 1)..]);
        prints[position..Count].CopyTo(prints[(position + 1)..]);
        entries[position] = entry;
        prints[position] = print;
        Count++;
    }

    public void Remove(int position)
    {
        Span<int> entries = Entries;
        Span<byte> prints = Prints;
        entries[(position + 1)..Count].CopyTo(entries[position..]);
        prints[(position + 1)..Count].CopyTo(prints[position..]);
        Count--;
    }

    /// <summary>Moves the entries from a position on to the end of another leaf; the sums are the caller's.</summary>
    public void MoveTo(KeyLeaf other, int from)
    {
        ((ReadOnlySpan<int>)Entries)[from..Count].CopyTo(((Span<int>)other.Entries)[other.Count..]);
        ((ReadOnlySpan<byte>)Prints)[from..Count].CopyTo(((Span<byte>)other.Prints)[other.Count..]);
        other.Count += Count - from;
        Count = from;
    }
}

/// <summary>Children in key order, each with its smallest key. Invariant: <c>FirstKeys[i]</c> is exactly the first key below <c>Children[i]</c>, so no key freed by compaction is ever compared with.</summary>
/// <remarks>
/// Which child a key belongs to is decided by <see cref="Discriminators"/>, the eight bytes (big-endian, filled up with zeros) that follow what all first keys but the
/// leftmost have in common; the leftmost is never asked. Only where they are equal the keys themselves are fetched.
/// </remarks>
internal sealed class KeyBranch(long generation) : KeyNode(generation)
{
    public int CommonBytes;
    public Words Discriminators;
    public KeyReferences FirstKeys;
    public KeyNodes Children;

    public static ulong Discriminator(ReadOnlySpan<byte> key, int from)
    {
        ReadOnlySpan<byte> rest = key.Length > from ? key[from..] : default;
        if (rest.Length >= sizeof(ulong))
        {
            return BinaryPrimitives.ReadUInt64BigEndian(rest);
        }

        ulong word = 0;
        for (int i = 0; i < rest.Length; i++)
        {
            word |= (ulong)rest[i] << (56 - (8 * i));
        }

        return word;
    }

    /// <summary>To be called by whoever changed the first keys.</summary>
    public void Discriminate(KeySlab keys)
    {
        CommonBytes = 0;
        if (Count < 2)
        {
            return;
        }

        // First keys are sorted: what the first and the last of them have in common all have.
        ReadOnlySpan<byte> low = keys.Get(FirstKeys[1]);
        CommonBytes = low.CommonPrefixLength(keys.Get(FirstKeys[Count - 1]));
        for (int i = 1; i < Count; i++)
        {
            Discriminators[i] = Discriminator(keys.Get(FirstKeys[i]), CommonBytes);
        }
    }

    public KeyBranch Own(long generation)
    {
        if (Generation == generation)
        {
            return this;
        }

        KeyBranch copy = new(generation) { Count = Count, Live = Live, Histories = Histories, CommonBytes = CommonBytes };
        ((ReadOnlySpan<ulong>)Discriminators)[..Count].CopyTo(copy.Discriminators);
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
