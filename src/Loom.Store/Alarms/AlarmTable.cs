using System.Buffers.Binary;
using Loom.Raft;
using Loom.Store.Model;

namespace Loom.Store.Alarms;

/// <summary>
/// The alarms that are active: a value of the replicated state, changed by entries alone (T4), kept with it in checkpoints and snapshots.
/// Invariant: ascending by (kind, member), each pair once; at most <see cref="MaxAlarms"/>. Equal tables have equal bytes:
/// <code>
///   0 u8 format = 1 | 1 u16 count | then per alarm 10 bytes: u8 kind | u8 flags (1 = automatic) | u64 member
/// </code>
/// Little-endian, without a checksum of its own: <see cref="Applying.MachineState"/> says who guards it.
/// </summary>
internal sealed class AlarmTable
{
    /// <summary>More members than a cluster has; a caller that makes up ids must not fill memory.</summary>
    public const int MaxAlarms = 1024;

    private const byte Format = 1;
    private const int HeaderBytes = 3;
    private const int AlarmBytes = 10;
    private const byte Automatic = 1;

    private readonly Alarm[] alarms;

    private AlarmTable(Alarm[] alarms) => this.alarms = alarms;

    public static AlarmTable Empty { get; } = new([]);

    public IReadOnlyList<Alarm> All => alarms;

    public int EncodedBytes => HeaderBytes + (alarms.Length * AlarmBytes);

    /// <summary>Some member has this alarm.</summary>
    public bool Has(AlarmKind kind) => Array.Exists(alarms, alarm => alarm.Kind == kind);

    public Alarm? Find(AlarmKind kind, ulong member) => Position(kind, member, out int at) ? alarms[at] : null;

    /// <summary>The table with the alarm; this one when the member has it already, or when the table is full.</summary>
    public AlarmTable With(Alarm alarm) => Position(alarm.Kind, alarm.Member, out int at) || alarms.Length == MaxAlarms
        ? this
        : new AlarmTable([.. alarms[..at], alarm, .. alarms[at..]]);

    /// <summary>The table without it; this one when the member does not have it.</summary>
    public AlarmTable Without(AlarmKind kind, ulong member) => Position(kind, member, out int at) ? new AlarmTable([.. alarms[..at], .. alarms[(at + 1)..]]) : this;

    public void Encode(Span<byte> bytes)
    {
        bytes[0] = Format;
        BinaryPrimitives.WriteUInt16LittleEndian(bytes[1..], (ushort)alarms.Length);
        for (int i = 0; i < alarms.Length; i++)
        {
            Span<byte> place = bytes.Slice(HeaderBytes + (i * AlarmBytes), AlarmBytes);
            place[0] = (byte)alarms[i].Kind;
            place[1] = alarms[i].IsAutomatic ? Automatic : (byte)0;
            BinaryPrimitives.WriteUInt64LittleEndian(place[2..], alarms[i].Member);
        }
    }

    /// <exception cref="RaftException">CannotOpen: a newer version wrote it. Corruption: nobody did.</exception>
    public static AlarmTable Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes)
        {
            throw Damaged($"{bytes.Length} bytes");
        }

        if (bytes[0] != Format)
        {
            throw new RaftException(RaftErrorCode.CannotOpen, $"The table of alarms has format {bytes[0]}; this version of Loom knows {Format}. Start the version of Loom that wrote it.");
        }

        int count = BinaryPrimitives.ReadUInt16LittleEndian(bytes[1..]);
        if (count > MaxAlarms || bytes.Length != HeaderBytes + (count * AlarmBytes))
        {
            throw Damaged($"{count} alarms in {bytes.Length} bytes");
        }

        var alarms = new Alarm[count];
        for (int i = 0; i < count; i++)
        {
            ReadOnlySpan<byte> place = bytes.Slice(HeaderBytes + (i * AlarmBytes), AlarmBytes);
            alarms[i] = new Alarm((AlarmKind)place[0], BinaryPrimitives.ReadUInt64LittleEndian(place[2..]), (place[1] & Automatic) != 0);
            if (place[0] is < (byte)AlarmKind.NoSpace or > (byte)AlarmKind.LowDisk || (place[1] & ~Automatic) != 0)
            {
                throw new RaftException(RaftErrorCode.CannotOpen, $"An alarm has kind {place[0]} and flags {place[1]}, which this version of Loom does not know. Start the version of Loom that wrote it.");
            }

            if (i > 0 && Compare(alarms[i - 1], alarms[i].Kind, alarms[i].Member) >= 0)
            {
                throw Damaged("alarms out of order");
            }
        }

        return new AlarmTable(alarms);
    }

    private static RaftException Damaged(string what) =>
        new(RaftErrorCode.Corruption, $"The table of alarms is damaged ({what}). The checkpoint or snapshot that holds it cannot be used.");

    private bool Position(AlarmKind kind, ulong member, out int at)
    {
        for (at = 0; at < alarms.Length; at++)
        {
            int order = Compare(alarms[at], kind, member);
            if (order >= 0)
            {
                return order == 0;
            }
        }

        return false;
    }

    private static int Compare(Alarm alarm, AlarmKind kind, ulong member) => alarm.Kind != kind ? alarm.Kind.CompareTo(kind) : alarm.Member.CompareTo(member);
}
