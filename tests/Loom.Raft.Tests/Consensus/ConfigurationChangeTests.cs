using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Quorums;
using NUnit.Framework;

namespace Loom.Raft.Tests.Consensus;

[TestFixture]
public sealed class ConfigurationChangeTests
{
    [TestCase("1v 2v 3v", "1v 2v 3v 4l", "1v 2v 3v 4l", TestName = "A learner is added as it is")]
    [TestCase("1v 2v 3v 4s", "1v 2v 3v", "1v 2v 3v", TestName = "A standby is removed as it is")]
    [TestCase("1v 2v 3v 4l", "2v 3v 4v", "2v 3v 4v, joint with the voters 1 2 3", TestName = "A voter is replaced through a joint configuration")]
    [TestCase("1v 2v 3v", "1s 2v 3v", "1s 2v 3v, joint with the voters 1 2 3", TestName = "A voter becomes a standby through a joint configuration")]
    [TestCase("1v 2s", "1s 2s", null, TestName = "Somebody must vote")]
    public void The_way_between_two_configurations(string current, string wanted, string? next)
    {
        Configuration? towards = ConfigurationChange.Towards(Clusters.Parse(current.Split(' ')), Clusters.Parse(wanted.Split(' ')));
        Assert.That(towards is null ? null : Clusters.Format(towards), Is.EqualTo(next));
    }

    [Test]
    public void No_change_begins_before_the_joint_configuration_is_left()
    {
        Configuration joint = ConfigurationChange.Towards(Clusters.Of(3), Clusters.Parse(["1v", "2v", "4v"]))!;
        Assert.Multiple(() =>
        {
            Assert.That(ConfigurationChange.Towards(joint, Clusters.Of(3)), Is.Null);
            Assert.That(ConfigurationChange.Towards(Clusters.Of(3), joint), Is.Null);
            Assert.That(Clusters.Format(ConfigurationChange.Left(joint)), Is.EqualTo("1v 2v 4v"));
        });
    }

    /// <summary>It could never commit again, not even the way back.</summary>
    [Test]
    public void A_goal_that_its_voters_cannot_meet_is_refused()
    {
        Configuration two = Clusters.Of(3, 0, PlacementGoal.TwoDatacenters, "a", "a", "b");
        Assert.That(ConfigurationChange.Towards(two, two with { Members = [.. two.Members.Take(2)] }), Is.Null);
    }

    /// <summary>The only voter of its datacenter is lost and another one there takes its place (E1). Nobody can say any more where the lost one stood, and it will never answer.</summary>
    [Test]
    public void A_lost_voter_that_was_alone_in_its_datacenter_can_be_replaced()
    {
        Configuration two = Clusters.Of(3, 0, PlacementGoal.TwoDatacenters, "a", "a", "b");
        Member lost = two.Members[2];
        Configuration joint = ConfigurationChange.Towards(two, two with { Members = [two.Members[0], two.Members[1], lost with { Id = new MemberId(9) }] })!;
        var quorum = new CommitQuorum(joint);

        // Positions: 1 and 2 in a, 3 lost, 9 in b.
        Assert.That(quorum.Reached([5, 5, 0, 5]), Is.EqualTo(5), "the joint configuration commits without the lost one");
        Assert.That(quorum.Reached([5, 5, 0, 4]), Is.EqualTo(4), "and not without the other datacenter");
        Assert.That(quorum.Reached([5, 4, 0, 5]), Is.EqualTo(4), "nor without a majority of the voters before");
    }
}
