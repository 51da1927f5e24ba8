using System.Collections;
using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Transport;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>
/// E2 and its race: a process dies and its successor connects while we still knock at the dead one's port. The news must not be told of the successor.
/// Method: the knock reads the peer's URLs on the test's thread, and the list lets the test act at that moment.
/// </summary>
public sealed class PeerDeathTests
{
    private static readonly MemberId East = new(1);
    private static readonly MemberId West = new(2);

    [Test]
    public void A_refused_knock_is_a_death()
    {
        using var life = new Life();
        life.Peer.AttachIncoming(LaneKind.Control, life.First);
        life.Peer.DetachIncoming(LaneKind.Control, life.First);
        Assert.That(life.Events.Died, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_refused_knock_is_no_death_once_the_successor_has_connected()
    {
        using var life = new Life();
        life.Peer.AttachIncoming(LaneKind.Control, life.First);
        life.Urls.OnKnock = () => life.Peer.AttachIncoming(LaneKind.Control, life.Second);
        life.Peer.DetachIncoming(LaneKind.Control, life.First);
        Assert.That(life.Events.Died, Is.Empty);
    }

    [Test]
    public void A_refused_knock_breaks_the_connection_that_was_there_and_no_younger_one()
    {
        using var life = new Life();
        using var west = new PeerTransport(
            West, [new PeerTarget(East, "m1", "dc", [$"http://127.0.0.1:{FreePorts.Take()}"])], [life.Urls.Dialled], new Dictionary<string, TimeSpan>(), 2,
            LaneTests.Context(new LaneEvents(), new LaneSettings(), West));
        west.Start();
        life.Peer.Start();
        SendingLane control = life.Peer.Lane(LaneKind.Control);
        Assert.That(() => control.Current, Is.Not.Null.After(5000, 2));
        Socket old = control.Current!;
        Socket? young = null;
        life.Urls.OnKnock = () =>
        {
            control.Break(old);
            Assert.That(() => control.Current is { } now && now != old, Is.True.After(5000, 2));
            young = control.Current;
        };
        life.Peer.AttachIncoming(LaneKind.Control, life.First);
        life.Peer.DetachIncoming(LaneKind.Control, life.First);
        Thread.Sleep(100);
        Assert.That(young, Is.Not.Null);
        Assert.That(control.Current, Is.SameAs(young), "the successor's connection stayed");
        Assert.That(life.Events.Died, Is.Empty);

        // And the one that was there goes, when no other came.
        life.Urls.OnKnock = null;
        life.Peer.AttachIncoming(LaneKind.Control, life.Second);
        life.Peer.DetachIncoming(LaneKind.Control, life.Second);
        Assert.That(() => ReferenceEquals(control.Current, young), Is.False.After(5000, 2));
        Assert.That(life.Events.Died, Has.Count.EqualTo(1));
    }

    private sealed class Life : IDisposable
    {
        public Life() => Peer = new Peer(new PeerTarget(West, "m2", "dc", Urls), LaneTests.Context(Events, new LaneSettings(), East), TimeSpan.Zero, 1);

        public LaneEvents Events { get; } = new();

        public KnockedUrls Urls { get; } = new();

        public Peer Peer { get; }

        public Socket First { get; } = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        public Socket Second { get; } = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        public void Dispose()
        {
            Peer.Dispose();
            First.Dispose();
            Second.Dispose();
        }
    }

    /// <summary>The lanes' threads dial the living port; the test's thread knocks at one where nobody listens.</summary>
    private sealed class KnockedUrls : IReadOnlyList<string>
    {
        private readonly Thread test = Thread.CurrentThread;
        private readonly string dead = $"http://127.0.0.1:{FreePorts.Take()}";

        public string Dialled { get; } = $"http://127.0.0.1:{FreePorts.Take()}";

        public Action? OnKnock { get; set; }

        public int Count => 1;

        public string this[int index] => Thread.CurrentThread == test ? dead : Dialled;

        public IEnumerator<string> GetEnumerator()
        {
            if (Thread.CurrentThread == test) OnKnock?.Invoke();
            yield return this[0];
        }

        IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();
    }
}
