using System.Net;
using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Threads;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Transport;

/// <summary>
/// Accepts peers' connections. Each gets a thread that does the handshake and then becomes the lane's receiving thread. Connections that have not said a valid hello are few
/// (<see cref="LaneSettings.MaxPendingHandshakes"/>; who holds most of them loses one when another comes) and short-lived: whoever scans the port disturbs nobody (N2).
/// </summary>
internal sealed class PeerListener : IDisposable
{
    private readonly Socket listener;
    private readonly TlsFiles? tls;
    private readonly MemberId self;
    private readonly TransportContext context;
    private readonly Func<MemberId, Peer?> find;
    private readonly UnfinishedHandshakes<Socket> pending;
    private readonly Queue<string> lastComplaints = new();
    private readonly Signal pause = new();
    private readonly Thread thread;
    private volatile bool stopping;

    public PeerListener(PeerAddress address, MemberId self, TransportContext context, Func<MemberId, Peer?> find)
    {
        this.self = self;
        this.context = context;
        this.find = find;
        pending = new UnfinishedHandshakes<Socket>(context.Settings.MaxPendingHandshakes);
        tls = !address.IsSecure ? null : context.Tls ?? throw new RaftException(
            RaftErrorCode.CannotOpen, $"{address} asks for TLS, and this member has no certificate for members: give it one (--peer-cert-file and --peer-key-file, or PeerTls), or write http://.");
        if (tls is { Options: { TrustAnyCertificate: false } options } && !TlsCheck.AsksForCertificate(options))
        {
            context.Log.LogWarning("{Address} encrypts and checks nobody: whoever reaches it can call itself a member. Name the CA of the members' certificates (--peer-trusted-ca-file, or PeerTls.TrustedCaFile)", address);
        }
        listener = address.Listen(backlog: 128);
        thread = context.NewThread("loom accept", Accept);
    }

    public void Start() => thread.Start();

    public void Dispose()
    {
        stopping = true;
        pause.Set();
        listener.Dispose();
        foreach (Socket socket in pending.ToArray()) socket.Dispose();
    }

    private void Accept()
    {
        while (!stopping)
        {
            try
            {
                Socket accepted = listener.Accept();
                LinkedListNode<UnfinishedHandshakes<Socket>.Entry> node = pending.Add(accepted, AddressOf(accepted), out Socket? evicted);
                evicted?.Dispose();
                context.NewThread("loom peer", () => Serve(node)).Start();
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException)
            {
                if (stopping) return;
                // Out of descriptors, or the connection was gone before we took it: never a reason to stop listening, and never a busy loop.
                context.Log.LogWarning("Accepting a member's connection failed: {Error}", e.Message);
                _ = pause.Wait(100_000_000);
            }
        }
    }

    private void Serve(LinkedListNode<UnfinishedHandshakes<Socket>.Entry> node)
    {
        Socket socket = node.Value.Connection;
        LaneWire? wire = null;
        try
        {
            if (Admit(node, ref wire) is not (Peer peer, LaneKind lane)) return;
            if (lane == LaneKind.Bulk) ServeBulk(wire!, peer);
            else Receive(wire!, peer, lane);
        }
        finally
        {
            _ = pending.Remove(node);
            socket.Dispose();
            wire?.Dispose();
        }
    }

    /// <summary>The handshake. Null: refused, or nobody we know. Whatever a stranger's bytes lead to here is the end of his connection and of nothing else.</summary>
    private (Peer, LaneKind)? Admit(LinkedListNode<UnfinishedHandshakes<Socket>.Entry> node, ref LaneWire? wire)
    {
        Socket socket = node.Value.Connection;
        try
        {
            socket.NoDelay = true;
            socket.SendTimeout = (int)(context.Settings.HandshakeLimit / 1_000_000);
            long deadline = context.Now() + context.Settings.HandshakeLimit;
            wire = PeerTls.Accept(socket, tls, deadline, context.Now);
            return Greet(wire, node, deadline);
        }
        catch (PeerTlsException e)
        {
            Complain($"a caller at {node.Value.From}: {e.Message}");
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            context.Log.LogDebug("A connection to the peer port ended: {Reason}", e.Message);
        }
        catch (Exception e)
        {
            Complain($"an unknown caller: the handshake failed with {e.GetType().Name}: {e.Message}");
        }
        return null;
    }

