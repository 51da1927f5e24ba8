using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using NUnit.Framework;

namespace Loom.Raft.Tests.Proposals;

public sealed class PendingProposalsTests
{
    [Test]
    public void The_floor_rises_only_over_what_is_settled()
    {
        var window = new PendingProposals(4);
        var all = Enumerable.Range(0, 4).Select(_ => New()).ToArray();
        foreach (var one in all)
        {
            one.Id = new ProposalId(9, window.Add(one));
        }

        Assert.That(window.IsFull);
        window.Settle(all[1], 2, true, default);
        Assert.That(window.Floor, Is.EqualTo(1));
        Assert.That(window.IsFull, "a hole above the floor is no place: the session would meet a sequence beyond its window");
        window.Settle(all[0], 1, true, default);
        Assert.That(window.Floor, Is.EqualTo(3));
        Assert.That(window.Find(2), Is.Null);
        Assert.That(window.Find(3), Is.SameAs(all[2]));
        Assert.That(window.Find(7), Is.Null, "another number of the same slot");
    }

    [Test]
    public void The_last_settled_ones_are_remembered_under_their_id()
    {
        var window = new PendingProposals(2);
        for (var i = 1; i <= 3; i++)
        {
            var one = New();
            one.Id = new ProposalId(9, window.Add(one));
            window.Settle(one, i, true, new ProposalResult(i * 10, default, null, false));
        }

        Assert.That(window.FindSettled(new ProposalId(9, 3))?.Result.Index, Is.EqualTo(30));
        Assert.That(window.FindSettled(new ProposalId(9, 2))?.Result.Index, Is.EqualTo(20));
        Assert.That(window.FindSettled(new ProposalId(9, 1)), Is.Null);
        Assert.That(window.FindSettled(new ProposalId(8, 3)), Is.Null, "another session");
    }

    [Test]
    public void An_attempt_is_superseded_only_by_a_later_term_at_or_before_its_place()
    {
        var pending = New();
        pending.Begin(1);
        Assert.That(pending.NoOpenAttempt, Is.False);
        Assert.That(pending.Supersede(5, 9), Is.False, "no receipt: nobody knows where it is");
        Assert.That(pending.Receipt(1, 10, 3));
        Assert.That(pending.Supersede(10, 3), Is.False, "that is the entry itself");
        Assert.That(pending.Supersede(11, 4), Is.False, "behind it");
        Assert.That(pending.Supersede(9, 2), Is.False, "an older term before it");
        Assert.That(pending.Supersede(10, 4));
        Assert.That(pending.NoOpenAttempt);
    }

    [Test]
    public void Attempts_that_are_no_longer_followed_count_as_open_for_ever()
    {
        var pending = New();
        var forgotten = new List<ulong>();
        for (ulong tag = 1; tag <= 9; tag++)
        {
            forgotten.Add(pending.Begin(tag));
        }

        Assert.That(forgotten, Is.EqualTo(new ulong[] { 0, 0, 0, 0, 1, 2, 3, 4, 5 }));
        for (ulong tag = 1; tag <= 9; tag++)
        {
            pending.Refused(tag);
        }

        Assert.That(pending.NoOpenAttempt, Is.False, "P3: the first five may be in a log");
    }

    private static Pending New() => new() { Kind = EntryKind.Command, Payload = default };
}
