using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

[NonParallelizable]
public sealed class LaneStallTests
{
    private static readonly MemberId East = new(1);
    private static readonly MemberId West = new(2);

    /// <summary>Method: messages longer than a frame, given together as one flush of the forwarder gives them; the forward lane's next ping is 2 s away.</summary>
    [Test]
    public void What_waits_behind_a_chunked_message_leaves_with_it()
    {
        var events = new LaneEvents();
        int[] ports = FreePorts.Take(2);
        int a = ports[0], b = ports[1];
        using PeerTransport one = Open(East, West, a, b, new LaneEvents());
        using PeerTransport two = Open(West, East, b, a, events);
        one.Start();
        two.Start();
        Assert.That(() => one.IsUp(West, LaneKind.Forward) && two.IsUp(East, LaneKind.Forward), Is.True.After(5000, 2));
        double longest = 0;
        for (int round = 0; round < 4; round++)
        {
            Thread.Sleep(50);
            long start = MonotonicClock.Nanoseconds;
            for (ulong i = 1; i <= 3; i++) one.Send(new ForwardProposals(East, West, [new ProposalItem(i, EntryKind.Command, new byte[200_000])]));
            for (int i = 0; i < 3; i++) _ = events.TakeForward();
            longest = Math.Max(longest, (MonotonicClock.Nanoseconds - start) / 1e6);
        }
        Assert.That(longest, Is.LessThan(1000), "milliseconds until all three had arrived");
    }

    private static PeerTransport Open(MemberId self, MemberId other, int port, int otherPort, LaneEvents events) => new(
        self, [new PeerTarget(other, $"m{other}", "dc", [$"http://127.0.0.1:{otherPort}"])], [$"http://127.0.0.1:{port}"],
        new Dictionary<string, TimeSpan>(), self.Value, LaneTests.Context(events, new LaneSettings(), self));
}
