using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Snapshots;

public sealed class SnapshotPaceTests
{
    private const long Second = 1_000_000_000;
    private const long Limit = 100_000_000;
    private const int Chunk = 60_000;

    [Test]
    public void The_limit_holds_over_time()
    {
        var pace = new SnapshotPace(Limit, static () => false);
        Assert.That(Send(pace, 0, Second), Is.EqualTo(Limit).Within(3).Percent);
    }

    [Test]
    public void A_pause_earns_no_burst()
    {
        var pace = new SnapshotPace(Limit, static () => false);
        _ = Send(pace, 0, Second);
        long atOnce = 0;
        while (pace.Spend(100 * Second, Chunk) == 0) atOnce += Chunk;
        Assert.That(atOnce, Is.LessThanOrEqualTo(Limit / 100));
    }

    [Test]
    public void Where_writes_flow_it_is_a_fifth_at_once_and_calm_brings_it_back()
    {
        bool busy = false;
        var pace = new SnapshotPace(Limit, () => busy);
        _ = Send(pace, 0, Second);
        busy = true;
        _ = Send(pace, Second, Second / 10);
        Assert.That(pace.Rate, Is.EqualTo(Limit / 5), "within two windows");
        Assert.That(Send(pace, 2 * Second, Second), Is.EqualTo(Limit / 5).Within(5).Percent, "never less");
        busy = false;
        _ = Send(pace, 4 * Second, Second);
        Assert.That(pace.Rate, Is.LessThan(Limit), "not at once");
        _ = Send(pace, 5 * Second, 3 * Second);
        Assert.That(pace.Rate, Is.EqualTo(Limit));
    }

    /// <summary>Bytes that went out in a span of time.</summary>
    private static long Send(SnapshotPace pace, long from, long span)
    {
        long sent = 0;
        for (long at = from; at < from + span; sent += Chunk) at += pace.Spend(at, Chunk);
        return sent;
    }
}
