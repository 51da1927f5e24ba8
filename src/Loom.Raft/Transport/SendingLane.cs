using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Threads;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Transport;

/// <summary>
/// The sending half of a lane to one peer: a thread that dials, shakes hands, and writes what waits, many messages in one write (N1).
/// Each side dials its own sending connection and only reads from the other's: no side has to wait for the other to reconnect, there is no rule about who dials,
/// and a member that restarts is heard as soon as it speaks. The price is a second connection per lane, and that a loss is seen on the incoming one first (see <see cref="Peer"/>).
/// </summary>
internal sealed class SendingLane : IDisposable
{
    private readonly Peer peer;
    private readonly LaneKind kind;
    private readonly TransportContext context;
    private readonly LaneQueue queue;
    private readonly Signal signal = new();
    private readonly Thread thread;
    private readonly WireWriter output = new(64 * 1024);
    private readonly WireWriter scratch = new();
    private readonly object socketGate = new();
    private Socket? socket;
    private long pongToSend;
    private volatile bool stopping;
    private volatile bool connected;
    private volatile bool dialNow;
    private volatile string lastComplaint = "";
    private readonly SeededRandom jitter;

    public SendingLane(Peer peer, LaneKind kind, TransportContext context, ulong seed)
    {
        this.peer = peer;
        this.kind = kind;
        this.context = context;
        queue = new LaneQueue(context.Settings.QueueBytes);
        jitter = new SeededRandom(seed);
        thread = context.NewThread($"loom {(kind == LaneKind.Control ? "ctl" : "fwd")} to {peer.Target.Name}", Run);
    }

    public bool Connected => connected;

    /// <summary>Why there is no connection, as last seen; empty: there is one, or nothing is known yet.</summary>
    public string Trouble => connected ? "" : lastComplaint;

    /// <summary>The connection, while there is one: not the one that is being dialled.</summary>
    public Socket? Current => connected ? Volatile.Read(ref socket) : null;

    public void Start() => thread.Start();

    /// <summary>False: not connected, or the queue is full. The message is dropped; its sender asks again.</summary>
    public bool Send(object message)
    {
        if (!connected || !queue.TryEnqueue(message, LaneQueue.SizeOf(message))) return false;
        signal.Set();
        return true;
    }

    /// <summary>Returns the peer's ping on our own connection; only the newest matters.</summary>
    public void Pong(long stamp)
    {
        Interlocked.Exchange(ref pongToSend, stamp);
        signal.Set();
    }

    /// <summary>The peer has just dialled us, so it is there: no more back-off.</summary>
    public void DialNow()
    {
        if (connected) return;
        dialNow = true;
        signal.Set();
    }

    /// <summary>That connection is known to be dead: the sending thread finds out now and not at its next write. Nothing happens when there is another one by now.</summary>
    public void Break(Socket? dead)
    {
        lock (socketGate)
        {
            if (dead is null || !ReferenceEquals(socket, dead)) return;
            PeerDial.HangUp(dead);
        }
        signal.Set();
    }

    /// <summary>Stops; the thread ends within the handshake limit. <see cref="Join"/> waits for it.</summary>
    public void Dispose()
    {
        stopping = true;
        lock (socketGate) PeerDial.HangUp(socket);
        signal.Set();
    }

    public void Join(long until)
    {
        if (thread.ThreadState.HasFlag(ThreadState.Unstarted)) return;
        _ = thread.Join((int)Math.Max(0, (until - context.Now()) / 1_000_000));
    }

