using System.Net;
using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Host;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;
using Loom.Testing;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

/// <summary>Two transports on loopback, with a gate that lets everyone in who knows the right id.</summary>
public sealed class LaneTests
{
    private static readonly MemberId East = new(1);
    private static readonly MemberId West = new(2);

    [Test]
    public void Messages_arrive_in_order_and_a_long_append_lets_heartbeats_pass()
    {
        using var pair = new Pair();
        pair.WaitUntilUp();
        var big = new byte[3 * 1024 * 1024];
        new Random(7).NextBytes(big);
        // Queued together while the sender is busy with the first: the heartbeats overtake the second append between its chunks.
        pair.East.Send(Append(1, big));
        pair.East.Send(Append(2, big));
        for (int i = 0; i < 50; i++) pair.East.Send(Heartbeat(i));
        pair.East.Send(Append(3, new byte[10]));
        List<Message> got = pair.WestEvents.Take(53);
        Assert.That(got.Where(m => m.Kind == MessageKind.Append).Select(m => m.Index), Is.EqualTo(new long[] { 1, 2, 3 }));
        Assert.That(got.Where(m => m.Kind == MessageKind.Heartbeat).Select(m => m.Commit), Is.EqualTo(Enumerable.Range(0, 50)));
        Assert.That(got[^1].Kind, Is.EqualTo(MessageKind.Append), "heartbeats passed the appends");
        Assert.That(got.First(m => m.Index == 1 && m.Kind == MessageKind.Append).Entries[0].Body.Span.SequenceEqual(big));
        Assert.That(pair.WestEvents.HeardCount, Is.GreaterThan(80), "every chunk is a sign of life (P5)");
    }

    [Test]
    public void A_forwarded_proposal_travels_on_its_own_lane()
    {
        using var pair = new Pair();
        pair.WaitUntilUp();
        pair.East.Send(new ForwardProposals(East, West, [new ProposalItem(9, EntryKind.Command, new byte[200_000])]));
        ForwardMessage got = pair.WestEvents.TakeForward();
        Assert.That(((ForwardProposals)got).Items[0].Body.Length, Is.EqualTo(200_000));
    }

    [Test]
    public void Round_trip_and_suspicion_are_known()
    {
        using var pair = new Pair(new LaneSettings { PingInterval = 20_000_000, SilenceLimit = 400_000_000 });
        pair.WaitUntilUp();
        Assert.That(() => pair.East.StatusOf(West).Rtt, Is.LessThan(50).After(3000, 10));
        Assert.That(pair.East.StatusOf(West).Connected);
    }

    [Test]
    public void A_test_delay_holds_what_was_received_in_order()
    {
        using var pair = new Pair(new LaneSettings { PingInterval = 20_000_000, SilenceLimit = 2_000_000_000 }, delayMilliseconds: 30);
        pair.WaitUntilUp();
        long start = MonotonicClock.Nanoseconds;
        for (int i = 0; i < 20; i++) pair.East.Send(Heartbeat(i));
        List<Message> got = pair.WestEvents.Take(20);
        Assert.That((MonotonicClock.Nanoseconds - start) / 1e6, Is.GreaterThan(29.9));
        Assert.That(got.Select(m => m.Commit), Is.EqualTo(Enumerable.Range(0, 20)));
        Assert.That(() => pair.East.StatusOf(West).Rtt, Is.GreaterThan(59).After(3000, 10), "both directions are held");
    }

    /// <summary>E2: the peer's sockets are gone and its port refuses.</summary>
    [Test]
    public void The_death_of_a_peer_is_reported_at_once()
    {
        using var pair = new Pair();
        pair.WaitUntilUp();
        long start = MonotonicClock.Nanoseconds;
        pair.West.Dispose();
        Assert.That(pair.EastEvents.Died.TryTake(out MemberId died, 2000));
        Assert.That(died, Is.EqualTo(West));
        Assert.That((MonotonicClock.Nanoseconds - start) / 1e6, Is.LessThan(1500));
    }

    [Test]
    public void A_peer_that_comes_back_is_connected_again()
    {
        using var pair = new Pair();
        pair.WaitUntilUp();
        pair.West.Dispose();
        pair.RestartWest();
        pair.WaitUntilUp();
        pair.East.Send(Heartbeat(77));
        Assert.That(pair.WestEvents.Take(1)[0].Commit, Is.EqualTo(77));
    }

