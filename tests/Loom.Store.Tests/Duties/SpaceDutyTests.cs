using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Store.Alarms;
using Loom.Store.Commands;
using Loom.Store.Duties;
using Loom.Store.Model;
using NUnit.Framework;

namespace Loom.Store.Tests.Duties;

/// <summary>S6 as decisions: three voters and a standby; what member 1 does about what it sees.</summary>
internal sealed class SpaceDutyTests
{
    private const long Quota = 1000, MinFree = 100;

    private static readonly SpacePicture Well = new()
    {
        Self = new MemberId(1),
        Leads = false,
        Configuration = new Configuration(PlacementGoal.Majority, [Member(1), Member(2), Member(3), Member(4, MemberRole.Standby)], []),
        Peers = [Peer(2, 50), Peer(3, 60), Peer(4, 70)],
        Alarms = AlarmTable.Empty,
        InUseBytes = 10,
        FreeBytes = long.MaxValue,
    };

    [Test]
    public void Where_all_is_well_nothing_is_done()
    {
        SpaceOrders orders = new SpaceDuty(Quota, MinFree).Look(Well with { Leads = true });
        Assert.That((orders.Alarms.Count, orders.HandOverTo, orders.Refusal), Is.EqualTo((0, MemberId.None, (string?)null)));
    }

    [Test]
    public void A_low_disk_raises_its_own_alarm_and_is_over_with_some_room_to_spare()
    {
        var duty = new SpaceDuty(Quota, MinFree);
        SpaceOrders low = duty.Look(Well with { FreeBytes = 99 });
        Assert.That(low.Alarms, Is.EqualTo(new[] { new AlarmCommand(true, new Alarm(AlarmKind.LowDisk, 1, true)) }));
        Assert.That(low.Refusal, Is.Null, "the other two commit without it");
        AlarmTable raised = AlarmTable.Empty.With(low.Alarms[0].Alarm);
        Assert.That(duty.Look(Well with { FreeBytes = 110, Alarms = raised }).Alarms, Is.Empty, "at the edge it stays");
        Assert.That(duty.Look(Well with { FreeBytes = 125, Alarms = raised }).Alarms, Is.EqualTo(new[] { new AlarmCommand(false, new Alarm(AlarmKind.LowDisk, 1, true)) }));
        Assert.That(duty.Look(Well with { FreeBytes = 101 }).Alarms, Is.Empty);
    }

    [Test]
    public void A_log_that_pauses_is_a_low_disk_whatever_the_file_system_says_and_refuses_its_own_callers()
    {
        SpaceOrders orders = new SpaceDuty(Quota, MinFree).Look(Well with { Pause = "No space left on device" });
        Assert.That(orders.Alarms, Has.Count.EqualTo(1));
        Assert.That(orders.Refusal, Does.Contain("No space left on device").And.Contains("other members go on"));
    }

    [Test]
    public void A_leader_with_a_low_disk_hands_over_to_the_voter_with_most_of_the_log_that_has_space()
    {
        var duty = new SpaceDuty(Quota, MinFree);
        SpacePicture low = Well with { Leads = true, FreeBytes = 5 };
        Assert.That(duty.Look(low).HandOverTo, Is.EqualTo(new MemberId(3)), "not to the standby, though it holds more");
        Assert.That(duty.Look(low with { Alarms = AlarmTable.Empty.With(LowDisk(3)) }).HandOverTo, Is.EqualTo(new MemberId(2)));
        Assert.That(duty.Look(low with { Peers = [Peer(2, 50, connected: false), Peer(3, 60)] }).HandOverTo, Is.EqualTo(new MemberId(3)));
        Assert.That(duty.Look(low with { Alarms = AlarmTable.Empty.With(LowDisk(2)).With(LowDisk(3)) }).HandOverTo, Is.EqualTo(MemberId.None), "nobody is better");
        Assert.That(duty.Look(low with { Leads = false }).HandOverTo, Is.EqualTo(MemberId.None));
    }