    private void Run()
    {
        int failures = 0;
        bool wasUp = false;
        while (!stopping)
        {
            long upSince = 0;
            LaneWire? wire = null;
            PeerConnections seen = peer.Look();
            try
            {
                wire = Dial();
                upSince = context.Now();
                connected = wasUp = true;
                peer.OnSendingChanged(kind);
                lastComplaint = "";
                Pump(wire);
            }
            catch (SocketException e) when (upSince == 0)
            {
                // The connection was there, and now the port refuses: nobody listens, so the process is gone (E2). Said once per loss.
                if (wasUp && kind == LaneKind.Control && e.SocketErrorCode == SocketError.ConnectionRefused) peer.OnProcessDied(seen);
                wasUp = false;
                Complain($"cannot reach it at {string.Join(", ", peer.Target.Urls)}: {e.Message}");
            }
            catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or RaftException)
            {
                // RaftException: an address that a configuration brought cannot be used; that is that peer's trouble alone.
                if (upSince == 0) Complain(e.Message);
            }
            finally
            {
                Hang();
                wire?.Dispose();
            }
            // A refusal shows after connecting, so only a connection that lasted resets the back-off; one that lasted and broke is dialled again at once (E2).
            failures = upSince != 0 && context.Now() - upSince > 1_000_000_000 ? 0 : failures + 1;
            if (failures > 0) BackOff(failures);
        }
    }

    private LaneWire Dial()
    {
        dialNow = false;
        (Socket dialled, PeerAddress at) = PeerDial.Connect(peer.Target.Urls, context.Settings.HandshakeLimit, Adopt);
        long deadline = context.Now() + context.Settings.HandshakeLimit;
        LaneWire wire = PeerTls.Dial(dialled, at, context.Tls, deadline, context.Now);
        try
        {
            return Greet(wire, deadline);
        }
        catch
        {
            wire.Dispose();
            throw;
        }
    }

    private LaneWire Greet(LaneWire wire, long deadline)
    {
        HelloAnswer answer = Ask(wire, deadline);
        HelloAnswer outcome = context.Gate.Answered(peer.Target.Id, answer);
        // Who is forming is not in trouble: what it waits for is told by formation itself.
        if (outcome.Verdict == HelloVerdict.Forming) throw new WireException(lastComplaint);
        if (outcome.Verdict != HelloVerdict.Accepted) throw new WireException(outcome.Reason);
        wire.EndHandshake(context.Settings.SilenceLimitOf(kind));
        queue.Clear();
        return wire;
    }

    /// <summary>With TLS 1.3 who refuses our certificate says so only behind our half of the handshake, or just hangs up.</summary>
    private HelloAnswer Ask(LaneWire wire, long deadline)
    {
        try
        {
            return LaneHandshake.Ask(wire, context.Gate.Hello(peer.Target.Id, kind), deadline, context.Now);
        }
        catch (Exception e) when (wire.IsSecure && e is IOException or SocketException)
        {
            throw new PeerTlsException($"it ended the connection behind the TLS handshake ({e.Message}); if it refuses this member's certificate, its log says why");
        }
    }

    /// <summary>Makes the socket known before it blocks, so that <see cref="Dispose"/> can end the wait.</summary>
    private void Adopt(Socket dialling)
    {
        lock (socketGate) socket = dialling;
        ObjectDisposedException.ThrowIf(stopping, this);
    }

    private void Pump(LaneWire wire)
    {
        long nextPing = context.Now();
        while (!stopping)
        {
            output.Clear();
            long pong = Interlocked.Exchange(ref pongToSend, 0);
            if (pong != 0) WriteStamp(FrameKind.Pong, pong);
            long now = context.Now();
            if (now >= nextPing)
            {
                WriteStamp(FrameKind.Ping, now);
                nextPing = now + context.Settings.PingIntervalOf(kind);
            }
            // A chunked message leaves nothing in the output, but what waits behind it was announced by a signal that is already spent.
            bool took = WriteWaiting(wire, urgentOnly: false);
            if (output.Length > 0) wire.Send(output.Written);
            if (took || output.Length > 0) continue;
            _ = signal.Wait(nextPing - now);
            if (wire.Socket.SafeHandle.IsClosed || !ReferenceEquals(Volatile.Read(ref socket), wire.Socket)) throw new WireException("closed");
        }
    }

    /// <summary>Collects whole frames up to one write's worth; a message too long for a frame is sent in chunks from here.</summary>
    private bool WriteWaiting(LaneWire wire, bool urgentOnly)
    {
        bool took = false;
        while (output.Length < Frame.MaxBody && queue.Dequeue(urgentOnly) is { } message)
        {
            took = true;
            int start = output.Length;
            FrameKind frameKind = message is Message ? FrameKind.Message : FrameKind.Forward;
            if (LaneQueue.SizeOf(message) <= Frame.MaxBody)
            {
                output.Reserve(Frame.HeaderSize);
                Encode(output, message);
                Frame.Seal(output.Patch(start), frameKind);
                continue;
            }
            scratch.Clear();
            Encode(scratch, message);
            SendChunks(wire, frameKind);
            return true;
        }

        return took;
    }

    private void SendChunks(LaneWire wire, FrameKind inner)
    {
        ReadOnlySpan<byte> rest = scratch.Written;
        if (rest.Length > context.Settings.MaxMessageBytes)
        {
            // A bound that no proposal passes (MaxProposalBytes); dropping is all that is left, and it must not be silent.
            context.Log.LogError("A message of {Bytes} bytes to {Peer} is above the limit of {Limit} and was dropped", rest.Length, peer.Target.Name, context.Settings.MaxMessageBytes);
            return;
        }
        for (bool first = true; rest.Length > 0; first = false)
        {
            Frame.AppendChunk(output, ref rest, inner, first);
            wire.Send(output.Written);
            output.Clear();
            // Between two chunks heartbeats, votes and answers pass (P5). They are small, so this cannot recurse.
            if (rest.Length > 0) _ = WriteWaiting(wire, urgentOnly: true);
        }
    }

    private static void Encode(WireWriter writer, object message)
    {
        if (message is Message consensus) MessageCodec.Encode(writer, consensus);
        else ForwardCodec.Encode(writer, (Proposals.ForwardMessage)message);
    }

    private void WriteStamp(FrameKind frameKind, long stamp)
    {
        int start = output.Length;
        output.Reserve(Frame.HeaderSize);
        output.Int64(stamp);
        Frame.Seal(output.Patch(start), frameKind);
    }

    private void Hang()
    {
        bool was = connected;
        connected = false;
        lock (socketGate)
        {
            PeerDial.HangUp(socket);
            socket = null;
        }
        queue.Clear();
        if (was) peer.OnSendingChanged(kind);
    }

    private void BackOff(int failures)
    {
        long most = Math.Min(context.Settings.BackOffMost, context.Settings.BackOffFirst << Math.Min(failures, 10));
        long until = context.Now() + most / 2 + jitter.Below(most / 2 + 1);
        while (!stopping && !dialNow && context.Now() is var now && now < until) _ = signal.Wait(until - now);
    }

    /// <summary>Each trouble is logged when it changes, not at every attempt.</summary>
    private void Complain(string trouble)
    {
        if (trouble == lastComplaint || stopping) return;
        lastComplaint = trouble;
        context.Log.LogWarning("Member {Peer}: {Trouble}", peer.Target.Name, trouble);
    }
}
