using Loom.Raft.Consensus;
using Loom.Raft.Reads;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Reads;

public sealed class ReadBarrierTests
{
    private readonly List<ReadCompletion> done = [];
    private ReadBarrier barrier = null!;

    [SetUp]
    public void SetUp()
    {
        done.Clear();
        barrier = new ReadBarrier(
            new ReplicaOptions { Id = new MemberId(1), Incarnation = 1, Seed = 1, ClusterId = 1, MaxWaitingReads = 4 }, done);
    }

    [Test]
    public void All_that_wait_share_a_round_and_later_ones_take_the_next()
    {
        var first = Ask();
        var second = Ask();
        Assert.That(barrier.NextRound(0), Is.EqualTo(1));
        var late = Ask();
        Assert.That(barrier.NextRound(0), Is.Zero, "one round at a time");

        barrier.OnAnswer(0, new ReadAnswer(1, 10), applied: 10);
        Assert.That(done.Select(d => d.Request), Is.EqualTo(new[] { first, second }), "the late one was not in the round (R1)");

        Assert.That(barrier.NextRound(0), Is.EqualTo(2));
        barrier.OnAnswer(0, new ReadAnswer(2, 12), applied: 10);
        Assert.That(done, Has.Count.EqualTo(2), "12 is not applied");
        barrier.OnApplied(11);
        Assert.That(done, Has.Count.EqualTo(2));
        barrier.OnApplied(12);
        Assert.That(done[^1], Is.EqualTo(new ReadCompletion(late, 0, 12)));
    }

    [Test]
    public void A_refused_round_is_asked_again_and_its_late_answer_is_void()
    {
        var request = Ask();
        Assert.That(barrier.NextRound(0), Is.EqualTo(1));
        barrier.OnAnswer(0, new ReadAnswer(1, -1), 0);
        Assert.That(barrier.NextRound(0), Is.Zero, "after a pause");
        Assert.That(barrier.NextRound(barrier.SweepAt), Is.EqualTo(2));
        barrier.OnAnswer(barrier.SweepAt, new ReadAnswer(1, 5), 5);
        Assert.That(done, Is.Empty);
        barrier.OnAnswer(barrier.SweepAt, new ReadAnswer(2, 7), 7);
        Assert.That(done.Single(), Is.EqualTo(new ReadCompletion(request, 0, 7)));
    }

    [Test]
    public void A_silent_round_is_asked_again()
    {
        Ask();
        barrier.NextRound(0);
        var silence = barrier.SweepAt;
        barrier.Sweep(silence, RaftErrorCode.DeadlineExceeded);
        Assert.That(barrier.NextRound(silence), Is.EqualTo(2));
    }

    [Test]
    public void A_new_leader_voids_the_round()
    {
        Ask();
        barrier.NextRound(0);
        barrier.OnLeaderChanged(3);
        barrier.OnAnswer(3, new ReadAnswer(1, 5), 5);
        Assert.That(done, Is.Empty);
        Assert.That(barrier.NextRound(3), Is.EqualTo(2));
    }

    [Test]
    public void Deadlines_and_bounds_hold()
    {
        var slow = Ask(deadline: 100);
        var abandoned = Ask();
        Ask();
        Ask();
        var fifth = Ask();
        Assert.That(done.Single(), Is.EqualTo(new ReadCompletion(fifth, RaftErrorCode.Overloaded, 0)));

        barrier.NextRound(0);
        barrier.Abandon(abandoned);
        barrier.Abandon(abandoned);
        barrier.OnAnswer(0, new ReadAnswer(1, 9), applied: 1);
        barrier.Sweep(100, RaftErrorCode.DeadlineExceeded);
        Assert.That(done.Skip(1).Select(d => d.Request), Is.EqualTo(new[] { abandoned, slow }));
        barrier.OnApplied(9);
        Assert.That(done, Has.Count.EqualTo(5), "each exactly once");
        Assert.That(done.Select(d => d.Request), Is.Unique);
    }

    private ReadRequest Ask(long deadline = 1_000_000_000_000)
    {
        var request = new ReadRequest(deadline);
        barrier.Submit(0, request, 0);
        return request;
    }
}
