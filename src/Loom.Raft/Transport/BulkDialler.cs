using System.Net.Sockets;
using Loom.Raft.Consensus;

namespace Loom.Raft.Transport;

/// <summary>The receiver's end of bulk lanes (S4: who needs a snapshot dials): one connection at a time, which another thread can end while it is being made or used.</summary>
internal sealed class BulkDialler(TransportContext context, Func<MemberId, Peer?> find)
{
    private readonly object gate = new();
    private Socket? current;
    private bool closed;

    /// <summary>Connects and shakes hands, on the caller's thread.</summary>
    /// <exception cref="IOException">The peer is not known, or one of the two refuses; the text says why.</exception>
    /// <exception cref="SocketException">It cannot be reached.</exception>
    public BulkConnection Dial(MemberId id)
    {
        PeerTarget target = find(id)?.Target ?? throw new WireException($"member {id} is not known here");
        LaneSettings settings = context.Settings;
        (Socket socket, PeerAddress at) = PeerDial.Connect(target.Urls, settings.HandshakeLimit, Adopt);
        LaneWire? wire = null;
        try
        {
            long deadline = context.Now() + settings.HandshakeLimit;
            wire = PeerTls.Dial(socket, at, context.Tls, deadline, context.Now);
            HelloAnswer answer = LaneHandshake.Ask(wire, context.Gate.Hello(id, LaneKind.Bulk), deadline, context.Now);
            HelloAnswer outcome = context.Gate.Answered(id, answer);
            if (outcome.Verdict != HelloVerdict.Accepted) throw new WireException(outcome.Verdict == HelloVerdict.Forming ? "it is not formed yet" : outcome.Reason);
            wire.EndHandshake(settings.BulkSilenceLimit);
            return new BulkConnection(wire, id, settings.BulkSilenceLimit);
        }
        catch
        {
            wire?.Dispose();
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Ends the connection that is being dialled or was dialled last. From any thread.</summary>
    public void HangUp()
    {
        lock (gate) PeerDial.HangUp(current);
    }

    /// <summary>Nothing is dialled any more.</summary>
    public void Close()
    {
        lock (gate) closed = true;
        HangUp();
    }

    private void Adopt(Socket dialling)
    {
        lock (gate)
        {
            ObjectDisposedException.ThrowIf(closed, this);
            current = dialling;
        }
    }
}
