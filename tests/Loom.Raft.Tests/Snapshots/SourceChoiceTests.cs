using Loom.Raft.Consensus;
using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Snapshots;

/// <summary>Whom a member asks for a snapshot, step by step (S4). Times in seconds.</summary>
public sealed class SourceChoiceTests
{
    private const long Second = 1_000_000_000;

    [Test]
    public void The_same_datacenter_comes_first_then_the_nearest_then_the_leader()
    {
        SourceChoice choice = Begun(self: 9);
        SourceCandidate[] all = [Far(1, rtt: 2, leader: true), Far(2, rtt: 30), Near(3, rtt: 50), Far(4, rtt: 10), Far(5, rtt: double.NaN)];
        List<ulong> order = [];
        while (choice.Next(0, all) is { } next)
        {
            order.Add(next.Value);
            choice.Unreachable(0, next);
        }
        Assert.That(order, Is.EqualTo(new ulong[] { 3, 4, 2, 5, 1 }));
    }

    [Test]
    public void A_member_without_a_connection_is_not_asked()
    {
        SourceChoice choice = Begun(self: 9);
        Assert.That(choice.Next(0, [Far(2) with { Connected = false }, Far(3)]), Is.EqualTo(new MemberId(3)));
        Assert.That(choice.Next(0, [Far(2) with { Connected = false }]), Is.Null);
    }

    [Test]
    public void Who_failed_is_asked_again_later()
    {
        SourceChoice choice = Begun(self: 9);
        choice.Unreachable(0, new MemberId(2));
        Assert.That(choice.Next(9 * Second, [Far(2)]), Is.Null);
        Assert.That(choice.Next(10 * Second, [Far(2)]), Is.EqualTo(new MemberId(2)));
        choice.Damaged(10 * Second, new MemberId(2));
        Assert.That(choice.Next(200 * Second, [Far(2)]), Is.Null);
        choice.Begin(200 * Second);
        Assert.That(choice.Next(200 * Second, [Far(2)]), Is.EqualTo(new MemberId(2)), "a new need forgets");
    }

    [Test]
    public void A_busy_member_keeps_the_leader_from_being_asked_for_a_while()
    {
        SourceChoice choice = Begun(self: 9);
        SourceCandidate[] all = [Far(1, leader: true), Far(2)];
        choice.Refused(0, new MemberId(2), Refusal(RefusalReason.Busy));
        Assert.That(choice.Next(Second, all), Is.Null);
        Assert.That(choice.Next(2 * Second, all), Is.EqualTo(new MemberId(2)));
        choice.Refused(30 * Second, new MemberId(2), Refusal(RefusalReason.Busy));
        Assert.That(choice.Next(30 * Second, all), Is.EqualTo(new MemberId(1)));
    }

    [Test]
    public void Who_is_too_old_does_not_keep_the_leader_from_being_asked()
    {
        SourceChoice choice = Begun(self: 9);
        choice.Refused(0, new MemberId(2), Refusal(RefusalReason.TooOld));
        Assert.That(choice.Next(0, [Far(1, leader: true), Far(2)]), Is.EqualTo(new MemberId(1)));
    }

    /// <summary>The neighbour with the lower id fetches from afar; it is waited for while it comes on.</summary>
    [Test]
    public void A_neighbour_that_fetches_is_waited_for_while_it_comes_on()
    {
        SourceChoice choice = Begun(self: 9);
        SourceCandidate[] all = [Near(3), Far(4)];
        Assert.That(choice.Next(0, all), Is.EqualTo(new MemberId(3)));
        long bytes = 0;
        for (long at = 0; at < 100; at++)
        {
            choice.Refused(at * Second, new MemberId(3), Refusal(RefusalReason.Fetching, bytes += 1000));
            Assert.That(choice.Next(at * Second, all), Is.Null, $"second {at}");
            Assert.That(choice.Next((at + 1) * Second, all), Is.EqualTo(new MemberId(3)), $"second {at}: asked again");
        }
        choice.Refused(115 * Second, new MemberId(3), Refusal(RefusalReason.Fetching, bytes));
        Assert.That(choice.Next(115 * Second, all), Is.EqualTo(new MemberId(4)), "it stands still");
    }

    [Test]
    public void A_neighbour_that_never_ends_is_waited_for_five_minutes()
    {
        SourceChoice choice = Begun(self: 9);
        SourceCandidate[] all = [Near(3), Far(4)];
        for (long at = 0; at <= 300; at++) choice.Refused(at * Second, new MemberId(3), Refusal(RefusalReason.Fetching, at));
        Assert.That(choice.Next(300 * Second, all), Is.EqualTo(new MemberId(4)));
    }

    /// <summary>Nobody waits for a higher id, or for another datacenter: two that fetch never wait for each other.</summary>
    [Test]
    public void Only_a_lower_neighbour_is_waited_for()
    {
        SourceChoice choice = Begun(self: 2);
        choice.Refused(0, new MemberId(3), Refusal(RefusalReason.Fetching));
        Assert.That(choice.Next(0, [Near(3), Far(4)]), Is.EqualTo(new MemberId(4)));
        choice = Begun(self: 9);
        choice.Refused(0, new MemberId(3), Refusal(RefusalReason.Fetching));
        Assert.That(choice.Next(0, [Far(3), Far(4)]), Is.EqualTo(new MemberId(4)));
    }

    [Test]
    public void A_neighbour_that_died_is_not_waited_for()
    {
        SourceChoice choice = Begun(self: 9);
        choice.Refused(0, new MemberId(3), Refusal(RefusalReason.Fetching));
        Assert.That(choice.Next(0, [Near(3) with { Connected = false }, Far(4)]), Is.EqualTo(new MemberId(4)));
    }

    private static SourceChoice Begun(ulong self)
    {
        var choice = new SourceChoice(new MemberId(self));
        choice.Begin(0);
        return choice;
    }

    private static SourceCandidate Near(ulong id, double rtt = 1) => new(new MemberId(id), true, false, true, rtt);

    private static SourceCandidate Far(ulong id, double rtt = 1, bool leader = false) => new(new MemberId(id), false, leader, true, rtt);

    private static SnapshotRefusal Refusal(RefusalReason reason, long bytes = 0) => new(reason, bytes, "");
}
