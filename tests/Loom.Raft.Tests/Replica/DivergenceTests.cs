using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>S5: who is wrong when states differ is said by a strict majority of all members, and by nobody else.</summary>
[TestFixture]
public sealed class DivergenceTests
{
    private static readonly MemberId A = new(1), B = new(2), C = new(3), D = new(4);
    private static readonly MemberId[] Three = [A, B, C];

    [Test]
    public void A_replica_in_the_minority_finds_itself_and_says_where()
    {
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(0, B, 64, 5);
        Assert.That(seen.Judge(0, Three), Is.EqualTo(DivergenceVerdict.None), "one against one: the third decides");
        seen.Add(0, C, 64, 5);
        Assert.That((seen.Judge(0, Three), seen.FoundAt), Is.EqualTo((DivergenceVerdict.Here, 64L)));
    }

    [Test]
    public void A_replica_in_the_majority_goes_on()
    {
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(0, B, 64, 5);
        seen.Add(0, C, 64, 7);
        Assert.That(seen.Judge(Divergence.Patience * 2, Three), Is.EqualTo(DivergenceVerdict.None));
        Assert.That(seen.Deadline, Is.EqualTo(long.MaxValue), "the round is settled and forgotten");
    }

    [Test]
    public void Two_wrong_replicas_do_not_condemn_a_right_one_whose_friend_is_slow()
    {
        // Three of four have reported, two of them alike: not a majority of all.
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(0, B, 64, 5);
        seen.Add(0, C, 64, 5);
        Assert.That(seen.Judge(0, [A, B, C, D]), Is.EqualTo(DivergenceVerdict.None));
        seen.Add(0, D, 64, 7);
        Assert.That(seen.Judge(0, [A, B, C, D]), Is.EqualTo(DivergenceVerdict.Undecided), "two against two");
    }

    [Test]
    public void A_member_that_never_reports_is_waited_for_ten_seconds()
    {
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(5, B, 64, 5);
        Assert.That(seen.Judge(Divergence.Patience, Three), Is.EqualTo(DivergenceVerdict.None));
        Assert.That(seen.Deadline, Is.EqualTo(Divergence.Patience + 5));
        Assert.That((seen.Judge(Divergence.Patience + 5, Three), seen.FoundAt), Is.EqualTo((DivergenceVerdict.Undecided, 64L)));
    }

    [Test]
    public void Where_a_majority_agrees_later_the_states_are_known_to_be_equal_again()
    {
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(0, B, 64, 5);
        Assert.That((seen.Judge(Divergence.Patience, Three), seen.AgreedAt), Is.EqualTo((DivergenceVerdict.Undecided, 0L)));
        seen.Add(0, A, 128, 9);
        seen.Judge(0, Three);
        Assert.That(seen.AgreedAt, Is.Zero, "this replica alone");
        seen.Add(0, C, 128, 9);
        seen.Judge(0, Three);
        Assert.That(seen.AgreedAt, Is.EqualTo(128));
    }

    [Test]
    public void Two_members_alone_cannot_say_who_is_wrong()
    {
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(0, B, 64, 5);
        Assert.That(seen.Judge(0, [A, B]), Is.EqualTo(DivergenceVerdict.Undecided));
    }

    [Test]
    public void Reports_of_removed_members_do_not_count_and_old_rounds_are_forgotten()
    {
        Divergence seen = new(A);
        seen.Add(0, A, 64, 7);
        seen.Add(0, D, 64, 5);
        Assert.That(seen.Judge(Divergence.Patience * 2, Three), Is.EqualTo(DivergenceVerdict.None));
        for (int i = 2; i < 200; i++)
        {
            seen.Add(0, A, 64 * i, 7);
        }

        seen.Add(0, B, 64, 5);
        seen.Add(0, C, 64, 5);
        Assert.That(seen.Judge(0, Three), Is.EqualTo(DivergenceVerdict.None), "this replica's own report of it is long gone");
    }
}
