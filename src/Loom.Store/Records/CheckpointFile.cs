using System.Buffers.Binary;
using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;

namespace Loom.Store.Records;

/// <summary>
/// A durable checkpoint: which bytes of which generation of record files are the state at which entry of the log. Everything that FASTER would read to recover is in here, under our checksum:
/// FASTER has none, and ends the process on a flipped bit.
/// </summary>
/// <remarks>
/// Little-endian:
/// <code>
/// offset 0    "LMCK"
///        4    u32 version = 1
///        8    u32 crc32c of everything but itself
///        12   u32 length of the file
///        16   u64 cluster id
///        24   u64 member id
///        32   i64 generation: the records are in records/g-GENERATION
///        40   i64 index, 48 i64 term: the last entry of the log that is in it
///        56   u32 page bytes, 60 u32 segment bytes of the record files
///        64   u32 length, FASTER's description of its log at that moment
///             u32 length, Raft's section
///             u32 length, the machine's state
/// </code>
/// </remarks>
internal sealed record CheckpointFile
{
    /// <summary>Far more than sessions can fill (P2).</summary>
    public const int MaxBytes = 64 << 20;

    private const int Version = 1;
    private const int HeaderBytes = 64;

    public required ulong ClusterId { get; init; }

    public required MemberId Member { get; init; }

    public required long Generation { get; init; }

    public required StoredState Stored { get; init; }

    public required int PageBytes { get; init; }

    public required int SegmentBytes { get; init; }

    /// <summary>FASTER's description of its log, without sessions.</summary>
    public required byte[] Log { get; init; }

    public long Index => Stored.At.Index;

    public byte[] Encode()
    {
        ReadOnlySpan<byte> section = Stored.At.Section.Span, state = Stored.State.Span;
        byte[] bytes = new byte[HeaderBytes + 12 + Log.Length + section.Length + state.Length];
        Span<byte> head = bytes;
        "LMCK"u8.CopyTo(head);
        BinaryPrimitives.WriteInt32LittleEndian(head[4..], Version);
        BinaryPrimitives.WriteInt32LittleEndian(head[12..], bytes.Length);
        BinaryPrimitives.WriteUInt64LittleEndian(head[16..], ClusterId);
        BinaryPrimitives.WriteUInt64LittleEndian(head[24..], Member.Value);
        BinaryPrimitives.WriteInt64LittleEndian(head[32..], Generation);
        BinaryPrimitives.WriteInt64LittleEndian(head[40..], Stored.At.Index);
        BinaryPrimitives.WriteInt64LittleEndian(head[48..], Stored.At.Term);
        BinaryPrimitives.WriteInt32LittleEndian(head[56..], PageBytes);
        BinaryPrimitives.WriteInt32LittleEndian(head[60..], SegmentBytes);
        Span<byte> rest = head[HeaderBytes..];
        Put(ref rest, Log);
        Put(ref rest, section);
        Put(ref rest, state);
        BinaryPrimitives.WriteUInt32LittleEndian(head[8..], Checksum(bytes));
        return bytes;
    }

    /// <exception cref="CheckpointDamagedException">It is not such a file.</exception>
    /// <exception cref="RaftException">CannotOpen: of a newer version (D9).</exception>
    public static CheckpointFile Decode(string path, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes || !bytes.StartsWith("LMCK"u8))
        {
            throw new CheckpointDamagedException(path, 0, $"it is no checkpoint ({bytes.Length} bytes)");
        }

        // Before the version: of a file that is damaged nothing can be believed.
        if (BinaryPrimitives.ReadInt32LittleEndian(bytes[12..]) != bytes.Length || BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != Checksum(bytes))
        {
            throw new CheckpointDamagedException(path, 8, "its checksum does not match");
        }

        int version = BinaryPrimitives.ReadInt32LittleEndian(bytes[4..]);
        if (version != Version)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"{path} is of format {version}, this version of Loom knows {Version}. Start the version that wrote it, or a newer one.");
        }

        ReadOnlySpan<byte> rest = bytes[HeaderBytes..];
        byte[] log = Take(path, ref rest), section = Take(path, ref rest), state = Take(path, ref rest);
        return new CheckpointFile
        {
            ClusterId = BinaryPrimitives.ReadUInt64LittleEndian(bytes[16..]),
            Member = new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(bytes[24..])),
            Generation = BinaryPrimitives.ReadInt64LittleEndian(bytes[32..]),
            Stored = new StoredState(new StatePosition(BinaryPrimitives.ReadInt64LittleEndian(bytes[40..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[48..]), section), state),
            PageBytes = BinaryPrimitives.ReadInt32LittleEndian(bytes[56..]),
            SegmentBytes = BinaryPrimitives.ReadInt32LittleEndian(bytes[60..]),
            Log = log,
        };
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes) => Crc32C.Continue(Crc32C.Continue(0, bytes[..8]), bytes[12..]);

    private static void Put(ref Span<byte> rest, ReadOnlySpan<byte> bytes)
    {
        BinaryPrimitives.WriteInt32LittleEndian(rest, bytes.Length);
        bytes.CopyTo(rest[4..]);
        rest = rest[(4 + bytes.Length)..];
    }

    private static byte[] Take(string path, ref ReadOnlySpan<byte> rest)
    {
        int length = rest.Length < 4 ? -1 : BinaryPrimitives.ReadInt32LittleEndian(rest);
        if (length < 0 || length > rest.Length - 4)
        {
            throw new CheckpointDamagedException(path, HeaderBytes, $"a part of it has {length} bytes, where {rest.Length} are left");
        }

        byte[] taken = rest.Slice(4, length).ToArray();
        rest = rest[(4 + length)..];
        return taken;
    }
}

/// <summary>A file of a checkpoint is damaged: names the file and the place. The one before is tried.</summary>
internal sealed class CheckpointDamagedException(string path, long offset, string what, Exception? inner = null)
    : LoomException(LoomErrorCode.Corruption, $"LOOM1020: {path} is damaged at offset {offset}: {what}.", WriteOutcome.NotApplied, inner);
