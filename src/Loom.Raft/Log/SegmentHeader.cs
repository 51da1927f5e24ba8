using System.Buffers.Binary;
using System.Globalization;
using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;

namespace Loom.Raft.Log;

/// <summary>
/// The first block of a segment (L2). Its checksum, which covers the salt, seeds the chain of the records that follow.
/// <code>
///  0 u32 magic "LMSG" | 4 u16 format = 2 | 6 u16 zero | 8 u64 cluster id | 16 u64 member id | 24 u64 sequence | 32 u64 salt
/// 40 u64 end of the records in the segment before | 48 u32 checksum of the last record there | 52 u32 CRC-32C of bytes 0 to 51 | zeros to 4096
/// </code>
/// Format 1 knew neither Snapshot records nor the cluster time of a restatement; it is read, and every open goes on in a segment of this format.
/// The link to the segment before (bytes 40 to 51) tells a later open where that one's records end, though its last batch may have been torn and cut.
/// </summary>
internal readonly record struct SegmentHeader(LogIdentity Identity, long Sequence, ulong Salt, long PreviousEnd, uint PreviousChecksum)
{
    public const int BlockBytes = 4096;
    private const uint Magic = 0x47534D4C; // "LMSG"
    private const ushort Format = 2;
    private const ushort OldestFormat = 1;
    private const int CheckedBytes = 52;

    public static string FileName(long sequence) => $"{sequence:x16}.log";

    /// <summary>The sequence that a file name of <see cref="FileName"/> holds, or null.</summary>
    public static long? SequenceOf(string fileName) =>
        fileName.Length == 20 && fileName.EndsWith(".log", StringComparison.Ordinal)
        && long.TryParse(fileName.AsSpan(0, 16), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out long sequence) ? sequence : null;

    /// <summary>Fills one block and returns the checksum that seeds the chain.</summary>
    public uint Encode(Span<byte> block)
    {
        block[..BlockBytes].Clear();
        BinaryPrimitives.WriteUInt32LittleEndian(block, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(block[4..], Format);
        BinaryPrimitives.WriteUInt64LittleEndian(block[8..], Identity.ClusterId);
        BinaryPrimitives.WriteUInt64LittleEndian(block[16..], Identity.MemberId.Value);
        BinaryPrimitives.WriteInt64LittleEndian(block[24..], Sequence);
        BinaryPrimitives.WriteUInt64LittleEndian(block[32..], Salt);
        BinaryPrimitives.WriteInt64LittleEndian(block[40..], PreviousEnd);
        BinaryPrimitives.WriteUInt32LittleEndian(block[48..], PreviousChecksum);
        uint checksum = Crc32C.Continue(0, block[..CheckedBytes]);
        BinaryPrimitives.WriteUInt32LittleEndian(block[CheckedBytes..], checksum);
        return checksum;
    }

    /// <summary>False when the block is not an intact header. A newer format is refused by name (D9), only once its checksum has proven that it is one.</summary>
    public static bool TryDecode(string path, ReadOnlySpan<byte> block, out SegmentHeader header, out uint checksum)
    {
        header = default;
        checksum = 0;
        if (block.Length < BlockBytes || BinaryPrimitives.ReadUInt32LittleEndian(block) != Magic)
            return false;
        checksum = BinaryPrimitives.ReadUInt32LittleEndian(block[CheckedBytes..]);
        if (checksum != Crc32C.Continue(0, block[..CheckedBytes]) || block[(CheckedBytes + 4)..BlockBytes].ContainsAnyExcept((byte)0))
            return false;
        ushort format = BinaryPrimitives.ReadUInt16LittleEndian(block[4..]);
        if (format is < OldestFormat or > Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"{path} has format {format}; this version of Loom knows {OldestFormat} to {Format}. Start the version of Loom that wrote it.");
        }

        header = new SegmentHeader(
            new LogIdentity(BinaryPrimitives.ReadUInt64LittleEndian(block[8..]), new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(block[16..]))),
            BinaryPrimitives.ReadInt64LittleEndian(block[24..]), BinaryPrimitives.ReadUInt64LittleEndian(block[32..]),
            BinaryPrimitives.ReadInt64LittleEndian(block[40..]), BinaryPrimitives.ReadUInt32LittleEndian(block[48..]));
        return true;
    }
}
