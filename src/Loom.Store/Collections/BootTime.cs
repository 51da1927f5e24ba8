using Loom.Raft.Host;

namespace Loom.Store.Collections;

/// <summary>The system's time whose stamps count suspension (T1), as the cluster's clock does: the default's stand still in a suspended machine, so a holder woken there would believe in a lease that ended meanwhile.</summary>
internal sealed class BootTime : TimeProvider
{
    private BootTime()
    {
    }

    public static BootTime Instance { get; } = new();

    public override long TimestampFrequency => 1_000_000_000;

    /// <summary>The clock to count by where this one was asked for: the system's is replaced, a test's is not.</summary>
    public static TimeProvider For(TimeProvider asked) => ReferenceEquals(asked, System) ? Instance : asked;

    public override long GetTimestamp() => MonotonicClock.Nanoseconds;
}
