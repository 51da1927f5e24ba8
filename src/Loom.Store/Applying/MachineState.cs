using System.Buffers.Binary;
using Loom.Raft;
using Loom.Store.Alarms;

namespace Loom.Store.Applying;

/// <summary>
/// Everything of the machine's state that is not a record: the one place where it is gathered, so that a checkpoint, a snapshot's header and a backup cannot forget a part of it.
/// What a later version adds (leases, users, roles) goes here, behind what is there, with the next format. Equal states have equal bytes:
/// <code>
///   0 u8 format = 1 | 1 i64 revision | 9 i64 compacted revision (-1: never) | 17 the table of alarms (<see cref="AlarmTable"/>)
/// </code>
/// Little-endian. It has no checksum of its own: whatever holds it (a checkpoint's file, a snapshot's manifest) is checksummed as a whole before this is read.
/// </summary>
internal sealed record MachineState(long Revision, long CompactRevision, AlarmTable Alarms)
{
    private const byte Format = 1;
    private const int HeaderBytes = 17;

    /// <summary>A store that nothing was written to: revision 1, as in etcd.</summary>
    public static MachineState Initial { get; } = new(1, -1, AlarmTable.Empty);

    public byte[] Encode()
    {
        byte[] bytes = new byte[HeaderBytes + Alarms.EncodedBytes];
        bytes[0] = Format;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(1), Revision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(9), CompactRevision);
        Alarms.Encode(bytes.AsSpan(HeaderBytes));
        return bytes;
    }

    /// <exception cref="RaftException">CannotOpen: a newer version wrote it. Corruption: nobody did.</exception>
    public static MachineState Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes)
        {
            throw Damaged($"{bytes.Length} bytes");
        }

        if (bytes[0] != Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The store's state has format {bytes[0]}; this version of Loom knows {Format}. Start the version of Loom that wrote it.");
        }

        long revision = BinaryPrimitives.ReadInt64LittleEndian(bytes[1..]);
        long compacted = BinaryPrimitives.ReadInt64LittleEndian(bytes[9..]);
        return revision < 1 || compacted < -1 || compacted > revision
            ? throw Damaged($"revision {revision}, compacted {compacted}")
            : new MachineState(revision, compacted, AlarmTable.Decode(bytes[HeaderBytes..]));
    }

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The store's state is damaged ({what}). The checkpoint or snapshot that holds it cannot be used.");
}
