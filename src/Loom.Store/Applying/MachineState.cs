using System.Buffers.Binary;
using Loom.Raft;
using Loom.Store.Alarms;
using Loom.Store.Auth;
using Loom.Store.Leases;

namespace Loom.Store.Applying;

/// <summary>
/// Everything of the machine's state that is not a record: the one place where it is gathered, so that a checkpoint, a snapshot's header and a backup cannot forget a part of it.
/// What a later version adds goes here with the next format. Equal states have equal bytes:
/// <code>
///   0 u8 format = 4 | 1 i64 revision | 9 i64 compacted revision (-1: never) | 17 i64 epoch
///  25 u32 length of the table of alarms | 29 u32 length of the table of leases | 33 the alarms (<see cref="AlarmTable"/>) | the leases (<see cref="LeaseTerms"/>) | users and roles (<see cref="AuthStateCodec"/>)
/// </code>
/// Format 3 had no users and roles, and no length of the leases; format 2 had no leases, and the alarms at 25; format 1 had no epoch either, and the alarms at 17. All are read. Little-endian. It has no checksum of its own: whatever holds it (a checkpoint's file, a snapshot's manifest) is checksummed as a whole before this is read.
/// </summary>
/// <param name="Revision">The newest revision.</param>
/// <param name="CompactRevision">History below it is gone.</param>
/// <param name="Alarms">The alarms that are active.</param>
/// <param name="Leases">The leases that are granted.</param>
/// <param name="Auth">Users and roles.</param>
/// <param name="Epoch">How often the state was taken up again from a backup, in a new cluster (D5): revisions of different epochs are not of one history.</param>
internal sealed record MachineState(long Revision, long CompactRevision, AlarmTable Alarms, LeaseTerms Leases, AuthState Auth, long Epoch = 0)
{
    private const byte Format = 4;
    private const byte FormatWithoutAuth = 3;
    private const byte FormatWithoutLeases = 2;
    private const byte FormatWithoutEpoch = 1;
    private const int HeaderBytes = 33;
    private const int HeaderBytesWithoutAuth = 29;
    private const int HeaderBytesWithoutLeases = 25;
    private const int HeaderBytesWithoutEpoch = 17;

    /// <summary>A store that nothing was written to: revision 1, as in etcd.</summary>
    public static MachineState Initial { get; } = new(1, -1, AlarmTable.Empty, LeaseTerms.Empty, AuthState.Initial);

    public byte[] Encode()
    {
        byte[] bytes = new byte[HeaderBytes + Alarms.EncodedBytes + Leases.EncodedBytes + Auth.EncodedBytes];
        bytes[0] = Format;
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(1), Revision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(9), CompactRevision);
        BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(17), Epoch);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(25), Alarms.EncodedBytes);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(29), Leases.EncodedBytes);
        Alarms.Encode(bytes.AsSpan(HeaderBytes));
        Leases.Encode(bytes.AsSpan(HeaderBytes + Alarms.EncodedBytes));
        Auth.Encode().CopyTo(bytes.AsSpan(HeaderBytes + Alarms.EncodedBytes + Leases.EncodedBytes));
        return bytes;
    }

    /// <exception cref="RaftException">CannotOpen: a newer version wrote it. Corruption: nobody did.</exception>
    public static MachineState Decode(ReadOnlySpan<byte> bytes)
    {
        if (!bytes.IsEmpty && bytes[0] is not (Format or FormatWithoutAuth or FormatWithoutLeases or FormatWithoutEpoch))
        {
            throw new RaftException(
                RaftErrorCode.CannotOpen, $"The store's state has format {bytes[0]}; this version of Loom knows {FormatWithoutEpoch} to {Format}. Start the version of Loom that wrote it.");
        }

        byte format = bytes.IsEmpty ? Format : bytes[0];
        int header = format switch
        {
            FormatWithoutEpoch => HeaderBytesWithoutEpoch,
            FormatWithoutLeases => HeaderBytesWithoutLeases,
            FormatWithoutAuth => HeaderBytesWithoutAuth,
            _ => HeaderBytes,
        };
        if (bytes.Length < header)
        {
            throw Damaged($"{bytes.Length} bytes");
        }

        long revision = BinaryPrimitives.ReadInt64LittleEndian(bytes[1..]);
        long compacted = BinaryPrimitives.ReadInt64LittleEndian(bytes[9..]);
        long epoch = format == FormatWithoutEpoch ? 0 : BinaryPrimitives.ReadInt64LittleEndian(bytes[17..]);
        if (revision < 1 || compacted < -1 || compacted > revision || epoch < 0)
        {
            throw Damaged($"revision {revision}, compacted {compacted}, epoch {epoch}");
        }

        ReadOnlySpan<byte> tables = bytes[header..];
        if (format is FormatWithoutEpoch or FormatWithoutLeases)
        {
            return new MachineState(revision, compacted, AlarmTable.Decode(tables), LeaseTerms.Empty, AuthState.Initial, epoch);
        }

        ReadOnlySpan<byte> alarms = Take(ref tables, BinaryPrimitives.ReadUInt32LittleEndian(bytes[25..]), "alarms");
        if (format == FormatWithoutAuth)
        {
            return new MachineState(revision, compacted, AlarmTable.Decode(alarms), LeaseTerms.Decode(tables), AuthState.Initial, epoch);
        }

        ReadOnlySpan<byte> leases = Take(ref tables, BinaryPrimitives.ReadUInt32LittleEndian(bytes[29..]), "leases");
        return new MachineState(revision, compacted, AlarmTable.Decode(alarms), LeaseTerms.Decode(leases), AuthStateCodec.Decode(tables), epoch);
    }

    private static ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> tables, uint length, string what)
    {
        if (length > tables.Length)
        {
            throw Damaged($"{what} of {length} bytes in {tables.Length}");
        }

        ReadOnlySpan<byte> taken = tables[..(int)length];
        tables = tables[(int)length..];
        return taken;
    }

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The store's state is damaged ({what}). The checkpoint or snapshot that holds it cannot be used.");
}
