using Loom.Raft.Consensus;
using Loom.Raft.Duties;
using Loom.Raft.Membership;
using Loom.Raft.Tests.Consensus;
using NUnit.Framework;

namespace Loom.Raft.Tests.Duties;

/// <summary>Member 1 leads {1, 2, 3} with the standby 4 and sees the others; 7 and 8 come under the name of another member (E1).</summary>
[TestFixture]
public sealed class ReplacementTests
{
    private const long Second = 1_000_000_000;
    private const long Now = 1000 * Second;
    private static readonly Configuration Before = Clusters.Parse("1v 2v 3v 4s".Split(' '));

    private readonly SortedDictionary<ulong, PeerView> peers = [];

    [SetUp]
    public void EverybodyIsHeard()
    {
        peers.Clear();
        foreach (ulong id in new ulong[] { 2, 3, 4 }) See(id, secondsAgo: 0, match: 5000);
    }

    [Test]
    public void Nobody_comes_and_nothing_is_proposed() => Assert.That(Next(Before), Is.Null);

    [TestCase(4.9, null)]
    [TestCase(5.0, "1v 2v 3v 4s 7l")]
    public void A_newcomer_is_taken_in_once_its_predecessor_is_silent(double secondsAgo, string? members)
    {
        See(3, secondsAgo, match: 4000);
        Assert.That(Next(Before, Newcomer(7, "m3")), Is.EqualTo(members));
    }

    [Test]
    public void The_leader_itself_is_never_silent() => Assert.That(Next(Before, Newcomer(7, "m1")), Is.Null);

    [Test]
    public void A_name_that_no_member_has_is_not_taken_in() => Assert.That(Next(Before, Newcomer(7, "m9")), Is.Null);

    [TestCase(6000L, 0.0, 5.0, true, "1v 2v 4s 7v", TestName = "caught up")]
    [TestCase(5000L, 0.0, 5.0, true, "1v 2v 4s 7v", TestName = "a thousand entries behind")]
    [TestCase(4999L, 0.0, 5.0, true, null, TestName = "further behind")]
    [TestCase(6000L, 0.0, 5.0, false, null, TestName = "the place where the logs agree is not known")]
    [TestCase(6000L, 6.0, 5.0, true, null, TestName = "silent itself")]
    [TestCase(6000L, 0.0, 4.0, true, null, TestName = "its predecessor is heard")]
    public void A_learner_takes_the_place_of_a_voter(long match, double secondsAgo, double predecessorSecondsAgo, bool replicating, string? members)
    {
        See(3, predecessorSecondsAgo, match: 4000);
        See(7, secondsAgo, match, replicating);
        Assert.That(Next(WithLearner("1v 2v 3v 4s", 7, "m3")), Is.EqualTo(members));
    }

    [Test]
    public void A_learner_takes_the_place_of_a_standby()
    {
        See(4, secondsAgo: 5, match: 4000);
        See(7, secondsAgo: 0, match: 6000);
        Assert.That(Next(WithLearner("1v 2v 3v 4s", 7, "m4")), Is.EqualTo("1v 2v 3v 7s"));
    }

    /// <summary>Nobody would fill it any more, and it would keep the name from its successor.</summary>
    [Test]
    public void A_learner_that_was_emptied_again_gives_way_to_its_successor()
    {
        See(3, secondsAgo: 20, match: 4000);
        See(7, secondsAgo: 10, match: 100);
        Assert.That(Next(WithLearner("1v 2v 3v 4s", 7, "m3"), Newcomer(8, "m3")), Is.EqualTo("1v 2v 3v 4s 8l"));
    }

    [TestCase(59.0, null)]
    [TestCase(60.0, "1v 2v 3v 4s")]
    public void A_learner_that_is_gone_while_its_predecessor_is_back_is_removed(double secondsAgo, string? members)
    {
        See(7, secondsAgo, match: 100);
        Assert.That(Next(WithLearner("1v 2v 3v 4s", 7, "m3")), Is.EqualTo(members));
    }

    [Test]
    public void While_voters_change_nothing_is_proposed()
    {
        See(3, secondsAgo: 60, match: 4000);
        Configuration joint = ConfigurationChange.Towards(Before, Clusters.Parse("1v 2v 4v".Split(' ')))!;
        Assert.That(Next(joint, Newcomer(7, "m2")), Is.Null);
    }

    private string? Next(Configuration current, params Member[] newcomers) =>
        Replacement.Next(current, newcomers, [.. peers.Values], new MemberId(1), lastIndex: 6000, 5 * Second, Now) is { } change ? Clusters.Format(change.Configuration) : null;

    private void See(ulong id, double secondsAgo, long match, bool replicating = true) =>
        peers[id] = new PeerView(new MemberId(id), match, match + 1, Now - (long)(secondsAgo * Second), 0, replicating, false, false);

    private static Member Newcomer(ulong id, string name) => new(new MemberId(id), id, name, name, MemberRole.Learner, [], []);

    private static Configuration WithLearner(string members, ulong id, string name)
    {
        Configuration before = Clusters.Parse(members.Split(' '));
        return before with { Members = [.. before.Members, Newcomer(id, name)] };
    }
}
