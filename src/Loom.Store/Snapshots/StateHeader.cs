using System.Buffers.Binary;
using Loom.Raft;
using Loom.Raft.Diagnostics;
using Loom.Store.Applying;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>
/// What a state says of itself before its records: enough to judge whether all of them came. Little-endian:
/// <code>
///    0 u32 magic "LMSH" | 4 u16 format = 1 | 6 u16 zero | 8 u32 CRC-32C of all other bytes
///   12 i64 live keys | 20 i64 records | 28 i64 bytes of records | 36 u128 content hash | 52 what is not a record (MachineState)
/// </code>
/// </summary>
internal sealed record StateHeader(long LiveKeys, ContentSums Content, MachineState State)
{
    private const uint Magic = 0x4853_4D4C;
    private const ushort Format = 1;
    private const int FixedBytes = 52;

    public byte[] Encode()
    {
        byte[] state = State.Encode();
        byte[] bytes = new byte[FixedBytes + state.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, Magic);
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(4), Format);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(12), LiveKeys);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(20), Content.Records);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(28), Content.Bytes);
        BinaryPrimitives.WriteUInt128LittleEndian(bytes.AsSpan(36), Content.Hash);
        state.CopyTo(bytes, FixedBytes);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), Checksum(bytes));
        return bytes;
    }

    /// <exception cref="RaftException">CannotOpen: a newer version made it. Corruption: it is damaged.</exception>
    public static StateHeader Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < FixedBytes || BinaryPrimitives.ReadUInt32LittleEndian(bytes) != Magic)
        {
            throw Damaged("it does not begin as one does");
        }

        ushort format = BinaryPrimitives.ReadUInt16LittleEndian(bytes[4..]);
        if (BinaryPrimitives.ReadUInt32LittleEndian(bytes[8..]) != Checksum(bytes))
        {
            throw format == Format ? Damaged("its checksum does not match") : new RaftException(
                RaftErrorCode.CannotOpen, $"The header of a state has format {format}; this version of Loom knows {Format}. Nothing was changed. Let members of one version exchange states, or upgrade this one.");
        }

        ContentSums content = new(
            BinaryPrimitives.ReadUInt128LittleEndian(bytes[36..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[20..]), BinaryPrimitives.ReadInt64LittleEndian(bytes[28..]));
        return new(BinaryPrimitives.ReadInt64LittleEndian(bytes[12..]), content, MachineState.Decode(bytes[FixedBytes..]));
    }

    private static uint Checksum(ReadOnlySpan<byte> bytes) => ~Crc32C.Append(Crc32C.Append(Crc32C.Start, bytes[..8]), bytes[12..]);

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The header of a state is damaged: {what}. Nothing was changed. Take the state from another member.");
}