    /// <summary>N2: port scans, health checks, half-open connections and garbage disturb nobody.</summary>
    [Test]
    public void Scanning_the_peer_port_disturbs_nobody()
    {
        using var pair = new Pair(new LaneSettings { HandshakeLimit = 500_000_000 });
        pair.WaitUntilUp();
        List<Socket> silent = [];
        for (int i = 0; i < 100; i++)
        {
            using (Socket scan = Connect(pair.WestPort)) { }
            if (i % 2 == 0) silent.Add(Connect(pair.WestPort));
            using Socket garbage = Connect(pair.WestPort);
            try
            {
                _ = garbage.Send(i % 3 == 0 ? "GET / HTTP/1.1\r\n\r\n"u8 : [.. "LOOMPEER"u8, .. Enumerable.Repeat((byte)0xFF, 64)]);
            }
            catch (SocketException)
            {
                // Shed while the others' handshakes were pending.
            }
        }
        pair.East.Send(Heartbeat(5));
        Assert.That(pair.WestEvents.Take(1)[0].Commit, Is.EqualTo(5));
        Assert.That(pair.EastEvents.Died.Count, Is.Zero);
        // Each silent connection is closed from the other side within the handshake limit.
        foreach (Socket socket in silent)
        {
            socket.ReceiveTimeout = 3000;
            Assert.That(ReadsEnd(socket), "a silent connection stayed open");
            socket.Dispose();
        }
    }

    /// <summary>Whatever judging a stranger's hello leads to is the end of his connection, not of the member.</summary>
    [Test]
    public void A_handshake_that_fails_in_an_unforeseen_way_ends_its_connection_only()
    {
        using var pair = new Pair();
        pair.WaitUntilUp();
        using (Socket stranger = Connect(pair.WestPort))
        {
            PeerHello hello = new OpenGate(East).Hello(West, LaneKind.Control) with { Name = OpenGate.Poison };
            Assert.That(
                () => LaneHandshake.Ask(LaneWire.Cleartext(stranger), hello, MonotonicClock.Nanoseconds + 3_000_000_000, () => MonotonicClock.Nanoseconds),
                Throws.InstanceOf<WireException>().With.Message.Contains("closed during the handshake"));
        }
        pair.East.Send(Heartbeat(6));
        Assert.That(pair.WestEvents.Take(1)[0].Commit, Is.EqualTo(6));
        Assert.That(pair.WestEvents.Failure, Is.Null);
    }

    [Test]
    public void Who_speaks_in_anothers_name_is_cut_off()
    {
        using var pair = new Pair();
        pair.WaitUntilUp();
        pair.East.Send(Heartbeat(1) with { From = new MemberId(99) });
        pair.East.Send(Heartbeat(2));
        // The forged message closes the lane; it comes up again by itself.
        Thread.Sleep(50);
        pair.WaitUntilUp();
        pair.East.Send(Heartbeat(3));
        Assert.That(pair.WestEvents.Take(1)[0].From, Is.EqualTo(East));
    }

