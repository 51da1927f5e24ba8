using System.Buffers.Binary;
using Loom.Raft;
using Loom.Raft.Diagnostics;

namespace Loom.Store.Snapshots;

/// <summary>What a frame of an archive holds. Values are in files: never renumber.</summary>
internal enum BackupFrameKind : byte
{
    /// <summary>The first frame: what the snapshot says of itself (SnapshotManifestCodec).</summary>
    Manifest = 1,

    /// <summary>A chunk of the state and its cursor (<see cref="StateChunkCodec"/>).</summary>
    Chunk = 2,

    /// <summary>The last frame: how much there was.</summary>
    End = 3,
}

/// <summary>
/// The bytes of a backup: a state of the store in one file, in the envelope of etcd's snapshots (a multiple of 512 bytes, then the SHA-256 of all of them), so that
/// <c>etcdctl snapshot save</c> takes it. Little-endian:
/// <code>
///    0 u32 magic "LMBK" | 4 u16 format = 1 | 6 u16 zero | 8 u32 zero | 12 u32 CRC-32C of bytes 0 to 11
///   16 frames: u32 CRC-32C of the rest of the frame | u8 kind | u8[3] zero | u64 number, from 1 | u32 length of the cursor | u32 length of the body | cursor | body
///        1 manifest (SnapshotManifestCodec), no cursor
///        2 chunks (StateChunkCodec), each with the cursor that it ends at
///        3 end: i64 chunks | i64 bytes of their bodies, no cursor
///      zeros up to a multiple of 512
///      SHA-256 of everything before, 32 bytes
/// </code>
/// </summary>
internal static class BackupArchive
{
    public const int PreambleBytes = 16;
    public const int FrameHeaderBytes = 24;
    public const int EndBytes = 16;
    public const int Alignment = 512;
    public const int DigestBytes = 32;

    /// <summary>Longer than the longest key (65,535 bytes) with what a cursor adds.</summary>
    public const int MaxCursorBytes = 128 * 1024;

    /// <summary>A record of the largest size with the rest of a chunk.</summary>
    public const int MaxChunkBytes = 4 * 1024 * 1024;

    private const uint Magic = 0x4B42_4D4C;
    private const ushort Format = 1;

    public static void WritePreamble(Span<byte> bytes)
    {
        bytes[..PreambleBytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[4..], Format);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes[12..], Crc32C.Continue(0, bytes[..12]));
    }

    /// <exception cref="RaftException">CannotOpen: of a newer version. Corruption: it is no archive.</exception>
    public static void ReadPreamble(ReadOnlySpan<byte> bytes)
    {
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            throw Damaged(0, "it does not begin as a backup of Loom does (what etcd itself saved is not read)");
        }

        // The checksum comes first: a flipped bit in the format is damage, not a newer version.
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[12..]) != Crc32C.Continue(0, bytes[..12]))
        {
            throw Damaged(12, "its checksum does not match");
        }

        ushort format = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (format != Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The backup has format {format}; this version of Loom knows {Format}. Use the version of Loom that made it, or a newer one.");
        }
    }

    /// <summary>A whole frame.</summary>
    public static byte[] Frame(BackupFrameKind kind, long number, ReadOnlySpan<byte> cursor, ReadOnlySpan<byte> body)
    {
        byte[] frame = GC.AllocateUninitializedArray<byte>(FrameHeaderBytes + cursor.Length + body.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(frame.AsSpan(4), (byte)kind);
        BinaryPrimitives.WriteInt64LittleEndian(frame.AsSpan(8), number);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(16), cursor.Length);
        BinaryPrimitives.WriteInt32LittleEndian(frame.AsSpan(20), body.Length);
        cursor.CopyTo(frame.AsSpan(FrameHeaderBytes));
        body.CopyTo(frame.AsSpan(FrameHeaderBytes + cursor.Length));
        BinaryPrimitives.WriteUInt32LittleEndian(frame, Crc32C.Continue(0, frame.AsSpan(4)));
        return frame;
    }

    public static RaftException Damaged(long offset, string what) =>
        new(RaftErrorCode.Corruption, $"The backup is damaged at offset {offset}: {what}. Use another backup.");
}
