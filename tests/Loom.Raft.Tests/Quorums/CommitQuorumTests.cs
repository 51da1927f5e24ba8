using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Quorums;
using NUnit.Framework;

namespace Loom.Raft.Tests.Quorums;

/// <summary>E5 against brute force: for every value, count the members that reach it.</summary>
[TestFixture]
public sealed class CommitQuorumTests
{
    private static readonly Gen<Configuration> AnyConfiguration =
        from members in Gen.Int[1, 9]
        from roles in Gen.Int[1, 3].Array[members]
        from places in Gen.Int[0, 3].Array[members]
        from leaving in Gen.Bool.Array[members]
        from joint in Gen.Bool
        from goal in Gen.Bool.Select(two => two ? PlacementGoal.TwoDatacenters : PlacementGoal.Majority)
        select new Configuration(
            goal,
            [.. Enumerable.Range(0, members).Select(i => new Member(new MemberId((ulong)i + 10), 1, $"m{i}", $"d{places[i]}", (MemberRole)roles[i], [], []))],
            joint ? [.. Enumerable.Range(0, members).Where(i => leaving[i]).Select(i => new MemberId((ulong)i + 10))] : []);

    [Test]
    public void What_a_commit_quorum_reached_is_the_largest_value_that_its_members_hold() =>
        (from c in AnyConfiguration from values in Gen.Long[-1, 6].Array[c.Members.Count] select (c, values)).Sample(t =>
        {
            long reached = new CommitQuorum(t.c).Reached(t.values);
            for (long v = -1; v <= 6; v++)
            {
                bool holds = IsQuorum(t.c, t.values, v, withDatacenters: true);
                if (holds != (reached >= v))
                {
                    return false;
                }
            }

            return true;
        }, iter: 5000);

    [Test]
    public void An_election_needs_the_majorities_alone() =>
        (from c in AnyConfiguration from values in Gen.Long[-1, 1].Array[c.Members.Count] select (c, values)).Sample(t =>
        {
            long elected = new CommitQuorum(t.c).Elected(t.values);
            return Enumerable.Range(-1, 3).All(v => IsQuorum(t.c, t.values, v, withDatacenters: false) == (elected >= v));
        }, iter: 5000);

    [Test]
    public void Every_elected_set_meets_every_commit_quorum() =>
        (from c in AnyConfiguration from a in Gen.Bool.Array[c.Members.Count] select (c, a)).Sample(t =>
        {
            // If a set elects, its complement must not commit: else a leader could lack a committed entry.
            var quorum = new CommitQuorum(t.c);
            long[] inside = [.. t.a.Select(x => x ? 1L : 0L)];
            long[] outside = [.. t.a.Select(x => x ? 0L : 1L)];
            return quorum.Elected(inside) < 1 || quorum.Reached(outside) < 1;
        }, iter: 5000);

    [Test]
    public void A_voter_without_a_known_place_is_no_second_datacenter()
    {
        var configuration = new Configuration(
            PlacementGoal.TwoDatacenters, [.. Clusters(("a", MemberRole.Voter), ("b", MemberRole.Voter), ("a", MemberRole.Voter))],
            [new MemberId(1), new MemberId(2), new MemberId(99)]);
        var quorum = new CommitQuorum(configuration);

        // Positions: 1 in a, 2 in b, 3 in a, 99 nowhere known.
        Assert.That(quorum.Reached([5, 5, 0, 0]), Is.EqualTo(5));
        Assert.That(quorum.Reached([5, 0, 5, 5]), Is.EqualTo(0));
    }

    private static IEnumerable<Member> Clusters(params (string Datacenter, MemberRole Role)[] members) =>
        members.Select((m, i) => new Member(new MemberId((ulong)i + 1), 1, $"m{i + 1}", m.Datacenter, m.Role, [], []));

    private static bool IsQuorum(Configuration c, long[] values, long v, bool withDatacenters)
    {
        bool Half(IReadOnlyList<MemberId> voters)
        {
            MemberId[] reached = [.. voters.Where(id => values[(int)id.Value - 10] >= v)];
            bool places = !withDatacenters || c.Goal != PlacementGoal.TwoDatacenters || reached.Select(id => c.Find(id)!.Datacenter).Distinct().Count() >= 2;
            return 2 * reached.Length > voters.Count && places;
        }

        MemberId[] incoming = [.. c.Voters];
        return incoming.Length > 0 && Half(incoming) && (c.OutgoingVoters.Count == 0 || Half(c.OutgoingVoters));
    }
}
