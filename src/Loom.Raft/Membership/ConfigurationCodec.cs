using System.Buffers;
using System.Buffers.Binary;
using System.Text;
using Loom.Raft.Consensus;

namespace Loom.Raft.Membership;

/// <summary>
/// Canonical bytes of a <see cref="Configuration"/>: body of a Configuration entry, restated by log segments (L6), hashed at formation (N5).
/// <code>
/// u8 version = 1 | u8 goal | u16 members
///   per member, ascending id: u64 id | u64 incarnation | str name | str datacenter | u8 role | u8 n, n × str peer url | u8 n, n × str client url
/// u16 outgoing voters | u64 id each, ascending
/// str = u16 length + UTF-8; all integers little-endian
/// </code>
/// Equal configurations have equal bytes, so a member list that is not strictly ascending is refused on both sides.
/// </summary>
internal static class ConfigurationCodec
{
    private const byte Version = 1;

    public static byte[] Encode(Configuration configuration)
    {
        var writer = new ArrayBufferWriter<byte>(256);
        WriteByte(writer, Version);
        WriteByte(writer, (byte)configuration.Goal);
        WriteUInt16(writer, configuration.Members.Count);
        MemberId previous = MemberId.None;
        foreach (Member member in configuration.Members)
        {
            RequireAscending(ref previous, member.Id);
            WriteUInt64(writer, member.Id.Value);
            WriteUInt64(writer, member.Incarnation);
            WriteString(writer, member.Name);
            WriteString(writer, member.Datacenter);
            WriteByte(writer, (byte)member.Role);
            WriteStrings(writer, member.PeerUrls);
            WriteStrings(writer, member.ClientUrls);
        }

        WriteUInt16(writer, configuration.OutgoingVoters.Count);
        previous = MemberId.None;
        foreach (MemberId id in configuration.OutgoingVoters)
        {
            RequireAscending(ref previous, id);
            WriteUInt64(writer, id.Value);
        }

        return writer.WrittenSpan.ToArray();
    }

    /// <exception cref="InvalidDataException">The bytes are not a configuration of a version this build knows.</exception>
    public static Configuration Decode(ReadOnlySpan<byte> bytes)
    {
        var reader = new Reader(bytes);
        byte version = reader.Byte();
        if (version != Version)
        {
            throw new InvalidDataException($"configuration format {version} is not known to this version of Loom (it knows {Version})");
        }

        var goal = (PlacementGoal)reader.Byte();
        var members = new Member[reader.UInt16()];
        MemberId previous = MemberId.None;
        for (int i = 0; i < members.Length; i++)
        {
            var id = new MemberId(reader.UInt64());
            RequireAscending(ref previous, id);
            members[i] = new Member(id, reader.UInt64(), reader.String(), reader.String(), (MemberRole)reader.Byte(), reader.Strings(), reader.Strings());
        }

        var outgoing = new MemberId[reader.UInt16()];
        previous = MemberId.None;
        for (int i = 0; i < outgoing.Length; i++)
        {
            outgoing[i] = new MemberId(reader.UInt64());
            RequireAscending(ref previous, outgoing[i]);
        }

        reader.RequireEnd();
        return new Configuration(goal, members, outgoing);
    }

    private static void RequireAscending(ref MemberId previous, MemberId id)
    {
        if (id <= previous)
        {
            throw new InvalidDataException($"members of a configuration must be sorted by id, without repeats: {id} follows {previous}");
        }

        previous = id;
    }

    private static void WriteByte(ArrayBufferWriter<byte> writer, byte value)
    {
        writer.GetSpan(1)[0] = value;
        writer.Advance(1);
    }

    private static void WriteUInt16(ArrayBufferWriter<byte> writer, int value)
    {
        BinaryPrimitives.WriteUInt16LittleEndian(writer.GetSpan(2), checked((ushort)value));
        writer.Advance(2);
    }

    private static void WriteUInt64(ArrayBufferWriter<byte> writer, ulong value)
    {
        BinaryPrimitives.WriteUInt64LittleEndian(writer.GetSpan(8), value);
        writer.Advance(8);
    }

    private static void WriteString(ArrayBufferWriter<byte> writer, string value)
    {
        int length = Encoding.UTF8.GetByteCount(value);
        WriteUInt16(writer, length);
        Encoding.UTF8.GetBytes(value, writer.GetSpan(length));
        writer.Advance(length);
    }

    private static void WriteStrings(ArrayBufferWriter<byte> writer, IReadOnlyList<string> values)
    {
        WriteByte(writer, checked((byte)values.Count));
        foreach (string value in values)
        {
            WriteString(writer, value);
        }
    }

    private ref struct Reader(ReadOnlySpan<byte> bytes)
    {
        private ReadOnlySpan<byte> rest = bytes;

        public byte Byte() => Take(1)[0];

        public int UInt16() => BinaryPrimitives.ReadUInt16LittleEndian(Take(2));

        public ulong UInt64() => BinaryPrimitives.ReadUInt64LittleEndian(Take(8));

        public string String() => Encoding.UTF8.GetString(Take(UInt16()));

        public string[] Strings()
        {
            var values = new string[Byte()];
            for (int i = 0; i < values.Length; i++)
            {
                values[i] = String();
            }

            return values;
        }

        public readonly void RequireEnd()
        {
            if (!rest.IsEmpty)
            {
                throw new InvalidDataException($"{rest.Length} bytes too many in a configuration");
            }
        }

        private ReadOnlySpan<byte> Take(int count)
        {
            if (rest.Length < count)
            {
                throw new InvalidDataException("a configuration ends too early");
            }

            ReadOnlySpan<byte> taken = rest[..count];
            rest = rest[count..];
            return taken;
        }
    }
}
