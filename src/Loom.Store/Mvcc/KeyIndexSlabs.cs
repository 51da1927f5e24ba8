using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Loom.Store.Mvcc;

// The storage of KeyIndex: few big arrays instead of an object per key, so that a million keys cost the garbage collector nothing.
// Only the writer allocates and frees. A slot is never changed while a reader may see it, with one exception: ChangeSlab blocks are filled behind
// the count that readers were given. Chunk tables only grow; a reader gets them after the root (acquire), so every reference in that root is inside.

/// <summary>A change of a key: where its record is, and whether it deleted the key. 12 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal readonly struct KeyChange(RecordKey at, bool isDeleted)
{
    private readonly long main = at.Main;
    private readonly int subAndTombstone = (at.Sub << 1) | (isDeleted ? 1 : 0);

    public long Main => main;

    public bool IsDeleted => (subAndTombstone & 1) != 0;

    public RecordKey At => new(main, subAndTombstone >> 1);
}

/// <summary>
/// One immutable state of a key: its newest change, and the older ones as the first <see cref="OlderCount"/> elements of a history of <see cref="KeyHistories"/>, oldest first.
/// An update makes a new entry; both share the history until it is full. 56 bytes.
/// </summary>
[StructLayout(LayoutKind.Sequential, Pack = 4)]
internal struct KeyEntry
{
    public ulong Key;
    public KeyChange Head;
    public long Create;
    public long Version;
    public int Older;
    public int OlderCount;
    public RecordMark Mark;

    /// <summary>Compaction may find something to drop here.</summary>
    public readonly bool HasHistory => OlderCount > 0 || Head.IsDeleted;
}

/// <summary>Entries by number.</summary>
internal sealed class EntrySlab
{
    private const int Shift = 12;
    private readonly Stack<int> free = new();
    private KeyEntry[][] chunks = [];
    private int used;

    public long Bytes => ((long)chunks.Length << Shift) * Unsafe.SizeOf<KeyEntry>();

    public ref KeyEntry this[int id]
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => ref chunks[id >> Shift][id & ((1 << Shift) - 1)];
    }

    public int Add(in KeyEntry entry)
    {
        if (!free.TryPop(out int id))
        {
            id = used++;
            if (id >> Shift == chunks.Length)
            {
                chunks = [.. chunks, new KeyEntry[1 << Shift]];
            }
        }

        this[id] = entry;
        return id;
    }

    public void Free(int id) => free.Push(id);
}

/// <summary>
/// Bytes of keys. A reference is chunk (24 bits), offset (18), length (22). Blocks are rounded to few sizes and reused for the same size; what exceeds a chunk gets its own.
/// </summary>
internal sealed class KeySlab
{
    private const int ChunkBytes = 1 << 18;
    private const int LengthBits = 22;
    private const int OffsetBits = 18;

    /// <summary>Longest key that a reference can hold; requests are limited to 1.5 MiB long before.</summary>
    public const int MaxKeyBytes = (1 << LengthBits) - 1;

    private readonly Stack<ulong>?[] free = new Stack<ulong>?[160];
    private readonly Stack<int> freeChunks = new();
    private byte[][] chunks = [];
    private int chunkCount;
    private int open = -1;
    private int openUsed = ChunkBytes;

    public long Bytes { get; private set; }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ReadOnlySpan<byte> Get(ulong key) => MemoryMarshal.CreateReadOnlySpan(
        ref Unsafe.Add(ref MemoryMarshal.GetArrayDataReference(chunks[(int)(key >> (LengthBits + OffsetBits))]), (int)(key >> LengthBits) & (ChunkBytes - 1)),
        (int)key & MaxKeyBytes);

    public ulong Add(ReadOnlySpan<byte> key)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(key.Length, MaxKeyBytes, nameof(key));
        int size = BlockSize(key.Length);
        ulong block;
        if (size > ChunkBytes)
        {
            block = Reference(AddChunk(size), 0);
        }
        else if (free[SizeClass(size)] is not { } blocks || !blocks.TryPop(out block))
        {
            if (openUsed + size > ChunkBytes)
            {
                open = AddChunk(ChunkBytes);
                openUsed = 0;
            }

            block = Reference(open, openUsed);
            openUsed += size;
        }