    [TestCase(true)]
    [TestCase(false)]
    public void An_empty_chunk_is_what_no_member_sends(bool isFirst)
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        listener.Listen();
        using Socket sending = Connect(((IPEndPoint)listener.LocalEndPoint!).Port);
        using Socket receiving = listener.Accept();
        var events = new LaneEvents();
        using var peer = new Peer(new PeerTarget(East, "m1", "dc", []), Context(events, new LaneSettings(), West), TimeSpan.Zero, 1);
        byte[] header = [100, 0, 0, 0, (byte)FrameKind.Message];
        var writer = new WireWriter();
        Write(writer, FrameKind.ChunkFirst, isFirst ? header : [.. header, 1]);
        if (!isFirst) Write(writer, FrameKind.ChunkNext, []);
        _ = sending.Send(writer.Written);
        sending.Shutdown(SocketShutdown.Send);
        Assert.That(() => new LaneReceiver(LaneWire.Cleartext(receiving), peer, LaneKind.Control, West, new LaneSettings()).Run(), Throws.InstanceOf<WireException>().With.Message.Contains("empty chunk"));
        Assert.That(events.HeardCount, Is.EqualTo(isFirst ? 0 : 1));
    }

    [TestCase("ftp://a:1", "the scheme ftp is not known")]
    [TestCase("a:1", "http://host:port")]
    [TestCase("http://a", "port is missing")]
    [TestCase("http://a:1/x", "no path")]
    public void An_unusable_peer_url_says_what_to_write(string url, string says) =>
        Assert.That(() => PeerAddress.Parse(url), Throws.InstanceOf<RaftException>().With.Message.Contains(says));

    [Test]
    public void A_port_in_use_is_refused_with_the_fix()
    {
        using var pair = new Pair();
        Assert.That(
            () => new PeerTransport(West, [], [$"http://127.0.0.1:{pair.WestPort}"], new Dictionary<string, TimeSpan>(), 1, Context(new LaneEvents(), new LaneSettings(), West)),
            Throws.InstanceOf<RaftException>().With.Message.Contains("--listen-peer-urls"));
    }

    private static void Write(WireWriter writer, FrameKind kind, ReadOnlySpan<byte> body)
    {
        int start = writer.Length;
        writer.Reserve(Frame.HeaderSize);
        writer.Bytes(body);
        Frame.Seal(writer.Patch(start), kind);
    }

    private static Message Append(long index, byte[] body) => new()
    {
        Kind = MessageKind.Append,
        From = East,
        To = West,
        Term = 1,
        Index = index,
        Entries = [new Entry(index + 1, 1, EntryKind.Command, 0, body)],
    };

    private static Message Heartbeat(long commit) => new() { Kind = MessageKind.Heartbeat, From = East, To = West, Term = 1, Commit = commit };

    private static Socket Connect(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Connect(IPAddress.Loopback, port);
        return socket;
    }

    private static bool ReadsEnd(Socket socket)
    {
        try
        {
            return socket.Receive(new byte[1]) == 0;
        }
        catch (SocketException e)
        {
            return e.SocketErrorCode != SocketError.TimedOut && e.SocketErrorCode != SocketError.WouldBlock;
        }
    }

    internal static Loom.Raft.Transport.TransportContext Context(LaneEvents events, LaneSettings settings, MemberId self) =>
        new(settings, new OpenGate(self), events, static () => MonotonicClock.Nanoseconds, NullLogger.Instance);

    private sealed class Pair : IDisposable
    {
        private readonly LaneSettings settings;
        private readonly Dictionary<string, TimeSpan> delays;
        private readonly int eastPort = FreePorts.Take();

        public Pair(LaneSettings? settings = null, int delayMilliseconds = 0)
        {
            this.settings = settings ?? new LaneSettings();
            delays = new Dictionary<string, TimeSpan> { ["dc"] = TimeSpan.FromMilliseconds(delayMilliseconds) };
            WestPort = FreePorts.Take();
            East = Open(LaneTests.East, LaneTests.West, eastPort, WestPort, EastEvents);
            West = Open(LaneTests.West, LaneTests.East, WestPort, eastPort, WestEvents);
        }

        public int WestPort { get; }

        public LaneEvents EastEvents { get; } = new();

        public LaneEvents WestEvents { get; private set; } = new();

        public PeerTransport East { get; }

        public PeerTransport West { get; private set; }

        public void RestartWest()
        {
            WestEvents = new LaneEvents();
            West = Open(LaneTests.West, LaneTests.East, WestPort, eastPort, WestEvents);
        }

        public void WaitUntilUp()
        {
            long until = MonotonicClock.Nanoseconds + 5_000_000_000;
            while (!(Up(East, LaneTests.West) && Up(West, LaneTests.East)))
            {
                if (MonotonicClock.Nanoseconds > until) Assert.Fail("the lanes did not come up");
                Thread.Sleep(2);
            }
        }

        public void Dispose()
        {
            East.Dispose();
            West.Dispose();
            Assert.That((EastEvents.Failure, WestEvents.Failure), Is.EqualTo(((Exception?)null, (Exception?)null)), "a thread of the transport failed");
        }

        private static bool Up(PeerTransport transport, MemberId peer) => transport.IsUp(peer, LaneKind.Control) && transport.IsUp(peer, LaneKind.Forward);

        private PeerTransport Open(MemberId self, MemberId other, int port, int otherPort, LaneEvents events)
        {
            var transport = new PeerTransport(
                self, [new PeerTarget(other, $"m{other}", "dc", [$"http://127.0.0.1:{otherPort}"])], [$"http://127.0.0.1:{port}"], delays, self.Value, Context(events, settings, self));
            transport.Start();
            return transport;
        }
    }
}
