using Loom.Raft.Host;
using Loom.Raft.Membership;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>P5 for calls that wait outside the replica's own queues: refused with a definite outcome, and the room comes back.</summary>
public sealed class BoundedCallsTests
{
    [Test]
    public async Task Calls_that_wait_for_formation_are_bounded()
    {
        await using RealCluster cluster = RealCluster.OfThree();
        RaftNode node = await cluster.StartAsync("east", o => o.ElectionTimeout = TimeSpan.FromSeconds(2));
        Task[] waiting =
        [
            .. Enumerable.Range(0, RaftNode.MaxFormationCalls).Select(i => i % 2 == 0 ? node.ProposeAsync(new byte[1]).AsTask() : (Task)node.ReadBarrierAsync().AsTask()),
        ];
        RaftException refused = await RealCluster.Thrown(async () => await node.ProposeAsync(new byte[1]));
        Assert.That((refused.Code, refused.Outcome), Is.EqualTo((RaftErrorCode.Overloaded, WriteOutcome.NotApplied)));
        Assert.That(waiting.Count(t => t.IsCompleted), Is.Zero);

        await cluster.StartAsync("west");
        await cluster.StartAsync("south");
        foreach (Task call in waiting)
        {
            // They may have waited longer than three election timeouts: what counts is that each is answered.
            try
            {
                await call.WaitAsync(TimeSpan.FromSeconds(20));
            }
            catch (RaftException late) when (late.Code == RaftErrorCode.NoQuorum)
            {
            }
        }

        await node.WaitForLeaderAsync(RealCluster.Soon());
        Assert.That((await node.ProposeAsync(new byte[1], RealCluster.Soon())).Index, Is.Positive);
    }

    /// <summary>Method: the clock of the loop's thread stands still until the test lets it go, so that nothing is answered.</summary>
    [Test]
    public async Task Transfers_that_nobody_answers_are_bounded()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        using var go = new ManualResetEventSlim(true);
        HostSettings settings = RaftNode.SettingsFor(cluster.Options("solo"), 7) with
        {
            Now = () =>
            {
                if (Thread.CurrentThread.Name == "loom loop") go.Wait();
                return MonotonicClock.Nanoseconds;
            },
        };
        await using RaftNode node = await RaftNode.OpenAsync(settings, new ListMachine());
        await node.WaitForLeaderAsync(RealCluster.Soon());
        go.Reset();
        Task[] waiting = [.. Enumerable.Range(0, RaftNode.MaxTransferCalls).Select(_ => node.TransferLeadershipAsync().AsTask())];
        RaftException refused = await RealCluster.Thrown(async () => await node.TransferLeadershipAsync());
        Assert.That(refused.Code, Is.EqualTo(RaftErrorCode.Overloaded));
        go.Set();
        foreach (Task call in waiting)
        {
            Assert.That((await RealCluster.Thrown(() => call.WaitAsync(TimeSpan.FromSeconds(10)))).Code, Is.EqualTo(RaftErrorCode.BadTransferTarget));
        }

        Assert.That((await RealCluster.Thrown(async () => await node.TransferLeadershipAsync())).Code, Is.EqualTo(RaftErrorCode.BadTransferTarget));
    }
}
