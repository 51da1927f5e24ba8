using System.Buffers.Binary;

namespace Loom.Raft.Transport;

/// <summary>
/// The first bytes of a lane: the dialling side sends the magic and a Hello frame, the other answers with a HelloAnswer frame. Nothing else is read from a
/// connection before its hello is accepted, and nothing here waits longer than the deadline, so a port scan or a health check costs one thread for that long (N2).
/// </summary>
internal static class LaneHandshake
{
    public static ReadOnlySpan<byte> Magic => "LOOMPEER"u8;

    /// <summary>Dialling side.</summary>
    public static HelloAnswer Ask(LaneWire wire, PeerHello hello, long deadline, Func<long> now)
    {
        var writer = new WireWriter();
        writer.Bytes(Magic);
        int start = writer.Length;
        writer.Reserve(Frame.HeaderSize);
        hello.Encode(writer);
        SealAndSend(wire, writer, start, FrameKind.Hello);
        byte[] body = ReadFrame(wire, FrameKind.HelloAnswer, deadline, now);
        var reader = new WireReader(body);
        var verdict = (HelloVerdict)reader.Byte();
        string reason = reader.Text();
        PeerHello self = PeerHello.Decode(ref reader);
        reader.End();
        return new HelloAnswer(verdict, reason, self);
    }

    /// <summary>Accepting side, first half.</summary>
    public static PeerHello Receive(LaneWire wire, long deadline, Func<long> now)
    {
        byte[] magic = ReadExactly(wire, Magic.Length, deadline, now);
        if (!Magic.SequenceEqual(magic)) throw new WireException("not a Loom peer");
        byte[] body = ReadFrame(wire, FrameKind.Hello, deadline, now);
        var reader = new WireReader(body);
        PeerHello hello = PeerHello.Decode(ref reader);
        reader.End();
        return hello;
    }

    /// <summary>Accepting side, second half.</summary>
    public static void Answer(LaneWire wire, HelloAnswer answer)
    {
        var writer = new WireWriter();
        writer.Reserve(Frame.HeaderSize);
        writer.Byte((byte)answer.Verdict);
        writer.Text(answer.Reason);
        answer.Self.Encode(writer);
        SealAndSend(wire, writer, 0, FrameKind.HelloAnswer);
    }

    private static void SealAndSend(LaneWire wire, WireWriter writer, int frameStart, FrameKind kind)
    {
        if (writer.Length - frameStart - Frame.HeaderSize > Frame.MaxBody) throw new WireException("the list of members is too long for a hello");
        Frame.Seal(writer.Patch(frameStart), kind);
        wire.Send(writer.Written);
    }

    private static byte[] ReadFrame(LaneWire wire, FrameKind expected, long deadline, Func<long> now)
    {
        // An alert of TLS is shorter than a header. As a length it is more than any frame has.
        byte[] start = ReadExactly(wire, sizeof(uint), deadline, now);
        if (BinaryPrimitives.ReadUInt32LittleEndian(start) > Frame.MaxBody && PeerTls.IsRecord(start))
        {
            throw new PeerTlsException("it speaks TLS, and its URL here is http://: write https:// on every member, and give this one --peer-cert-file and --peer-key-file");
        }
        byte[] header = [.. start, .. ReadExactly(wire, Frame.HeaderSize - sizeof(uint), deadline, now)];
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(header);
        if (length > Frame.MaxBody) throw new WireException($"a hello of {length} bytes");
        byte[] frame = [.. header, .. ReadExactly(wire, (int)length, deadline, now)];
        if (!Frame.TryRead(frame, out FrameKind kind, out ReadOnlySpan<byte> body) || kind != expected) throw new WireException($"{kind} where {expected} belongs");
        return body.ToArray();
    }

    private static byte[] ReadExactly(LaneWire wire, int count, long deadline, Func<long> now)
    {
        var bytes = new byte[count];
        int filled = 0;
        while (filled < count)
        {
            // The limit is for the whole handshake, so that one byte a second does not keep it alive.
            long left = deadline - now();
            if (left <= 0) throw new WireException("the handshake took too long");
            wire.Socket.ReceiveTimeout = (int)Math.Max(1, left / 1_000_000);
            int read = wire.Receive(bytes.AsSpan(filled));
            if (read == 0) throw new WireException("closed during the handshake");
            filled += read;
        }
        return bytes;
    }
}
