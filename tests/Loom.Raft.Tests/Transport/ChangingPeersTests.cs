using Loom.Raft.Consensus;
using Loom.Raft.Transport;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>Peers come and go with the configuration (E4), while the others' connections stay as they are.</summary>
public sealed class ChangingPeersTests
{
    private static readonly MemberId[] Ids = [new(1), new(2), new(3)];
    private readonly int[] ports = FreePorts.Take(3);

    [Test]
    public void A_peer_that_is_added_gets_lanes_and_one_that_is_removed_loses_them()
    {
        using PeerTransport first = Open(0, 1), second = Open(1, 0), third = Open(2, 0);
        WaitFor(() => first.IsUp(Ids[1], LaneKind.Control) && !first.IsUp(Ids[2], LaneKind.Control));
        first.Reconcile([Target(1), Target(2)]);
        WaitFor(() => first.IsUp(Ids[2], LaneKind.Control) && first.IsUp(Ids[2], LaneKind.Forward) && third.IsUp(Ids[0], LaneKind.Control));
        first.Reconcile([Target(2)]);
        WaitFor(() => !second.IsUp(Ids[0], LaneKind.Control));
        Assert.That((first.IsUp(Ids[1], LaneKind.Control), first.IsUp(Ids[2], LaneKind.Control)), Is.EqualTo((false, true)), "who stays keeps its connections");
        first.Reconcile([Target(1), Target(2)]);
        WaitFor(() => first.IsUp(Ids[1], LaneKind.Control) && second.IsUp(Ids[0], LaneKind.Control));
    }

    [Test]
    public void A_peer_that_moved_is_dialled_at_its_new_place()
    {
        using PeerTransport first = Open(0, 1), moved = Open(2, Ids[1], 0);
        first.Reconcile([new PeerTarget(Ids[1], "m2", "dc", [Url(2)])]);
        WaitFor(() => first.IsUp(Ids[1], LaneKind.Control) && moved.IsUp(Ids[0], LaneKind.Control));
    }

    /// <summary>The address comes from the replicated configuration: if it ended the member, it would end them all.</summary>
    [Test]
    public void An_address_that_cannot_be_used_is_that_peers_trouble_alone()
    {
        var events = new LaneEvents();
        using PeerTransport first = Open(0, Ids[0], events, 1), second = Open(1, 0);
        first.Reconcile([Target(1), new PeerTarget(Ids[2], "m3", "dc", ["not a url"])]);
        WaitFor(() => first.IsUp(Ids[1], LaneKind.Control));
        Thread.Sleep(200);
        Assert.That(events.Failure, Is.Null);
    }

    private static void WaitFor(Func<bool> condition) => Assert.That(condition, Is.True.After(5000, 5));

    private string Url(int place) => $"http://127.0.0.1:{ports[place]}";

    private PeerTarget Target(int place) => new(Ids[place], $"m{place + 1}", "dc", [Url(place)]);

    private PeerTransport Open(int place, params int[] peers) => Open(place, Ids[place], new LaneEvents(), peers);

    private PeerTransport Open(int place, MemberId self, params int[] peers) => Open(place, self, new LaneEvents(), peers);

    private PeerTransport Open(int place, MemberId self, LaneEvents events, params int[] peers)
    {
        var transport = new PeerTransport(
            self, [.. peers.Select(Target)], [Url(place)], new Dictionary<string, TimeSpan>(), self.Value, LaneTests.Context(events, new LaneSettings(), self));
        transport.Start();
        return transport;
    }
}
