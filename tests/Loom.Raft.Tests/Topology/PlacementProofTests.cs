using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Quorums;
using Loom.Raft.Topology;
using NUnit.Framework;

namespace Loom.Raft.Tests.Topology;

/// <summary>The first question of the placement proof, in the words people read, and against brute force.</summary>
[TestFixture]
public sealed class PlacementProofTests
{
    // One word per member: datacenter, with ~ for a standby.
    [TestCase("a", "No failure can be survived: m1 is the only voter.")]
    [TestCase("a ~b", "No failure can be survived: m1 is the only voter.")]
    [TestCase("a b", "No failure can be survived: without m1 nothing can be committed.")]
    [TestCase("a b c", "You can lose any one member.")]
    [TestCase("a b c d e", "You can lose any two members.")]
    [TestCase("a a a", "You can lose any one member, but not datacenter a.")]
    [TestCase("a a b", "You can lose any one member, but not datacenter a.")]
    [TestCase("a ~a b ~b c ~c", "You can lose any one datacenter.")]
    [TestCase("a a b b c", "You can lose any one datacenter, or any two members.")]
    [TestCase("a a b b c c", "You can lose any one datacenter, or any two members.")]
    [TestCase("a a a b b b c c c", "You can lose any one datacenter plus one more node.")]
    [TestCase("a a b b c c d d", "You can lose any one datacenter plus one more node.")]
    [TestCase("a b b c c d d", "You can lose any one datacenter plus one more node.")]
    public void The_sentence_says_what_may_be_lost(string members, string sentence) =>
        Assert.That(PlacementProof.Of(Of(PlacementGoal.Majority, members)).Sentence, Is.EqualTo(sentence));

    [Test]
    public void A_goal_of_two_datacenters_that_one_datacenter_cannot_meet_survives_nothing() =>
        Assert.That(PlacementProof.Of(Of(PlacementGoal.TwoDatacenters, "a a a")).Sentence,
            Is.EqualTo("No failure can be survived: commits need two datacenters, and all voters stand in one."));

    [Test]
    public void The_counter_example_names_a_smallest_fatal_loss()
    {
        PlacementProof proof = PlacementProof.Of(Of(PlacementGoal.Majority, "a ~a b ~b c ~c"));
        Assert.That(proof.FatalMembers, Is.EqualTo(new[] { new MemberId(1), new MemberId(3) }));
        Assert.That(proof.FatalDatacenters, Is.EqualTo(new[] { "a", "b" }));
    }

    [Test]
    public void Two_datacenters_as_a_goal_may_forbid_what_a_majority_allows()
    {
        // Without b, three of four voters are left, but all stand in a.
        PlacementProof proof = PlacementProof.Of(Of(PlacementGoal.TwoDatacenters, "a a a b"));
        Assert.That(proof.AnyMembers, Is.EqualTo(0));
        Assert.That(proof.FatalMembers, Is.EqualTo(new[] { new MemberId(4) }));
    }

    [Test]
    public void It_agrees_with_trying_every_loss() =>
        (from n in Gen.Int[1, 7]
         from places in Gen.Int[0, 3].Array[n]
         from standby in Gen.Bool.Array[n]
         from goal in Gen.Bool.Select(two => two ? PlacementGoal.TwoDatacenters : PlacementGoal.Majority)
         select Of(goal, string.Join(' ', Enumerable.Range(0, n).Select(i => (standby[i] && i > 0 ? "~" : "") + (char)('a' + places[i]))))).Sample(c =>
        {
            PlacementProof proof = PlacementProof.Of(c);
            var quorum = new CommitQuorum(c);
            bool Survives(Func<Member, bool> lost) => quorum.Reached([.. c.Members.Select(m => lost(m) ? 0L : 1L)]) >= 1;
            foreach (int set in Enumerable.Range(0, 1 << c.Members.Count))
            {
                Member[] lost = [.. c.Members.Where((_, i) => (set & (1 << i)) != 0)];
                int voters = lost.Count(m => m.Role == MemberRole.Voter);
                if (voters <= proof.AnyMembers && !Survives(m => lost.Contains(m)))
                {
                    return false;
                }
            }

            string[] names = [.. c.Members.Select(m => m.Datacenter).Distinct()];
            foreach (int set in Enumerable.Range(0, 1 << names.Length))
            {
                string[] lost = [.. names.Where((_, i) => (set & (1 << i)) != 0)];
                if (lost.Length <= proof.AnyDatacenters && !Survives(m => lost.Contains(m.Datacenter)))
                {
                    return false;
                }

                if (lost.Length == proof.AnyDatacenters && lost.Length > 0 && proof.FurtherMembers > 0
                    && c.Members.Any(further => !Survives(m => m == further || lost.Contains(m.Datacenter))))
                {
                    return false;
                }
            }

            bool fatal = proof.FatalMembers.Count == 0 ? !Survives(_ => false) || proof.AnyMembers == c.Voters.Count() : !Survives(m => proof.FatalMembers.Contains(m.Id));
            return fatal && (proof.FatalMembers.Count == proof.AnyMembers + 1 || proof.FatalMembers.Count == 0);
        }, iter: 1000);

    private static Configuration Of(PlacementGoal goal, string members)
    {
        string[] words = members.Split(' ');
        return new Configuration(goal,
            [.. words.Select((w, i) => new Member(new MemberId((ulong)i + 1), 1, $"m{i + 1}", w.TrimStart('~'), w[0] == '~' ? MemberRole.Standby : MemberRole.Voter, [], []))], []);
    }
}
