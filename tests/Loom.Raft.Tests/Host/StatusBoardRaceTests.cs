using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Membership;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

public sealed class StatusBoardRaceTests
{
    private const int Rounds = 300_000;

    /// <summary>
    /// Asks before it looks, as WaitAsync does: then either the look sees the publication, or the task completes.
    /// A race, so a pass proves nothing by itself; without the barrier in Publish about two runs of three fail.
    /// </summary>
    [Test]
    public void A_publication_between_asking_and_looking_is_never_missed()
    {
        var configuration = new Configuration(PlacementGoal.Majority, [], []);
        var board = new StatusBoard(new MemberId(1), configuration);
        long turn = 0;
        bool over = false;
        var publisher = new Thread(() =>
        {
            for (long i = 1; i <= Rounds; i++)
            {
                while (Volatile.Read(ref turn) < i)
                {
                    if (Volatile.Read(ref over)) return;
                }
                board.Publish(new RaftNodeStatus { Term = i }, configuration);
            }
        })
        {
            IsBackground = true,
        };
        publisher.Start();
        long until = Environment.TickCount64 + 3_000;
        bool missed = false;
        for (long i = 1; i <= Rounds && Environment.TickCount64 < until && !missed; i++)
        {
            Volatile.Write(ref turn, i);
            for (int spin = (int)(i % 97); spin > 0; spin--) Thread.SpinWait(1);
            while (!missed)
            {
                Task changed = board.Changed();
                if (board.Status.Term == i) break;
                // Once in a while the publisher's thread is only slow: then the status is still the old one.
                if (!changed.Wait(1000)) missed = board.Status.Term == i && !changed.Wait(1000);
            }
        }
        Volatile.Write(ref over, true);
        Assert.That(missed, Is.False, "published, and yet nobody woke the waiter");
    }
}
