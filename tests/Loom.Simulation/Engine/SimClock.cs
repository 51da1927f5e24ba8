namespace Loom.Simulation.Engine;

/// <summary>
/// A member's monotonic clock: an offset (machines booted at other times) and a rate (crystals differ). It goes on during pauses, as CLOCK_BOOTTIME does (T1).
/// </summary>
internal sealed class SimClock(Scheduler scheduler, long offset, double rate)
{
    public double Rate { get; } = rate;

    public long Now => ToLocal(scheduler.Now);

    public long ToLocal(long real) => offset + (long)(real * Rate);

    /// <summary>The first moment of real time at which this clock shows at least <paramref name="local"/>.</summary>
    public long ToReal(long local)
    {
        long real = (long)Math.Ceiling((local - offset) / Rate);
        return ToLocal(real) < local ? real + 1 : real;
    }
}
