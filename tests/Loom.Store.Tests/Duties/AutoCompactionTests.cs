using Loom.Store.Duties;
using NUnit.Framework;

namespace Loom.Store.Tests.Duties;

/// <summary>A day of a store that gets one revision a second, in steps of a quarter of a second: what is compacted when, as etcd does it.</summary>
internal sealed class AutoCompactionTests
{
    private const long Second = 1000, Minute = 60 * Second, Hour = 60 * Minute;

    [Test]
    public void By_age_the_first_comes_after_one_period_and_then_one_every_period()
    {
        List<(long At, long Revision)> done = Run(new AutoCompaction(TimeSpan.FromMinutes(30), 0), 3 * Hour);
        Assert.That(done.Select(d => Math.Round(d.At / (double)Minute)), Is.EqualTo(new double[] { 30, 60, 90, 120, 150, 180 }));
        foreach ((long at, long revision) in done)
        {
            long age = at - ((revision - 1) * Second);
            Assert.That(age, Is.InRange(30 * Minute, (33 * Minute) + Second), $"at {at / Minute} min: never younger than the period, older by at most one sample");
        }
    }

    [Test]
    public void A_longer_period_is_compacted_every_hour()
    {
        List<(long At, long Revision)> done = Run(new AutoCompaction(TimeSpan.FromHours(5), 0), 9 * Hour);
        Assert.That(done.Select(d => Math.Round(d.At / (double)Hour)), Is.EqualTo(new double[] { 5, 6, 7, 8, 9 }));
        Assert.That(done.Select(d => d.At - ((d.Revision - 1) * Second)), Is.All.InRange(5 * Hour, (5 * Hour) + (7 * Minute)));
    }

    [Test]
    public void By_count_all_but_the_newest_go_every_five_minutes()
    {
        List<(long At, long Revision)> done = Run(new AutoCompaction(TimeSpan.Zero, 100), 20 * Minute);
        Assert.That(done.Select(d => (d.At / Minute, d.Revision)), Is.EqualTo(new[] { (5L, 201L), (10L, 501L), (15L, 801L), (20L, 1101L) }));
    }

    [Test]
    public void By_count_many_do_not_wait_for_the_five_minutes()
    {
        var compaction = new AutoCompaction(TimeSpan.Zero, 1_000);
        List<(long At, long Compacted)> done = [];
        long compacted = -1;
        for (long at = 0; at < 10 * Minute; at += Second)
        {
            if (compaction.Look(at, leads: true, revision: at / Second * 2_500, compacted) is > 0 and long target)
            {
                compacted = target;
                compaction.Done(at);
                done.Add((at / Second, target));
            }
        }

        Assert.That(done.Take(3), Is.EqualTo(new[] { (41L, 101_500L), (81L, 201_500L), (121L, 301_500L) }));
        Assert.That(done, Has.Count.EqualTo(14));
    }

    [Test]
    public void What_is_off_or_has_nothing_new_asks_for_nothing()
    {
        Assert.That(Run(new AutoCompaction(TimeSpan.Zero, 0), Hour), Is.Empty);
        Assert.That(Run(new AutoCompaction(TimeSpan.Zero, 100_000), Hour), Is.Empty);
        var idle = new AutoCompaction(TimeSpan.FromMinutes(10), 0);
        Assert.That(Enumerable.Range(0, 10_000).Select(i => idle.Look(i * Second, leads: true, revision: 7, compacted: 7)), Is.All.Zero);
    }

    /// <summary>A follower samples, too: when it comes to lead it needs no period of its own. And what failed is asked for again a tenth of the interval later, not at every look.</summary>
    [Test]
    public void A_new_leader_goes_on_and_a_failure_is_tried_again_after_a_pause()
    {
        var compaction = new AutoCompaction(TimeSpan.FromMinutes(10), 0);
        List<long> asked = [];
        for (long at = 0; at <= 20 * Minute; at += Second)
        {
            if (compaction.Look(at, leads: at > 15 * Minute, revision: at / Second, compacted: -1) > 0)
            {
                asked.Add(at / Second);
            }
        }

        Assert.That(asked, Is.EqualTo(new long[] { (15 * 60) + 1, (16 * 60) + 1, (17 * 60) + 1, (18 * 60) + 1, (19 * 60) + 1 }));
    }

    private static List<(long At, long Revision)> Run(AutoCompaction compaction, long until)
    {
        List<(long, long)> done = [];
        long compacted = -1;
        for (long at = 0; at <= until + Second; at += 250)
        {
            if (compaction.Look(at, leads: true, 1 + (at / Second), compacted) is > 0 and long revision)
            {
                Assert.That(revision, Is.GreaterThan(compacted));
                done.Add((at, compacted = revision));
                compaction.Done(at);
            }
        }

        return done;
    }
}
