using System.Runtime.CompilerServices;

namespace Loom.Store.Mvcc;

/// <summary>
/// Which generations may still be read. A reader announces a generation no newer than the root that it then takes; the writer reuses what a generation left behind
/// only when every announced one is at least as new.
/// </summary>
/// <remarks>
/// Why it is safe: the reader stores its announcement, fences, then reads the root; the writer stores the new root, fences, then reads the announcements. So either the
/// writer sees the announcement, or the reader sees the new root, in which nothing that is being freed can be reached.
/// A reader never waits: when all places are taken it adds a block of them. Their number is bounded by the threads that read at once.
/// </remarks>
internal sealed class KeyIndexReaders
{
    private readonly Block first = new();

    /// <summary>Announces a reader. <paramref name="published"/> must be the generation of a root that was current at some time before the call, and the root be read after it.</summary>
    public ref long Enter(long published)
    {
        int start = Environment.CurrentManagedThreadId;
        for (Block block = first; ; block = block.Next ?? block.Extend())
        {
            for (int i = 0; i < Block.Places; i++)
            {
                ref long place = ref block.Generations[((start + i) & (Block.Places - 1)) * Block.Stride];
                if (place == 0 && Interlocked.CompareExchange(ref place, published, 0) == 0)
                {
                    return ref place;
                }
            }
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Exit(ref long place) => Volatile.Write(ref place, 0);

    /// <summary>The writer, after it published <paramref name="published"/>: the newest generation that nobody reads behind.</summary>
    public long Oldest(long published)
    {
        Interlocked.MemoryBarrier();
        long oldest = published;
        for (Block? block = first; block is not null; block = block.Next)
        {
            for (int i = 0; i < Block.Places; i++)
            {
                long generation = Volatile.Read(ref block.Generations[i * Block.Stride]);
                if (generation != 0)
                {
                    oldest = Math.Min(oldest, generation);
                }
            }
        }

        return oldest;
    }

    private sealed class Block
    {
        public const int Places = 64;

        // Two cache lines apart: neighbours are fetched in pairs.
        public const int Stride = 16;

        public readonly long[] Generations = new long[Places * Stride];
        private Block? next;

        public Block? Next => Volatile.Read(ref next);

        public Block Extend()
        {
            Block added = new();
            return Interlocked.CompareExchange(ref next, added, null) ?? added;
        }
    }
}
