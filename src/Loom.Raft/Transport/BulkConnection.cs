using System.Buffers.Binary;
using System.Net.Sockets;
using Loom.Raft.Consensus;

namespace Loom.Raft.Transport;

/// <summary>
/// An accepted or dialled bulk lane (N2): one message at a time in each direction, in frames, on the thread of whoever calls; a blocking socket (N1). What does not fit into
/// one frame travels as chunks, like on the other lanes, but nothing passes between them. Whoever sends faster than the peer reads waits in <see cref="Send"/>: nothing is queued here.
/// One thread at a time, except for <see cref="Dispose"/>, which ends a wait of the other.
/// </summary>
internal sealed class BulkConnection : IDisposable
{
    // More is kept for the next message only up to here: one large message must not pin its size for the life of a transfer.
    private const int KeptBytes = 1024 * 1024;

    private readonly LaneWire wire;
    private readonly WireWriter output = new(Frame.HeaderSize + Frame.MaxBody);
    private readonly WireWriter piece = new(Frame.HeaderSize + Frame.MaxBody);
    private readonly byte[] input = new byte[2 * (Frame.HeaderSize + Frame.MaxBody)];
    private int from;
    private int filled;
    private byte[] assembly = [];

    /// <param name="wire">Behind its handshake.</param>
    /// <param name="peer">Who stands at the other end.</param>
    /// <param name="silenceLimit">ns: a wait for bytes, or for room to send, that takes longer ends the connection.</param>
    public BulkConnection(LaneWire wire, MemberId peer, long silenceLimit)
    {
        this.wire = wire;
        Peer = peer;
        wire.Socket.ReceiveTimeout = wire.Socket.SendTimeout = (int)(silenceLimit / 1_000_000);
    }

    public MemberId Peer { get; }

    /// <summary>A writer for the next message's body; <see cref="Send"/> sends it.</summary>
    public WireWriter Begin()
    {
        output.Clear();
        output.Reserve(Frame.HeaderSize);
        return output;
    }

    /// <exception cref="SocketException">Broken, or the peer took nothing for longer than the limit.</exception>
    public void Send(FrameKind kind)
    {
        if (output.Length - Frame.HeaderSize <= Frame.MaxBody)
        {
            Frame.Seal(output.Patch(0), kind);
            wire.Send(output.Written);
            return;
        }
        ReadOnlySpan<byte> rest = output.Written[Frame.HeaderSize..];
        for (bool first = true; rest.Length > 0; first = false)
        {
            piece.Clear();
            Frame.AppendChunk(piece, ref rest, kind, first);
            wire.Send(piece.Written);
        }
    }

    /// <summary>The next message; its body is valid until the next call.</summary>
    /// <param name="maxBytes">A longer message is refused before its bytes are kept.</param>
    /// <exception cref="IOException">The peer closed the connection, or speaks wrongly (<see cref="WireException"/>).</exception>
    /// <exception cref="SocketException">Broken, or silent for longer than the limit.</exception>
    public (FrameKind Kind, ReadOnlyMemory<byte> Body) Receive(int maxBytes)
    {
        (FrameKind kind, ReadOnlyMemory<byte> body) = ReceiveFrame();
        if (kind != FrameKind.ChunkFirst) return body.Length <= maxBytes ? (kind, body) : throw TooLong(body.Length, maxBytes);
        if (body.Length <= Frame.ChunkHeaderSize) throw new WireException("a chunk without its header");
        uint total = BinaryPrimitives.ReadUInt32LittleEndian(body.Span);
        if (total > (uint)maxBytes) throw TooLong(total, maxBytes);
        return ((FrameKind)body.Span[4], Assemble((int)total, body[Frame.ChunkHeaderSize..]));
    }

    public void Dispose() => PeerDial.HangUp(wire.Socket);

    /// <summary>The memory grows with what arrives, so a peer that lies about the length gets none for it.</summary>
    private ReadOnlyMemory<byte> Assemble(int total, ReadOnlyMemory<byte> bytes)
    {
        if (assembly.Length > KeptBytes) assembly = [];
        int assembled = 0;
        while (true)
        {
            if (bytes.IsEmpty) throw new WireException("an empty chunk");
            if (bytes.Length > total - assembled) throw new WireException("chunks longer than announced");
            if (assembly.Length < assembled + bytes.Length) Array.Resize(ref assembly, Math.Min(total, Math.Max(assembled + bytes.Length, 2 * assembly.Length)));
            bytes.CopyTo(assembly.AsMemory(assembled));
            assembled += bytes.Length;
            if (assembled == total) return assembly.AsMemory(0, total);
            (FrameKind kind, bytes) = ReceiveFrame();
            if (kind != FrameKind.ChunkNext) throw new WireException($"a frame of kind {(byte)kind} inside a chunked message");
        }
    }

    private (FrameKind, ReadOnlyMemory<byte>) ReceiveFrame()
    {
        while (true)
        {
            if (Frame.TryRead(input.AsSpan(from, filled - from), out FrameKind kind, out ReadOnlySpan<byte> body))
            {
                ReadOnlyMemory<byte> found = input.AsMemory(from + Frame.HeaderSize, body.Length);
                from += Frame.HeaderSize + body.Length;
                return (kind, found);
            }
            // Only here are the bytes of the frame before overwritten.
            input.AsSpan(from, filled - from).CopyTo(input);
            filled -= from;
            from = 0;
            int read = wire.Receive(input.AsSpan(filled));
            if (read == 0) throw new EndOfStreamException("the peer closed the connection");
            filled += read;
        }
    }

    private static WireException TooLong(long length, int most) => new($"a message of {length} bytes, at most {most} are allowed here");
}