    /// <summary>Every member comes to the same from the same table, those with space too: then the reserve is kept for what makes space.</summary>
    [Test]
    public void Puts_are_refused_by_all_once_the_rest_cannot_commit()
    {
        AlarmTable two = AlarmTable.Empty.With(LowDisk(2)).With(LowDisk(3));
        Assert.That(new SpaceDuty(Quota, MinFree).Look(Well with { Alarms = two }).Refusal, Does.Contain("m2, m3 are short of disk"));
        Assert.That(new SpaceDuty(Quota, MinFree).Look(Well with { Alarms = AlarmTable.Empty.With(LowDisk(2)).With(LowDisk(4)) }).Refusal, Is.Null, "a standby's disk is nobody's quorum");
        Assert.That(new SpaceDuty(Quota, MinFree).Look(Well with { Alarms = AlarmTable.Empty.With(LowDisk(2)), FreeBytes = 1 }).Refusal, Does.Contain("m1, m2"));
        var alone = new Configuration(PlacementGoal.Majority, [Member(1)], []);
        Assert.That(new SpaceDuty(Quota, MinFree).Look(Well with { Configuration = alone, Peers = [], FreeBytes = 1 }).Refusal, Does.Contain("m1 is short of disk"));
    }

    [Test]
    public void What_this_member_raised_for_the_quota_it_takes_back_when_there_is_space()
    {
        var duty = new SpaceDuty(Quota, MinFree);
        AlarmTable raised = AlarmTable.Empty.With(new Alarm(AlarmKind.NoSpace, 1, true));
        Assert.That(duty.Look(Well with { Alarms = raised, InUseBytes = 901 }).Alarms, Is.Empty);
        Assert.That(duty.Look(Well with { Alarms = raised, InUseBytes = 899 }).Alarms.Single().Raises, Is.False);
        Assert.That(duty.Look(Well with { Alarms = AlarmTable.Empty.With(new Alarm(AlarmKind.NoSpace, 1)), InUseBytes = 1 }).Alarms, Is.Empty, "an operator's stays");
        Assert.That(duty.Look(Well with { Alarms = AlarmTable.Empty.With(new Alarm(AlarmKind.Corrupt, 1, true)) }).Alarms, Is.Empty, "and so does CORRUPT");
        Assert.That(new SpaceDuty(0, MinFree).Look(Well with { Alarms = raised, InUseBytes = long.MaxValue / 2 }).Alarms.Single().Raises, Is.False, "the quota was lifted");
    }

    [Test]
    public void The_leader_takes_back_what_is_left_of_members_that_are_gone()
    {
        var duty = new SpaceDuty(Quota, MinFree);
        AlarmTable foreign = AlarmTable.Empty.With(new Alarm(AlarmKind.NoSpace, 2, true)).With(LowDisk(3)).With(LowDisk(9)).With(new Alarm(AlarmKind.NoSpace, 9, true));
        Assert.That(duty.Look(Well with { Alarms = foreign }).Alarms, Is.Empty, "a follower leaves others alone");
        Assert.That(
            duty.Look(Well with { Leads = true, Alarms = foreign }).Alarms.Select(command => (command.Raises, command.Alarm.Kind, command.Alarm.Member)),
            Is.EqualTo(new[] { (false, AlarmKind.NoSpace, 9ul), (false, AlarmKind.LowDisk, 9ul) }), "2 and 3 are there and answer for themselves");
        Assert.That(
            duty.Look(Well with { Leads = true, Alarms = foreign, Peers = [Peer(2, 0, connected: false), Peer(3, 1)] }).Alarms.Select(command => (command.Alarm.Kind, command.Alarm.Member)),
            Is.EqualTo(new[] { (AlarmKind.NoSpace, 2ul), (AlarmKind.NoSpace, 9ul), (AlarmKind.LowDisk, 9ul) }), "2 is silent, and the state is small");
    }

    [Test]
    public void An_unwatched_disk_is_never_low() => Assert.That(new SpaceDuty(Quota, 0).Look(Well with { FreeBytes = 0 }).Alarms, Is.Empty);

    private static Alarm LowDisk(ulong member) => new(AlarmKind.LowDisk, member, IsAutomatic: true);

    private static Member Member(ulong id, MemberRole role = MemberRole.Voter) => new(new MemberId(id), id, $"m{id}", "dc", role, [], []);

    private static PeerStatus Peer(ulong id, long match, bool connected = true) => new(new MemberId(id), connected, match, 1, 0);
}
