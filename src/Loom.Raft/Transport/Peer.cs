using System.Net.Sockets;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Transport;

/// <summary>
/// Everything about one peer: its sending lanes, the connections it dialled to us, its health. A lane is up when both directions are.
/// A peer's death shows first as the end of its incoming connection; then we knock once at its port, and if that refuses, its process is gone (E2).
/// </summary>
internal sealed class Peer : IDisposable
{
    private readonly TransportContext context;
    private readonly object gate = new();
    private readonly SendingLane control;
    private readonly SendingLane forward;
    private readonly Socket?[] incoming = new Socket?[4];
    private readonly bool[] up = new bool[4];
    private readonly DelayLine? delay;
    private bool deathSaid;
    private volatile bool stopping;

    public Peer(PeerTarget target, TransportContext context, TimeSpan testDelay, ulong seed)
    {
        Target = target;
        this.context = context;
        Health = new PeerHealth(context.Settings.PingInterval);
        control = new SendingLane(this, LaneKind.Control, context, seed);
        forward = new SendingLane(this, LaneKind.Forward, context, seed + 1);
        if (testDelay > TimeSpan.Zero) delay = new DelayLine(target.Name, testDelay, context, Deliver);
    }

    public PeerTarget Target { get; }

    public PeerHealth Health { get; }

    public bool IsUp(LaneKind lane)
    {
        lock (gate) return up[(int)lane];
    }

    public SendingLane Lane(LaneKind lane) => lane == LaneKind.Control ? control : forward;

    public void Start()
    {
        delay?.Start();
        control.Start();
        forward.Start();
    }

    /// <summary>Called by a receiving thread for every frame, chunks included.</summary>
    public void Arrived(Delivery delivery)
    {
        if (delay is null) Deliver(delivery);
        else delay.Add(delivery);
    }

    /// <summary>The peer's connection was accepted; an older one of the same lane is dead or about to be.</summary>
    public void AttachIncoming(LaneKind lane, Socket socket)
    {
        lock (gate)
        {
            incoming[(int)lane]?.Dispose();
            incoming[(int)lane] = socket;
            // Accepted while we closed: nobody would end it, and it would answer for a member that is gone.
            if (stopping) PeerDial.HangUp(socket);
        }
        Lane(lane).DialNow();
        Publish(lane);
    }

    public void DetachIncoming(LaneKind lane, Socket socket)
    {
        lock (gate)
        {
            // Replaced by a newer connection: the peer is there.
            if (!ReferenceEquals(incoming[(int)lane], socket)) return;
            incoming[(int)lane] = null;
        }
        Publish(lane);
        if (lane == LaneKind.Control && !stopping) Knock();
    }

    /// <summary>The peer dialled a bulk lane. It fetches one snapshot at a time, so an older connection is a dead one.</summary>
    public void AttachBulk(Socket socket)
    {
        lock (gate)
        {
            PeerDial.HangUp(incoming[(int)LaneKind.Bulk]);
            incoming[(int)LaneKind.Bulk] = socket;
            if (stopping) PeerDial.HangUp(socket);
        }
    }

    public void DetachBulk(Socket socket)
    {
        lock (gate)
        {
            if (ReferenceEquals(incoming[(int)LaneKind.Bulk], socket)) incoming[(int)LaneKind.Bulk] = null;
        }
    }

    /// <summary>The connections there are now: what is learned of a process afterwards is said of those, and of none that came later.</summary>
    public PeerConnections Look()
    {
        lock (gate) return new PeerConnections(incoming[(int)LaneKind.Control], control.Current, forward.Current);
    }

    /// <summary>The peer is there, or has something new to hear: no more back-off.</summary>
    public void DialNow()
    {
        control.DialNow();
        forward.DialNow();
    }

    public void OnSendingChanged(LaneKind lane) => Publish(lane);

    /// <summary>The port refused after <paramref name="seen"/> was looked at. Unless a connection has come since: then a new process is there, and the old one's death is no news.</summary>
    public void OnProcessDied(in PeerConnections seen)
    {
        // Under the lock, as in Publish: "up" of a new process must not reach the owner before "died" of the old one.
        lock (gate)
        {
            if (stopping || deathSaid || IsNewer(incoming[(int)LaneKind.Control], seen.Incoming) || IsNewer(control.Current, seen.Control)) return;
            deathSaid = true;
            context.Events.ProcessDied(Target.Id);
        }
        context.Log.LogWarning("Member {Peer}: its connection broke and its port refuses, so its process has ended", Target.Name);
    }

    /// <summary>Ends all connections that there are now; both sides dial again.</summary>
    public void HangUp()
    {
        PeerConnections seen = Look();
        control.Break(seen.Control);
        forward.Break(seen.Forward);
        lock (gate)
        {
            foreach (Socket? socket in incoming) PeerDial.HangUp(socket);
        }
    }

    public void Dispose()
    {
        stopping = true;
        control.Dispose();
        forward.Dispose();
        delay?.Dispose();
        lock (gate)
        {
            foreach (Socket? socket in incoming) PeerDial.HangUp(socket);
        }
    }

    /// <summary>Waits for the sending threads until a time; one that hangs in the kernel ends by itself later.</summary>
    public void Join(long until)
    {
        control.Join(until);
        forward.Join(until);
    }

    private void Knock()
    {
        PeerConnections seen = Look();
        try
        {
            PeerDial.Connect(Target.Urls, context.Settings.HandshakeLimit, static _ => { }).Socket.Dispose();
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.ConnectionRefused)
        {
            OnProcessDied(seen);
            control.Break(seen.Control);
            forward.Break(seen.Forward);
        }
        catch (Exception e) when (e is SocketException or RaftException)
        {
            // Unreachable or unresolvable: it may live, so nothing is said of it.
        }
    }

    private static bool IsNewer(Socket? now, Socket? seen) => now is not null && !ReferenceEquals(now, seen);

    private void Publish(LaneKind lane)
    {
        // Under the lock, so that "up" and "down" reach the owner in the order in which they became true. The owner never blocks on this one.
        lock (gate)
        {
            bool now = incoming[(int)lane] is not null && Lane(lane).Connected;
            if (now == up[(int)lane]) return;
            up[(int)lane] = now;
            if (now && lane == LaneKind.Control) deathSaid = false;
            context.Events.LaneChanged(Target.Id, lane, now);
        }
    }

    private void Deliver(Delivery delivery)
    {
        switch (delivery.Kind)
        {
            case FrameKind.Message:
                context.Events.Received((Consensus.Message)delivery.Message!, delivery.Bytes);
                break;
            case FrameKind.Forward:
                context.Events.Received((Proposals.ForwardMessage)delivery.Message!, delivery.Bytes);
                break;
            case FrameKind.Ping:
                if (delivery.Lane == LaneKind.Control) Health.PingArrived(context.Now());
                Lane(delivery.Lane).Pong(delivery.Stamp);
                break;
            case FrameKind.Pong:
                if (delivery.Lane == LaneKind.Control) Health.PongArrived(delivery.Stamp, context.Now());
                break;
            default:
                // A chunk: only a sign of life of the control lane (P5); its message follows when it is whole.
                if (delivery.Lane == LaneKind.Control) context.Events.Heard(Target.Id);
                break;
        }
    }
}

/// <summary>The connections of a peer at one moment; null where there was none.</summary>
internal readonly record struct PeerConnections(Socket? Incoming, Socket? Control, Socket? Forward);