    private (Peer, LaneKind)? Greet(LaneWire wire, LinkedListNode<UnfinishedHandshakes<Socket>.Entry> node, long deadline)
    {
        PeerHello hello = LaneHandshake.Receive(wire, deadline, context.Now);
        // Before the gate learns anything of what the hello claims.
        if (PeerTls.Disagreement(wire, hello.Name, Whereabouts(hello)) is { } trouble)
        {
            LaneHandshake.Answer(wire, new HelloAnswer(HelloVerdict.WrongMember, trouble, context.Gate.Hello(hello.From, hello.Lane)));
            Complain($"{hello.Name} ({hello.From}): {trouble}");
            return null;
        }
        bool news = false;
        HelloAnswer answer = hello.Lane is LaneKind.Control or LaneKind.Forward or LaneKind.Bulk
            ? context.Gate.Judge(hello, out news)
            : new HelloAnswer(HelloVerdict.Unavailable, $"lane {(byte)hello.Lane} is not known here", context.Gate.Hello(hello.From, hello.Lane));
        Peer? peer = find(hello.From);
        if (answer.Verdict == HelloVerdict.Accepted && (peer is null || stopping))
        {
            answer = answer with { Verdict = HelloVerdict.Unavailable, Reason = "this member is closing or does not know the caller yet" };
        }
        LaneHandshake.Answer(wire, answer);
        if (news) peer?.DialNow();
        if (answer.Verdict == HelloVerdict.Forming) return null;
        if (answer.Verdict != HelloVerdict.Accepted)
        {
            Complain($"{hello.Name} ({hello.From}): {answer.Reason}");
            return null;
        }
        wire.EndHandshake(context.Settings.HandshakeLimit);
        _ = pending.Remove(node);
        return (peer!, hello.Lane);
    }

    /// <summary>Where the certificate must be good for (N2). A new id under a member's name would take that member's place (E1), so it must be at home there, and not where it says.</summary>
    private IReadOnlyList<string> Whereabouts(PeerHello hello)
    {
        if (find(hello.From) is { } peer) return peer.Target.Urls;
        IReadOnlyList<string> configured = context.Gate.UrlsOf(hello.Name);
        return configured.Count > 0 ? configured : hello.PeerUrls;
    }

    private void Receive(LaneWire wire, Peer peer, LaneKind lane)
    {
        Socket socket = wire.Socket;
        peer.AttachIncoming(lane, socket);
        try
        {
            new LaneReceiver(wire, peer, lane, self, context.Settings).Run();
        }
        catch (WireException e)
        {
            context.Log.LogError("Member {Peer} sent what no member sends ({Error}); its connection was closed", peer.Target.Name, e.Message);
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            context.Log.LogDebug("The {Lane} lane from {Peer} ended: {Error}", lane, peer.Target.Name, e.Message);
        }
        finally
        {
            peer.DetachIncoming(lane, socket);
        }
    }

    /// <summary>This thread is the transfer's for as long as it takes (N1): the owner reads the state and sends on it.</summary>
    private void ServeBulk(LaneWire wire, Peer peer)
    {
        Socket socket = wire.Socket;
        peer.AttachBulk(socket);
        try
        {
            using var connection = new BulkConnection(wire, peer.Target.Id, context.Settings.BulkSilenceLimit);
            context.Events.Serve(connection);
        }
        finally
        {
            peer.DetachBulk(socket);
        }
    }

    /// <summary>Who is refused tries again twice a second: each trouble is logged when it changes.</summary>
    private void Complain(string complaint)
    {
        lock (lastComplaints)
        {
            if (lastComplaints.Contains(complaint)) return;
            if (lastComplaints.Count == 8) _ = lastComplaints.Dequeue();
            lastComplaints.Enqueue(complaint);
        }
        context.Log.LogWarning("Refused a connection of {Complaint}", complaint);
    }

    private static IPAddress? AddressOf(Socket accepted)
    {
        try
        {
            return (accepted.RemoteEndPoint as IPEndPoint)?.Address;
        }
        catch (SocketException)
        {
            // Gone already: its handshake will find that out.
            return null;
        }
    }
}
