using FASTER.core;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>One session for reads, used by one thread at a time. Up to 64 reads are in flight together; the caller waits outside of FASTER's epoch, so it holds up nobody.</summary>
internal sealed class RecordReader : IDisposable
{
    /// <summary>Reads in flight together.</summary>
    public const int Width = 64;

    // Watchdog of N3: no completion for this long = the disk or FASTER hangs, and the replica ends itself.
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    private readonly RecordFaults faults;
    private readonly RecordFunctions functions = new();
    private readonly ClientSession<StoredKey, SpanByte, long, FoundRecord, int, RecordFunctions> session;
    private readonly UnsafeContext<StoredKey, SpanByte, long, FoundRecord, int, RecordFunctions> context;
    private readonly ManualResetEventSlim arrived = new();

    public RecordReader(FasterKV<StoredKey, SpanByte> store, RecordFaults faults)
    {
        this.faults = faults;
        session = store.For(functions).NewSession<RecordFunctions>();
        context = session.UnsafeContext;
    }

    /// <summary>Reads up to <see cref="Width"/> keys; the results are valid until the next call.</summary>
    public ReadOnlySpan<FoundRecord> Read(ReadOnlySpan<RecordKey> keys)
    {
        long input = 0;
        int pending = 0;
        functions.Completed = 0;
        RecordDevice.Waiter = arrived;
        try
        {
            context.BeginUnsafe();
            Interlocked.MemoryBarrier();
            try
            {
                for (int slot = 0; slot < keys.Length; slot++)
                {
                    StoredKey key = new(keys[slot]);
                    FoundRecord found = default;
                    Status status = context.Read(ref key, ref input, ref found, slot);
                    if (status.IsPending)
                    {
                        pending++;
                    }
                    else
                    {
                        found.Found = status.Found;
                        functions.Slots[slot] = found;
                    }
                }
            }
            finally
            {
                context.EndUnsafe();
            }

            if (pending > 0)
            {
                Await(pending);
            }
        }
        finally
        {
            RecordDevice.Waiter = null;
        }

        return functions.Slots.AsSpan(0, keys.Length);
    }

    /// <summary>Forgets the arrays it returned.</summary>
    public void Clear(int count) => functions.Slots.AsSpan(0, count).Clear();

    /// <summary>For tests.</summary>
    internal void ActInside(Action act)
    {
        context.BeginUnsafe();
        try
        {
            act();
        }
        finally
        {
            context.EndUnsafe();
        }
    }

    public void Dispose()
    {
        session.Dispose();
        arrived.Dispose();
    }

    private void Await(int pending)
    {
        // A damaged record may send FASTER from read to read for ever; an honest one needs two, and one more per key that shares its hash.
        for (int rounds = 0; functions.Completed < pending; rounds++)
        {
            faults.ThrowIfAny();
            if (!arrived.Wait(Patience) || rounds > 64 + (16 * pending))
            {
                faults.Report(new IOException($"a read of {pending} records did not end"));
                continue;
            }

            arrived.Reset();
            context.BeginUnsafe();
            Interlocked.MemoryBarrier();
            try
            {
                context.CompletePending(false);
            }
            finally
            {
                context.EndUnsafe();
            }
        }
    }
}
