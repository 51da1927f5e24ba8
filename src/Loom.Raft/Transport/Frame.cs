using System.Buffers.Binary;
using Loom.Raft.Diagnostics;

namespace Loom.Raft.Transport;

/// <summary>The lanes of N2, each a TCP connection of its own. Values are on the wire: never renumber.</summary>
internal enum LaneKind : byte
{
    Control = 1,
    Forward = 2,
    Bulk = 3,
}

/// <summary>What a frame's body is. Values are on the wire: never renumber.</summary>
internal enum FrameKind : byte
{
    /// <summary>One consensus message (MessageCodec).</summary>
    Message = 1,

    /// <summary>One message of the forward lane (ForwardCodec).</summary>
    Forward = 2,

    /// <summary>First piece of a body too long for one frame: total length u32, inner kind u8, bytes.</summary>
    ChunkFirst = 3,

    /// <summary>A further piece; the body is complete when its total length has arrived.</summary>
    ChunkNext = 4,

    /// <summary>Sender's clock (i64); the receiver returns it as a Pong on its own connection.</summary>
    Ping = 5,

    /// <summary>The echo of a Ping: its age is the round-trip time.</summary>
    Pong = 6,

    Hello = 7,
    HelloAnswer = 8,

    // Of the bulk lane (Snapshots/TransferCodec).
    SnapshotRequest = 9,
    SnapshotRefusal = 10,
    SnapshotOffer = 11,
    SnapshotChunk = 12,
    SnapshotEnd = 13,
    SnapshotDone = 14,
}

/// <summary>A peer sent bytes that no correct peer sends: the connection is closed, nothing else happens.</summary>
internal sealed class WireException(string message) : IOException(message);

/// <summary>
/// The unit of all lanes. Everything is little-endian:
/// <code>
///  0        4        8      9      10       12
///  +--------+--------+------+------+--------+---------- length bytes --+
///  | length | crc32c | ver  | kind | zero   | body                     |
///  +--------+--------+------+------+--------+--------------------------+
/// </code>
/// The checksum covers bytes 8 to 12 and the body and is seeded with the length. A body is at most <see cref="MaxBody"/>: longer messages travel as chunks,
/// so that a heartbeat never waits behind more than one frame (P5).
/// </summary>
internal static class Frame
{
    public const int HeaderSize = 12;
    public const byte Version = 1;

    /// <summary>What the first chunk of a long body begins with: its length and kind.</summary>
    public const int ChunkHeaderSize = 5;

    /// <summary>Largest body of one frame, the chunk's own header included.</summary>
    public const int MaxBody = 64 * 1024;

    /// <summary>Writes the header in front of a body that already stands at <paramref name="frame"/>[HeaderSize..].</summary>
    public static void Seal(Span<byte> frame, FrameKind kind)
    {
        int length = frame.Length - HeaderSize;
        BinaryPrimitives.WriteInt32LittleEndian(frame, length);
        frame[8] = Version;
        frame[9] = (byte)kind;
        frame[10] = 0;
        frame[11] = 0;
        BinaryPrimitives.WriteUInt32LittleEndian(frame[4..], Checksum(length, frame[8..]));
    }

    /// <summary>
    /// Looks for one whole frame at the start of <paramref name="bytes"/>. False: more bytes are needed. The length is checked before anyone buffers for it.
    /// </summary>
    /// <exception cref="WireException">Not a frame of ours.</exception>
    public static bool TryRead(ReadOnlySpan<byte> bytes, out FrameKind kind, out ReadOnlySpan<byte> body)
    {
        kind = default;
        body = default;
        if (bytes.Length < HeaderSize) return false;
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(bytes);
        if (length > MaxBody) throw new WireException($"a frame of {length} bytes, at most {MaxBody} are allowed");
        if (bytes[8] != Version) throw new WireException($"frame version {bytes[8]}, this version speaks {Version}");
        if (bytes.Length < HeaderSize + (int)length) return false;
        ReadOnlySpan<byte> covered = bytes.Slice(8, HeaderSize - 8 + (int)length);
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[4..]) != Checksum((int)length, covered)) throw new WireException("a frame's checksum is wrong");
        kind = (FrameKind)bytes[9];
        body = covered[(HeaderSize - 8)..];
        return true;
    }

    /// <summary>Appends the next piece of a body that is too long for one frame, as a whole frame; the first one names the body's length and kind. Takes it off <paramref name="rest"/>.</summary>
    public static void AppendChunk(WireWriter writer, ref ReadOnlySpan<byte> rest, FrameKind inner, bool first)
    {
        int start = writer.Length;
        writer.Reserve(HeaderSize);
        if (first)
        {
            writer.UInt32((uint)rest.Length);
            writer.Byte((byte)inner);
        }
        int size = Math.Min(rest.Length, MaxBody - ChunkHeaderSize);
        writer.Bytes(rest[..size]);
        rest = rest[size..];
        Seal(writer.Patch(start), first ? FrameKind.ChunkFirst : FrameKind.ChunkNext);
    }

    private static uint Checksum(int length, ReadOnlySpan<byte> covered) => ~Crc32C.Append(Crc32C.Append(Crc32C.Start, length), covered);
}
