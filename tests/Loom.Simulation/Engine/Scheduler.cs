namespace Loom.Simulation.Engine;

/// <summary>
/// The seeded heap of (time, sequence): the only source of order and of time in a simulation. Nothing runs in parallel.
/// Equal times run in the order in which they were scheduled, so a run is a function of its seed.
/// </summary>
internal sealed class Scheduler
{
    private const long MaxSteps = 1_500_000;
    private readonly PriorityQueue<Action, (long Time, long Sequence)> heap = new();
    private long sequence;

    /// <summary>Real time of the simulation, ns since its start. No replica sees it: each has a clock of its own.</summary>
    public long Now { get; private set; }

    public long Steps { get; private set; }

    public void At(long time, Action action) => heap.Enqueue(action, (Math.Max(time, Now), sequence++));

    public void After(long delay, Action action) => At(Now + delay, action);

    /// <summary>Runs until the time has come, or <paramref name="done"/> says so after a step. True when done.</summary>
    public bool RunUntil(long end, Func<bool>? done = null)
    {
        while (heap.TryPeek(out _, out (long Time, long Sequence) key) && key.Time <= end)
        {
            Action action = heap.Dequeue();
            Now = key.Time;
            if (++Steps > MaxSteps)
            {
                throw new SimulationFailure("runaway", $"{MaxSteps} steps: something goes round without end");
            }

            action();
            if (done is not null && done())
            {
                return true;
            }
        }

        Now = end;
        return done is not null && done();
    }
}

/// <summary>Durations in nanoseconds.</summary>
internal static class Ns
{
    public const long Microsecond = 1_000;
    public const long Millisecond = 1_000_000;
    public const long Second = 1_000_000_000;
}