        ulong reference = block | (uint)key.Length;
        key.CopyTo(MemoryMarshal.CreateSpan(ref MemoryMarshal.GetReference(Get(reference)), key.Length));
        return reference;
    }

    public void Free(ulong key)
    {
        int size = BlockSize((int)key & MaxKeyBytes);
        if (size > ChunkBytes)
        {
            int chunk = (int)(key >> (LengthBits + OffsetBits));
            Bytes -= chunks[chunk].Length;
            chunks[chunk] = [];
            freeChunks.Push(chunk);
        }
        else
        {
            (free[SizeClass(size)] ??= new()).Push(key & ~(ulong)MaxKeyBytes);
        }
    }

    private static ulong Reference(int chunk, int offset) => ((ulong)(uint)chunk << (LengthBits + OffsetBits)) | ((ulong)(uint)offset << LengthBits);

    private int AddChunk(int size)
    {
        if (!freeChunks.TryPop(out int chunk))
        {
            chunk = chunkCount++;
            if (chunk == chunks.Length)
            {
                // A new table, never a change of one that readers hold a reference to beyond its end.
                Array.Resize(ref chunks, Math.Max(16, chunks.Length * 2));
            }
        }

        chunks[chunk] = new byte[size];
        Bytes += size;
        return chunk;
    }

    private static int BlockSize(int length) => length switch
    {
        <= 256 => Math.Max(8, (length + 3) & ~3),
        <= 4096 => (length + 63) & ~63,
        _ => (int)BitOperations.RoundUpToPowerOf2((uint)length),
    };

    private static int SizeClass(int size) => size switch
    {
        <= 256 => size >> 2,
        <= 4096 => 64 + (size >> 6),
        _ => 128 + BitOperations.Log2((uint)size),
    };
}

/// <summary>Blocks of changes; the capacity of a block follows from the count kept in it: the next power of two. A reference is chunk (17 bits), offset (14).</summary>
internal sealed class ChangeSlab
{
    private const int Shift = 14;
    private const int ChunkLength = 1 << Shift;

    private readonly Stack<int>?[] free = new Stack<int>?[Shift + 1];
    private readonly Stack<int> freeChunks = new();
    private KeyChange[][] chunks = [];
    private int chunkCount;
    private int open = -1;
    private int openUsed = ChunkLength;

    public long Bytes { get; private set; }

    public static int Capacity(int count) => (int)BitOperations.RoundUpToPowerOf2((uint)count);

    public Span<KeyChange> Get(int block, int count) => count == 0 ? [] : chunks[block >> Shift].AsSpan(block & (ChunkLength - 1), count);

    public void Free(int block, int count)
    {
        int capacity = Capacity(count);
        if (capacity > ChunkLength)
        {
            int chunk = block >> Shift;
            Bytes -= (long)chunks[chunk].Length * Unsafe.SizeOf<KeyChange>();
            chunks[chunk] = [];
            freeChunks.Push(chunk);
        }
        else
        {
            (free[BitOperations.Log2((uint)capacity)] ??= new()).Push(block);
        }
    }

    /// <summary>A block whose content is undefined.</summary>
    public int Allocate(int capacity)
    {
        if (capacity > ChunkLength)
        {
            return AddChunk(capacity) << Shift;
        }

        if (free[BitOperations.Log2((uint)capacity)] is { } blocks && blocks.TryPop(out int block))
        {
            return block;
        }

        if (openUsed + capacity > ChunkLength)
        {
            open = AddChunk(ChunkLength);
            openUsed = 0;
        }

        block = (open << Shift) | openUsed;
        openUsed += capacity;
        return block;
    }

    private int AddChunk(int length)
    {
        if (!freeChunks.TryPop(out int chunk))
        {
            chunk = chunkCount++;
            if (chunk == chunks.Length)
            {
                Array.Resize(ref chunks, Math.Max(16, chunks.Length * 2));
            }
        }

        chunks[chunk] = new KeyChange[length];
        Bytes += (long)length * Unsafe.SizeOf<KeyChange>();
        return chunk;
    }
}
