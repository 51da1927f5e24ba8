using Loom.Raft.Membership;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>One by one, the rules that keep an emptied voter and one that never formed from becoming a cluster of their own (E1, N5; docs/decisions/0009).</summary>
public sealed class SplitFormationTests
{
    private static readonly InitialMember[] List = [.. new[] { "a", "b", "c" }.Select(n => new InitialMember(n, n, MemberRole.Voter, [$"http://{n}:2380"])), new("s", "s", MemberRole.Standby, ["http://s:2380"])];

    /// <summary>
    /// c meets b, both unformed, and cannot be reached from then on; a and b meet, and would have formed and acknowledged writes when one hello of each voter was enough.
    /// Then a's disk is emptied while b is down: a (new, empty) and c must not become a cluster.
    /// </summary>
    [Test]
    public void An_emptied_voter_and_one_that_never_formed_do_not_form_a_second_cluster()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
        FormingMember.Meet(b, c);
        FormingMember.Meet(a, b);
        Assert.That(b.Proposal, Is.Not.Null, "b has heard all");
        Assert.That((a.ClusterId, b.ClusterId), Is.EqualTo((0UL, 0UL)), "but c has agreed to nothing yet");
        a.Empty(99);
        FormingMember.Meet(a, c);
        Assert.That(c.Formation.Decided, Is.Null, "c knows b from long ago; that is no proof that b is unformed now");
        Assert.That((a.ClusterId, c.ClusterId), Is.EqualTo((0UL, 0UL)));
    }

    [Test]
    public void A_cluster_that_formed_without_the_last_one_knowing_takes_it_in_and_not_the_emptied_one()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
        Hear(a, b, c);
        foreach (FormingMember member in new[] { a, b, c }) WriteProposal(member);
        // c's announcement reaches a and b, theirs does not reach c.
        _ = b.Formation.Judge(c.Formation.Hello(b.Id, LaneKind.Control), out _);
        _ = a.Formation.Judge(c.Formation.Hello(a.Id, LaneKind.Control), out _);
        FormingMember.Meet(a, b);
        Assert.That((a.ClusterId, b.ClusterId != 0, c.ClusterId), Is.EqualTo((b.ClusterId, true, 0UL)));
        a.Empty(99);
        HelloAnswer refused = a.Dial(c);
        Assert.That(refused.Verdict, Is.EqualTo(HelloVerdict.Unpinned));
        FormingMember.Meet(a, c);
        Assert.That((a.ClusterId, c.ClusterId), Is.EqualTo((0UL, 0UL)));
        FormingMember.Meet(b, c);
        Assert.That(c.ClusterId, Is.EqualTo(b.ClusterId));
        Assert.That(a.Dial(c).Reason, Does.Contain("emptied or replaced"));
    }

    [Test]
    public void A_proposal_is_announced_only_once_it_is_on_disk_and_after_a_restart_still()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
        Hear(a, b, c);
        Assert.That(a.Formation.Wanted, Is.Not.Null);
        Assert.That(a.Formation.Hello(b.Id, LaneKind.Control).Proposal, Is.Zero);
        Assert.That(a.Write());
        a.Boot();
        PeerHello hello = a.Formation.Hello(b.Id, LaneKind.Control);
        Assert.That(hello.Proposal, Is.EqualTo(InitialConfiguration.ClusterId(a.Proposal!, "t", 0)));
        Assert.That((hello.ClusterId, hello.PinnedForYou), Is.EqualTo((0UL, 12UL)));
    }

    [Test]
    public void A_voter_forms_once_every_voter_has_announced_its_own_proposal()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
        Hear(a, b, c);
        foreach (FormingMember member in new[] { a, b, c }) WriteProposal(member);
        _ = a.Dial(b);
        Assert.That(a.Formation.Decided, Is.Null, "c has not announced it");
        Assert.That(a.Formation.Obstacle, Is.EqualTo("waiting for c to agree on the initial configuration"));
        _ = a.Dial(c);
        Assert.That(a.Formation.Decided, Is.Not.Null);
        Assert.That(a.Formation.Obstacle, Is.Null);
    }

    /// <summary>c agreed with b before it heard a: it takes over what a and b announce; a standby neither proposes nor passes proposals on.</summary>
    [Test]
    public void Who_has_no_proposal_takes_over_an_announced_one_and_a_standby_only_a_formed_one()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13), s = Member("s", 14);
        _ = b.Dial(c);
        _ = b.Dial(a);
        WriteProposal(b);
        _ = b.Dial(c);
        WriteProposal(c);
        Assert.That(c.Proposal!.Find(a.Id)!.Incarnation, Is.EqualTo(11), "which c has never heard");
        foreach (FormingMember voter in new[] { a, b, c }) _ = s.Dial(voter);
        Assert.That((s.Formation.Wanted, s.Formation.Decided), Is.EqualTo(((Configuration?)null, (Configuration?)null)));
        FormingMember.Meet(a, b, c);
        FormingMember.Meet(s, a);
        Assert.That(s.ClusterId, Is.EqualTo(a.ClusterId).And.Not.Zero);
    }

    /// <summary>a was emptied while b and c had heard one of its two lives each. Whichever proposal is smaller wins, and both orders of the ids are met.</summary>
    [Test]
    public void Of_two_proposals_the_smaller_one_wins_and_the_other_incarnation_is_refused_with_the_remedy()
    {
        bool old = false, fresh = false;
        for (ulong again = 100; again < 120; again++)
        {
            FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
            _ = b.Dial(a);
            a.Empty(again);
            _ = c.Dial(a);
            _ = b.Dial(c);
            b.Settle();
            c.Settle();
            Assert.That((b.Proposal!.Find(a.Id)!.Incarnation, c.Proposal!.Find(a.Id)!.Incarnation), Is.EqualTo((11UL, again)));
            ulong smaller = Math.Min(InitialConfiguration.ClusterId(b.Proposal, "t", 0), InitialConfiguration.ClusterId(c.Proposal, "t", 0));
            FormingMember.Meet(b, c);
            Assert.That(new[] { b, c }.Select(m => InitialConfiguration.ClusterId(m.Proposal!, "t", 0)), Is.All.EqualTo(smaller));
            FormingMember.Meet(a, b, c);
            bool pinsFresh = b.Proposal!.Find(a.Id)!.Incarnation == again;
            (old, fresh) = (old | !pinsFresh, fresh | pinsFresh);
            Assert.That(new[] { a, b, c }.Select(m => m.ClusterId), Is.All.EqualTo(pinsFresh ? smaller : 0));
            if (pinsFresh) continue;
            Assert.That(a.Dial(b).Verdict, Is.EqualTo(HelloVerdict.Unpinned));
            Assert.That(b.Dial(a).Verdict, Is.EqualTo(HelloVerdict.Unpinned));
            foreach (FormingMember member in new[] { a, b, c })
            {
                Assert.That(member.Formation.Obstacle, Does.Contain("directory of a was emptied or replaced before the cluster had formed")
                    .And.Contain("if no member says that it is formed, stop all members, empty all data directories and start again"));
            }
        }
        Assert.That(old && fresh, "both were met");
    }

    [Test]
    public void A_formed_member_outranks_any_proposal_that_the_other_has_made()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
        FormingMember.Meet(a, b, c);
        for (ulong again = 100; again < 110; again++)
        {
            // c as it would be had it agreed with an emptied a, with a larger or smaller id.
            FormingMember late = Member("c", 13), emptied = Member("a", again);
            _ = late.Dial(Member("b", 12));
            _ = late.Dial(emptied);
            late.Settle();
            Assert.That(late.Proposal!.Find(a.Id)!.Incarnation, Is.EqualTo(again));
            _ = late.Dial(again % 2 == 0 ? a : b);
            late.Settle();
            Assert.That(late.ClusterId, Is.EqualTo(a.ClusterId), "even from a, whom its proposal does not pin");
        }
    }

    [Test]
    public void What_does_not_hash_to_its_id_or_pins_another_is_no_proposal()
    {
        FormingMember a = Member("a", 11), b = Member("b", 12), c = Member("c", 13);
        Hear(a, b, c);
        WriteProposal(b);
        PeerHello good = b.Formation.Hello(a.Id, LaneKind.Control);
        PeerHello[] bad =
        [
            good with { Proposal = good.Proposal + 1 },
            good with { Initial = [.. good.Initial.Select(m => m.Id == c.Id ? m with { Incarnation = 0 } : m)] },
            good with { Initial = [.. good.Initial.Skip(1)] },
            good with { Initial = [] },
            good with { Initial = [.. good.Initial.Select(m => m.Id == b.Id ? m with { Incarnation = 77 } : m)] },
        ];
        foreach (PeerHello hello in bad)
        {
            a.Boot();
            _ = a.Formation.Judge(hello, out _);
            Assert.That(a.Formation.Wanted, Is.Null);
        }
        a.Boot();
        _ = a.Formation.Judge(good, out bool news);
        Assert.That((a.Formation.Wanted is not null, news), Is.EqualTo((true, true)));
    }

    private static FormingMember Member(string name, ulong incarnation) => new(name, incarnation, List);

    private static void WriteProposal(FormingMember member)
    {
        Assert.That(member.Write(), member.Name);
        member.Say();
        Assert.That(member.Proposal, Is.Not.Null);
    }

    /// <summary>Everybody has heard everybody, and nothing is written yet.</summary>
    private static void Hear(params FormingMember[] members)
    {
        foreach (FormingMember from in members)
        {
            foreach (FormingMember to in members.Where(m => m != from)) _ = from.Dial(to);
        }
    }
}
