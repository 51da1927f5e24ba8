using FASTER.core;

namespace Loom.Store.Records;

/// <summary>
/// Sessions for readers: at most 64 per store, and at most 64 threads of the process inside FASTER at a time. FASTER's epoch table is one per process, with 128 places;
/// whoever finds it full spins for ever. A caller that finds no place waits until one of the others leaves.
/// </summary>
internal sealed class RecordReaderPool(FasterKV<StoredKey, SpanByte> store, RecordFaults faults)
{
    private const int Limit = 64;
    private static int inside;

    private readonly RecordReader?[] free = new RecordReader?[Limit];
    private int created;
    private volatile bool closed;

    /// <summary>For tests: how many more threads of this process may read now.</summary>
    internal static int FreePlaces => Math.Max(0, Limit - Volatile.Read(ref inside));

    /// <exception cref="LoomException">Stopped: the store is closed.</exception>
    public RecordReader Rent()
    {
        Enter();
        try
        {
            return Take();
        }
        catch
        {
            Interlocked.Decrement(ref inside);
            throw;
        }
    }

    public void Return(RecordReader reader)
    {
        int start = Environment.CurrentManagedThreadId;
        for (int i = 0; ; i++)
        {
            ref RecordReader? place = ref free[(start + i) & (Limit - 1)];
            if (place is null && Interlocked.CompareExchange(ref place, reader, null) is null)
            {
                break;
            }
        }

        Interlocked.Decrement(ref inside);
    }

    /// <summary>
    /// Takes every session out of the pool for good. True: nobody reads any more, and nobody will. So readers pay nothing to be counted: who reads holds a session,
    /// and there are as many sessions as were made.
    /// </summary>
    public bool Close(long untilTicks)
    {
        closed = true;

        // From here on none is made: whoever counted itself in before gives one back.
        int left = Math.Min(Interlocked.Exchange(ref created, 2 * Limit), Limit);
        while (true)
        {
            for (int i = 0; i < Limit; i++)
            {
                if (Interlocked.Exchange(ref free[i], null) is { } reader)
                {
                    left--;
                    if (!faults.Any)
                    {
                        // A session with reads that never end cannot be disposed of; it holds nothing but memory.
                        reader.Dispose();
                    }
                }
            }

            if (left == 0)
            {
                return true;
            }

            if (Environment.TickCount64 >= untilTicks)
            {
                return false;
            }

            Thread.Sleep(1);
        }
    }

    private void ThrowIfClosed()
    {
        if (closed)
        {
            throw Faults.Closed();
        }
    }

    private void Enter()
    {
        SpinWait wait = default;
        while (Interlocked.Increment(ref inside) > Limit)
        {
            Interlocked.Decrement(ref inside);
            ThrowIfClosed();
            wait.SpinOnce();
        }
    }

    private RecordReader Take()
    {
        SpinWait wait = default;
        int start = Environment.CurrentManagedThreadId;
        for (; ; wait.SpinOnce())
        {
            // Its sessions are gone for good.
            ThrowIfClosed();
            for (int i = 0; i < Limit; i++)
            {
                ref RecordReader? place = ref free[(start + i) & (Limit - 1)];
                if (place is not null && Interlocked.Exchange(ref place, null) is { } reader)
                {
                    return reader;
                }

                // Looking through all places costs more than a session, but sessions stay: make one only when the nearest places are empty.
                if (i == 3 && Volatile.Read(ref created) < Limit && Interlocked.Increment(ref created) <= Limit)
                {
                    return new(store, faults);
                }
            }
        }
    }
}
