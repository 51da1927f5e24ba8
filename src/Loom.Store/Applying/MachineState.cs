using System.Buffers.Binary;
using Loom.Raft;
using Loom.Store.Alarms;

namespace Loom.Store.Applying;

/// <summary>
/// Everything of the machine's state that is not a record: the one place where it is gathered, so that a checkpoint, a snapshot's header and a backup cannot forget a part of it.
/// What a later version adds (leases, users, roles) goes here with the next format. Equal states have equal bytes:
/// <code>
///   0 u8 format = 2 | 1 i64 revision | 9 i64 compacted revision (-1: never) | 17 i64 epoch | 25 the table of alarms (<see cref="AlarmTable"/>)
/// </code>
/// Format 1 had no epoch; it is read as epoch 0. Little-endian. It has no checksum of its own: whatever holds it (a checkpoint's file, a snapshot's manifest) is checksummed as a whole before this is read.
/// </summary>
/// <param name="Revision">The newest revision.</param>
/// <param name="CompactRevision">History below it is gone.</param>
/// <param name="Alarms">The alarms that are active.</param>
/// <param name="Epoch">How often the state was taken up again from a backup, in a new cluster (D5): revisions of different epochs are not of one history.</param>
internal sealed record MachineState(long Revision, long CompactRevision, AlarmTable Alarms, long Epoch = 0)
{
    private const byte Format = 2;
    private const byte FormatWithoutEpoch = 1;
    private const int HeaderBytes = 25;
    private const int HeaderBytesWithoutEpoch = 17;

    /// <summary>A store that nothing was written to: revision 1, as in etcd.</summary>
    public static MachineState Initial { get; } = new(1, -1, AlarmTable.Empty);

    public byte[] Encode()
    {
        byte[] bytes = new byte[HeaderBytes + Alarms.EncodedBytes];
        bytes[0] = Format;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(1), Revision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(9), CompactRevision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(17), Epoch);
        Alarms.Encode(bytes.AsSpan(HeaderBytes));
        return bytes;
    }

    /// <exception cref="RaftException">CannotOpen: a newer version wrote it. Corruption: nobody did.</exception>
    public static MachineState Decode(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.IsEmpty && bytes[0] is not (Format or FormatWithoutEpoch))
        {
            throw new RaftException(
                RaftErrorCode.CannotOpen, $"The store's state has format {bytes[0]}; this version of Loom knows {FormatWithoutEpoch} and {Format}. Start the version of Loom that wrote it.");
        }

        bool hasEpoch = !bytes.IsEmpty && bytes[0] == Format;
        int header = hasEpoch ? HeaderBytes : HeaderBytesWithoutEpoch;
        if (bytes.Length < header)
        {
            throw Damaged($"{bytes.Length} bytes");
        }

        long revision = BinaryPrimitives.ReadInt64LittleEndian(bytes[1..]);
        long compacted = BinaryPrimitives.ReadInt64LittleEndian(bytes[9..]);
        long epoch = hasEpoch ? BinaryPrimitives.ReadInt64LittleEndian(bytes[17..]) : 0;
        return revision < 1 || compacted < -1 || compacted > revision || epoch < 0
            ? throw Damaged($"revision {revision}, compacted {compacted}, epoch {epoch}")
            : new MachineState(revision, compacted, AlarmTable.Decode(bytes[header..]), epoch);
    }

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The store's state is damaged ({what}). The checkpoint or snapshot that holds it cannot be used.");
}
