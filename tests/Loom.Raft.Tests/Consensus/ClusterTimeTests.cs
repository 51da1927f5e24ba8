using Loom.Raft.Consensus;
using NUnit.Framework;

namespace Loom.Raft.Tests.Consensus;

/// <summary>T5, in ns of a leader whose cap E is 1000.</summary>
internal sealed class ClusterTimeTests
{
    private const long E = 1000;

    /// <summary>
    /// An entry between two rounds is stamped with its own time, not with that of the round before: a lease that it grants would be due that much too early,
    /// because the time before the grant is added by the next round.
    /// </summary>
    [Test]
    public void Two_entries_are_never_further_apart_than_the_time_between_them()
    {
        var time = new ClusterTime(0, E);
        time.StartLeading(5000);
        time.Confirmed(5100);
        long granted = time.StampAt(5190);
        time.Confirmed(5200);
        Assert.That(time.StampAt(5290) - granted, Is.EqualTo(100));
        Assert.That(granted, Is.EqualTo(190));
    }

    [Test]
    public void A_pause_counts_once_and_at_most_E_of_it()
    {
        var time = new ClusterTime(70, E);
        time.StartLeading(0);
        time.Confirmed(100);
        Assert.That(time.StampAt(100_000), Is.EqualTo(70 + 100 + E), "before the round that comes after it is confirmed");
        time.Confirmed(100_000);
        Assert.That(time.StampAt(100_000), Is.EqualTo(70 + 100 + E), "and by it");
        Assert.That(time.StampAt(100_050), Is.EqualTo(70 + 100 + E + 50));
    }

    [Test]
    public void A_leader_that_nobody_confirms_stands_still_after_E()
    {
        var time = new ClusterTime(0, E);
        time.StartLeading(0);
        Assert.That((time.StampAt(E - 1), time.StampAt(E), time.StampAt(50 * E)), Is.EqualTo((E - 1, E, E)));
    }

    [Test]
    public void A_new_leader_goes_on_where_the_log_ends_and_never_before_it()
    {
        var time = new ClusterTime(9000, E);
        time.StartLeading(20);
        Assert.That(time.StampAt(20), Is.EqualTo(9000));
        time.Appended(9500);
        Assert.That(time.StampAt(120), Is.EqualTo(9500), "the last stamp is the least");
    }
}
