using FASTER.core;

namespace Loom.Store.Records;

/// <summary>
/// Sessions for readers: at most 64 per store, and at most 64 threads of the process inside FASTER at a time. FASTER's epoch table is one per process, with 128 places;
/// whoever finds it full spins for ever. A caller that finds no place waits until one of the others leaves.
/// </summary>
internal sealed class RecordReaderPool(FasterKV<StoredKey, SpanByte> store, RecordFaults faults) : IDisposable
{
    private const int Limit = 64;
    private static int inside;

    private readonly RecordReader?[] free = new RecordReader?[Limit];
    private int created;

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

    public void Dispose()
    {
        if (faults.Any)
        {
            // A session with reads that never end cannot be disposed of; it holds nothing but memory.
            return;
        }

        for (int i = 0; i < Limit; i++)
        {
            Interlocked.Exchange(ref free[i], null)?.Dispose();
        }
    }

    private static void Enter()
    {
        SpinWait wait = default;
        while (Interlocked.Increment(ref inside) > Limit)
        {
            Interlocked.Decrement(ref inside);
            wait.SpinOnce();
        }
    }

    private RecordReader Take()
    {
        SpinWait wait = default;
        int start = Environment.CurrentManagedThreadId;
        for (; ; wait.SpinOnce())
        {
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
