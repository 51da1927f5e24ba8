using Loom.Store.Commands;

namespace Loom.Store.Duties;

/// <summary>What <see cref="LeaseDuty"/> looks at.</summary>
internal readonly record struct LeasePicture
{
    /// <summary>This member leads, as far as it knows; another may have taken over.</summary>
    public required bool Leads { get; init; }

    public required long Term { get; init; }

    /// <summary>What an entry appended now would be stamped with, ns (T5).</summary>
    public required long LogTime { get; init; }

    /// <summary>Stamp of the last entry that was applied here.</summary>
    public required long AppliedTime { get; init; }

    /// <summary>When the next lease is due, in cluster time; long.MaxValue: there is none, or it never ends.</summary>
    public required long NextExpiry { get; init; }

    /// <summary>There is a lease.</summary>
    public required bool Any { get; init; }
}

/// <summary>What follows from a look.</summary>
internal enum LeaseOrder
{
    Nothing,

    /// <summary>Propose an <see cref="LeaseExpireCommand"/> of the leases that are due.</summary>
    Expire,

    /// <summary>Propose one of no lease.</summary>
    Mark,
}

/// <summary>
/// The leader's part in ending leases (T5): it says when; whether they end is decided where the entry is applied. It waits two heartbeats after it began to lead, so that renewals
/// that were held up by the change come first. And while nothing is written it marks the time in the log: what is not in it is lost at the next change of leader, and the leases would
/// live so much longer. It does so often enough that this is at most a tenth of what the next lease has left, but at most every second and at least every minute.
/// A pure function of the times handed in (T1).
/// </summary>
/// <param name="heartbeat">The interval of heartbeats.</param>
internal sealed class LeaseDuty(TimeSpan heartbeat)
{
    private const long Second = 1_000_000_000;
    private const long ShortestMark = Second;
    private const long LongestMark = 60 * Second;

    private long ledTerm = -1;
    private long ledSince;

    /// <param name="now">Monotonic, in milliseconds.</param>
    /// <param name="seen">As it is now.</param>
    public LeaseOrder Look(long now, in LeasePicture seen)
    {
        if (!seen.Leads)
        {
            ledTerm = -1;
            return LeaseOrder.Nothing;
        }

        if (ledTerm != seen.Term)
        {
            (ledTerm, ledSince) = (seen.Term, now);
        }

        if (!seen.Any || now - ledSince < 2 * heartbeat.TotalMilliseconds)
        {
            return LeaseOrder.Nothing;
        }

        if (seen.NextExpiry <= seen.LogTime)
        {
            return LeaseOrder.Expire;
        }

        long pause = Math.Clamp((seen.NextExpiry - seen.LogTime) / 10, ShortestMark, LongestMark);
        return seen.LogTime - seen.AppliedTime >= pause ? LeaseOrder.Mark : LeaseOrder.Nothing;
    }
}
