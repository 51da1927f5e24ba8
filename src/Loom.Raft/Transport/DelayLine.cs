using Loom.Raft.Threads;

namespace Loom.Raft.Transport;

/// <summary>What a frame became, on its way from a receiving thread to the owner.</summary>
internal readonly record struct Delivery(FrameKind Kind, LaneKind Lane, object? Message, long Stamp, int Bytes);

/// <summary>
/// Holds what was received from one peer for a fixed time, in order: the wide-area link of the demo and of tests. Not part of any safety argument.
/// Bounded in bytes; when full, the receiving thread waits, as a full TCP window would make the sender wait.
/// </summary>
internal sealed class DelayLine : IDisposable
{
    private readonly Queue<(long Due, Delivery Delivery)> held = new();
    private readonly object gate = new();
    private readonly Signal signal = new();
    private readonly long delay;
    private readonly long maxBytes;
    private readonly TransportContext context;
    private readonly Action<Delivery> deliver;
    private readonly Thread thread;
    private long bytes;
    private volatile bool stopping;

    public DelayLine(string peer, TimeSpan delay, TransportContext context, Action<Delivery> deliver)
    {
        this.delay = delay.Ticks * 100;
        this.context = context;
        this.deliver = deliver;
        maxBytes = context.Settings.MaxDelayedBytes;
        thread = context.NewThread($"loom wan {peer}", Run);
    }

    public void Start() => thread.Start();

    public void Add(Delivery delivery)
    {
        lock (gate)
        {
            while (bytes > maxBytes && !stopping) Monitor.Wait(gate, 100);
            held.Enqueue((context.Now() + delay, delivery));
            bytes += delivery.Bytes;
        }
        signal.Set();
    }

    public void Dispose()
    {
        stopping = true;
        signal.Set();
    }

    private void Run()
    {
        while (!stopping)
        {
            long wait = long.MaxValue;
            Delivery next = default;
            lock (gate)
            {
                if (held.TryPeek(out (long Due, Delivery Delivery) first))
                {
                    wait = first.Due - context.Now();
                    if (wait <= 0)
                    {
                        next = held.Dequeue().Delivery;
                        bytes -= next.Bytes;
                        Monitor.PulseAll(gate);
                    }
                }
            }
            if (wait <= 0) deliver(next);
            else _ = signal.Wait(Math.Min(wait, 1_000_000_000));
        }
    }
}
