using System.Collections.Concurrent;
using System.Diagnostics;
using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

public sealed class LaneStallTests
{
    [Test]
    public void What_waits_behind_a_chunked_message_leaves_with_it()
    {
        var events = new Sink();
        int a = LaneTests.FreePort(), b = LaneTests.FreePort();
        MemberId east = new(1), west = new(2);
        using PeerTransport one = Open(east, west, a, b, new Sink());
        using PeerTransport two = Open(west, east, b, a, events);
        one.Start();
        two.Start();
        long until = MonotonicClock.Nanoseconds + 5_000_000_000;
        while (!(one.IsUp(west, LaneKind.Forward) && two.IsUp(east, LaneKind.Forward)) && MonotonicClock.Nanoseconds < until) Thread.Sleep(2);
        List<double> waits = [];
        for (int round = 0; round < 4; round++)
        {
            Thread.Sleep(50);
            long start = MonotonicClock.Nanoseconds;
            // Messages longer than a frame, as one flush of the forwarder emits them.
            one.Send(new ForwardProposals(east, west, [new ProposalItem(1, EntryKind.Command, new byte[200_000])]));
            one.Send(new ForwardProposals(east, west, [new ProposalItem(2, EntryKind.Command, new byte[200_000])]));
            one.Send(new ForwardProposals(east, west, [new ProposalItem(3, EntryKind.Command, new byte[200_000])]));
            for (int i = 0; i < 3; i++) Assert.That(events.Forwards.TryTake(out _, 10_000), "arrived");
            waits.Add((MonotonicClock.Nanoseconds - start) / 1e6);
        }
        TestContext.Out.WriteLine("ms until all three arrived: " + string.Join(", ", waits.Select(w => w.ToString("F1", System.Globalization.CultureInfo.InvariantCulture))));
        Assert.That(waits.Max(), Is.LessThan(1000));
    }

    private static PeerTransport Open(MemberId self, MemberId other, int port, int otherPort, Sink sink) => new(
        self, [new PeerTarget(other, other.ToString(), "dc", [$"http://127.0.0.1:{otherPort}"])], [$"http://127.0.0.1:{port}"],
        new Dictionary<string, TimeSpan>(), 7, new TransportContext(new LaneSettings(), new Gate(self, other), sink, () => MonotonicClock.Nanoseconds, NullLogger.Instance));

    private sealed class Sink : IPeerEvents
    {
        public BlockingCollection<ForwardMessage> Forwards { get; } = [];

        public void Received(Message message, int bytes) { }

        public void Received(ForwardMessage message, int bytes) => Forwards.Add(message);

        public void Heard(MemberId peer) { }

        public void ProcessDied(MemberId peer) { }

        public void LaneChanged(MemberId peer, LaneKind lane, bool up) { }

        public void Failed(Exception error) => Debug.WriteLine(error);
    }

    private sealed class Gate(MemberId self, MemberId other) : IPeerGate
    {
        public PeerHello Hello(MemberId to, LaneKind lane) => new()
        {
            Lane = lane, TokenHash = 1, ClusterId = 1, From = self, To = to, Incarnation = 1, Name = self.ToString(), Datacenter = "dc", Role = MemberRole.Voter,
            PeerUrls = [], ClientUrls = [], ConfigurationHash = 1, PinnedForYou = 0, Initial = [],
        };

        public HelloAnswer Judge(PeerHello hello, out bool news)
        {
            news = false;
            return new HelloAnswer(HelloVerdict.Accepted, "", Hello(other, hello.Lane));
        }

        public HelloAnswer Answered(MemberId peer, HelloAnswer answer) => answer;
    }
}
