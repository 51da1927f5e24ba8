using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Store.Duties;
using NUnit.Framework;

namespace Loom.Store.Tests.Duties;

internal sealed class LeaseDutyTests
{
    private const long Second = 1_000_000_000;

    private static LeasePicture Leading(long logTime, long appliedTime, long nextExpiry, long term = 3) =>
        new() { Leads = true, Term = term, LogTime = logTime, AppliedTime = appliedTime, NextExpiry = nextExpiry, Any = true };

    /// <summary>T5: renewals that the change of leader held up come first.</summary>
    [Test]
    public void A_new_leader_ends_nothing_within_two_heartbeats()
    {
        var duty = new LeaseDuty(TimeSpan.FromMilliseconds(100));
        LeasePicture due = Leading(logTime: 10, appliedTime: 10, nextExpiry: 5);
        Assert.That(duty.Look(1000, due), Is.EqualTo(LeaseOrder.Nothing));
        Assert.That(duty.Look(1199, due), Is.EqualTo(LeaseOrder.Nothing));
        Assert.That(duty.Look(1200, due), Is.EqualTo(LeaseOrder.Expire));
        Assert.That(duty.Look(1250, due with { Term = 4 }), Is.EqualTo(LeaseOrder.Nothing), "elected again");
        Assert.That(duty.Look(1450, due with { Term = 4 }), Is.EqualTo(LeaseOrder.Expire));
        Assert.That(duty.Look(1500, due with { Leads = false }), Is.EqualTo(LeaseOrder.Nothing));
        Assert.That(duty.Look(1550, due with { Term = 4 }), Is.EqualTo(LeaseOrder.Nothing), "it did not lead in between");
    }

    [Test]
    public void Only_what_is_due_ends()
    {
        var duty = new LeaseDuty(TimeSpan.Zero);
        Assert.That(duty.Look(1, Leading(logTime: 9, appliedTime: 9, nextExpiry: 10)), Is.EqualTo(LeaseOrder.Nothing));
        Assert.That(duty.Look(2, Leading(logTime: 10, appliedTime: 9, nextExpiry: 10)), Is.EqualTo(LeaseOrder.Expire));
    }

    /// <summary>What a change of leader may add to a lease is a tenth of what it has left, but no mark comes within a second, and one every minute.</summary>
    [TestCase(5, 1)]
    [TestCase(100, 10)]
    [TestCase(100_000, 60)]
    public void While_nothing_is_written_the_time_is_marked(long left, long pause)
    {
        var duty = new LeaseDuty(TimeSpan.Zero);
        long expiry = 1000 * Second;
        long now = expiry - (left * Second);
        Assert.That(duty.Look(1, Leading(now, now - (pause * Second) + 1, expiry)), Is.EqualTo(LeaseOrder.Nothing));
        Assert.That(duty.Look(2, Leading(now, now - (pause * Second), expiry)), Is.EqualTo(LeaseOrder.Mark));
        Assert.That(duty.Look(3, Leading(now, 0, long.MaxValue) with { Any = false }), Is.EqualTo(LeaseOrder.Nothing), "nobody needs it without a lease");
    }

    [Test]
    public void Another_member_than_the_leader_adds_its_own_time_to_the_last_stamp_while_it_hears_a_leader()
    {
        var clock = new LeaseClock();
        RaftNodeStatus follower = new() { MemberId = new MemberId(1), Leader = new MemberId(2), LogTime = 5 * Second, ClusterTime = 4 * Second };
        Assert.That(clock.Read(1000, follower), Is.EqualTo(5 * Second));
        Assert.That(clock.Read(1500, follower), Is.EqualTo(5.5 * Second));
        Assert.That(clock.Read(3000, follower with { NoQuorum = true }), Is.EqualTo(5 * Second), "time that nobody leads does not count");
        Assert.That(clock.Read(3500, follower), Is.EqualTo(5.5 * Second));
        Assert.That(clock.Read(4000, follower with { LogTime = 9 * Second }), Is.EqualTo(9 * Second));
        Assert.That(clock.Read(9000, follower with { LogTime = 10 * Second, Leader = follower.MemberId }), Is.EqualTo(10 * Second));
        Assert.That(clock.Read(9500, follower with { LogTime = 10 * Second, Leader = follower.MemberId }), Is.EqualTo(10 * Second), "the leader knows");
    }
}
