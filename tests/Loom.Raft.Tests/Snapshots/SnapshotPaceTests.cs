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
        var pace = new SnapshotPace(Limit, static () => ReplicationStrain.None);
        Assert.That(Send(pace, 0, Second), Is.EqualTo(Limit).Within(3).Percent);
    }

    [Test]
    public void A_pause_earns_no_burst()
    {
        var pace = new SnapshotPace(Limit, static () => ReplicationStrain.None);
        _ = Send(pace, 0, Second);
        long atOnce = 0;
        while (pace.Spend(100 * Second, Chunk) == 0) atOnce += Chunk;
        Assert.That(atOnce, Is.LessThanOrEqualTo(Limit / 100));
    }

    [Test]
    public void Trouble_halves_the_rate_down_to_a_fifth_and_calm_brings_it_back()
    {
        ReplicationStrain strain = ReplicationStrain.Queued;
        var pace = new SnapshotPace(Limit, () => strain);
        _ = Send(pace, 0, Second / 5);
        Assert.That(pace.Rate, Is.EqualTo(Limit / 5), "within three windows");
        Assert.That(Send(pace, Second / 5, Second), Is.EqualTo(Limit / 5).Within(10).Percent, "never less");
        strain = ReplicationStrain.None;
        _ = Send(pace, 2 * Second, 3 * Second);
        Assert.That(pace.Rate, Is.EqualTo(Limit));
    }

    [Test]
    public void While_writes_flow_a_quarter_is_the_most()
    {
        ReplicationStrain strain = ReplicationStrain.None;
        var pace = new SnapshotPace(Limit, () => strain);
        _ = Send(pace, 0, Second);
        strain = ReplicationStrain.Busy;
        _ = Send(pace, Second, Second / 10);
        Assert.That(Send(pace, 2 * Second, Second), Is.EqualTo(Limit / 4).Within(5).Percent);
        strain = ReplicationStrain.Queued;
        _ = Send(pace, 3 * Second, Second / 5);
        strain = ReplicationStrain.Busy;
        _ = Send(pace, 4 * Second, Second);
        Assert.That(pace.Rate, Is.EqualTo(Limit / 4), "it comes back so far, and no further");
    }

    /// <summary>Bytes that went out in a span of time.</summary>
    private static long Send(SnapshotPace pace, long from, long span)
    {
        long sent = 0;
        for (long at = from; at < from + span; sent += Chunk) at += pace.Spend(at, Chunk);
        return sent;
    }
}
