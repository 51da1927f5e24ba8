using System.Buffers.Binary;
using System.Net.Sockets;
using Loom.Raft.Consensus;
using Loom.Raft.Proposals;

namespace Loom.Raft.Transport;

/// <summary>The receiving half of a lane: reads frames of an accepted connection on its own thread until it ends, is silent too long, or says something wrong.</summary>
internal sealed class LaneReceiver(LaneWire wire, Peer peer, LaneKind lane, MemberId self, LaneSettings settings)
{
    private readonly byte[] buffer = new byte[2 * (Frame.HeaderSize + Frame.MaxBody)];
    private byte[]? assembly;
    private int assembled;
    private FrameKind assemblyKind;

    /// <exception cref="WireException">The peer speaks wrongly.</exception>
    /// <exception cref="IOException">TLS broke.</exception>
    /// <exception cref="SocketException">Broken, or silent for longer than the limit.</exception>
    public void Run()
    {
        wire.Socket.ReceiveTimeout = (int)(settings.SilenceLimitOf(lane) / 1_000_000);
        int filled = 0;
        while (true)
        {
            int read = wire.Receive(buffer.AsSpan(filled));
            if (read == 0) return;
            filled += read;
            int used = 0;
            while (Frame.TryRead(buffer.AsSpan(used, filled - used), out FrameKind kind, out ReadOnlySpan<byte> body))
            {
                used += Frame.HeaderSize + body.Length;
                Take(kind, body);
            }
            if (used == 0) continue;
            buffer.AsSpan(used, filled - used).CopyTo(buffer);
            filled -= used;
        }
    }

    private void Take(FrameKind kind, ReadOnlySpan<byte> body)
    {
        switch (kind)
        {
            case FrameKind.Message or FrameKind.Forward:
                TakeMessage(kind, body);
                break;
            case FrameKind.ChunkFirst:
                StartAssembly(body);
                break;
            case FrameKind.ChunkNext:
                ContinueAssembly(body);
                break;
            case FrameKind.Ping or FrameKind.Pong:
                if (body.Length != 8) throw new WireException("a ping of the wrong length");
                peer.Arrived(new Delivery(kind, lane, null, BinaryPrimitives.ReadInt64LittleEndian(body), Frame.HeaderSize));
                break;
            default:
                throw new WireException($"a frame of kind {(byte)kind} in the middle of a lane");
        }
    }

    private void TakeMessage(FrameKind kind, ReadOnlySpan<byte> body)
    {
        object message;
        MemberId from, to;
        if (kind == FrameKind.Message)
        {
            Message consensus = MessageCodec.Decode(body);
            (message, from, to) = (consensus, consensus.From, consensus.To);
        }
        else
        {
            ForwardMessage forward = ForwardCodec.Decode(body);
            (message, from, to) = (forward, forward.From, forward.To);
        }
        // The handshake said who stands there; a message in another's name is not from that member.
        if (from != peer.Target.Id || to != self) throw new WireException($"a message from {from} to {to} on the lane from {peer.Target.Id} to {self}");
        if ((kind == FrameKind.Message) != (lane == LaneKind.Control)) throw new WireException($"a {kind} on the {lane} lane");
        peer.Arrived(new Delivery(kind, lane, message, 0, body.Length));
    }

    private void StartAssembly(ReadOnlySpan<byte> body)
    {
        if (assembly is not null) throw new WireException("a chunked message inside another");
        if (body.Length < 5) throw new WireException("a chunk without its header");
        uint total = BinaryPrimitives.ReadUInt32LittleEndian(body);
        // Before the array is made: a peer that lies about the length gets no memory for it.
        if (total > (uint)settings.MaxMessageBytes) throw new WireException($"a message of {total} bytes, at most {settings.MaxMessageBytes} are allowed");
        assemblyKind = (FrameKind)body[4];
        if (assemblyKind is not (FrameKind.Message or FrameKind.Forward)) throw new WireException($"chunks of a frame of kind {body[4]}");
        assembly = GC.AllocateUninitializedArray<byte>((int)total);
        assembled = 0;
        ContinueAssembly(body[Frame.ChunkHeaderSize..]);
    }

    private void ContinueAssembly(ReadOnlySpan<byte> bytes)
    {
        if (assembly is null) throw new WireException("a chunk that continues nothing");
        // Nobody sends one: each would cost us an event and bring the message no nearer to its end.
        if (bytes.IsEmpty) throw new WireException("an empty chunk");
        if (bytes.Length > assembly.Length - assembled) throw new WireException("chunks longer than announced");
        bytes.CopyTo(assembly.AsSpan(assembled));
        assembled += bytes.Length;
        peer.Arrived(new Delivery(FrameKind.ChunkNext, lane, null, 0, 0));
        if (assembled < assembly.Length) return;
        byte[] whole = assembly;
        assembly = null;
        TakeMessage(assemblyKind, whole);
    }
}
