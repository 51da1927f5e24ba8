using System.Buffers.Binary;
using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;

namespace Loom.Raft.Proposals;

/// <summary>
/// The body of an entry, made by the proposer (L10). Little endian:
/// <code>
///  0        2   3   4            8               16              24              32
/// +--------+---+---+------------+---------------+---------------+---------------+----------
/// | "LE"   | 1 | 0 | CRC32C     | session  i64  | sequence i64  | floor    i64  | payload …
/// +--------+---+---+------------+---------------+---------------+---------------+----------
///   magic  ver  0    over kind, bytes 0-3 and everything from 8 on
///
///              session          sequence                  floor
/// Command      its session      its number in it          all below are settled (P1)
/// OpenSession  0                nonce                     incarnation of the process; payload: member id u64
/// </code>
/// The kind stands in the header that the core writes, and is under the checksum here: a body cannot change its meaning on the way.
/// Verified before append (on the leader, also when forwarded) and before apply. No-ops and configurations are the core's own and have no envelope.
/// </summary>
internal static class Envelope
{
    public const int HeaderBytes = 32;

    private const ushort Magic = 'L' | ('E' << 8);
    private const byte Version = 1;

    /// <summary>Payload of an OpenSession envelope.</summary>
    public const int OpenSessionPayloadBytes = 8;

    /// <summary>True for the kinds whose body is an envelope.</summary>
    public static bool Has(EntryKind kind) => kind is EntryKind.Command or EntryKind.OpenSession;

    public static byte[] Encode(EntryKind kind, ProposalId id, long floor, ReadOnlySpan<byte> payload)
    {
        var body = GC.AllocateUninitializedArray<byte>(HeaderBytes + payload.Length);
        var span = body.AsSpan();
        BinaryPrimitives.WriteUInt16LittleEndian(span, Magic);
        span[2] = Version;
        span[3] = 0;
        BinaryPrimitives.WriteInt64LittleEndian(span[8..], id.Session);
        BinaryPrimitives.WriteInt64LittleEndian(span[16..], id.Sequence);
        BinaryPrimitives.WriteInt64LittleEndian(span[24..], floor);
        payload.CopyTo(span[HeaderBytes..]);
        BinaryPrimitives.WriteUInt32LittleEndian(span[4..], Checksum(kind, span));
        return body;
    }

    /// <summary>The id and floor without a look at the checksum: for bodies that were verified when they were appended, to find whose they are.</summary>
    public static EnvelopeHeader ReadHeader(ReadOnlySpan<byte> body) => new(
        new ProposalId(BinaryPrimitives.ReadInt64LittleEndian(body[8..]), BinaryPrimitives.ReadInt64LittleEndian(body[16..])),
        BinaryPrimitives.ReadInt64LittleEndian(body[24..]));

    /// <summary>Checks magic, version, length and checksum. False: damaged (or of an unknown version); the text says which.</summary>
    public static bool Verify(EntryKind kind, ReadOnlySpan<byte> body, out string problem)
    {
        problem = "";
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("L10-skip-checksum") && body.Length >= HeaderBytes)
        {
            return true;
        }
#endif
        if (!Has(kind))
        {
            problem = $"an entry of kind {kind} is not a proposal";
        }
        else if (body.Length < HeaderBytes || (kind == EntryKind.OpenSession && body.Length != HeaderBytes + OpenSessionPayloadBytes))
        {
            problem = $"a body of {body.Length} bytes is no envelope of kind {kind}";
        }
        else if (BinaryPrimitives.ReadUInt16LittleEndian(body) != Magic || body[2] != Version || body[3] != 0)
        {
            problem = $"unknown envelope format {body[0]:x2}{body[1]:x2} version {body[2]}";
        }
        else if (BinaryPrimitives.ReadUInt32LittleEndian(body[4..]) is var stored && stored != Checksum(kind, body))
        {
            problem = $"checksum is {Checksum(kind, body):x8} where {stored:x8} is stored";
        }

        return problem.Length == 0;
    }

    public static ReadOnlyMemory<byte> Payload(ReadOnlyMemory<byte> body) => body[HeaderBytes..];

    /// <summary>CRC32C of the kind, the first four bytes and everything behind the checksum's own place.</summary>
    private static uint Checksum(EntryKind kind, ReadOnlySpan<byte> body)
    {
        var crc = Crc32C.Append(Crc32C.Start, (byte)kind);
        crc = Crc32C.Append(crc, body[..4]);
        return ~Crc32C.Append(crc, body[8..]);
    }
}

/// <summary>Id and floor of an envelope.</summary>
internal readonly record struct EnvelopeHeader(ProposalId Id, long Floor);
