using System.Buffers.Binary;
using Loom.Raft.Consensus;

namespace Loom.Raft.Sessions;

/// <summary>
/// Canonical bytes of a session table: part of Raft's section of a snapshot.
/// <code>
/// u8 version = 1 | u32 sessions
///   per session, the one unused longest first:
///   i64 id | u64 member | u64 incarnation | u64 nonce | i64 floor | i64 last used (cluster time) | u32 outcomes
///     per outcome, ascending: u32 sequence - floor | i32 code | i32 branch | i64 revision | i64 extra
/// all integers little-endian
/// </code>
/// </summary>
internal static class SessionTableCodec
{
    private const byte Version = 1;
    private const int HeaderBytes = 1 + 4;
    private const int SessionBytes = (6 * 8) + 4;
    private const int OutcomeBytes = (3 * 4) + (2 * 8);

    public static byte[] Encode(Session? oldest, int sessions, int outcomes)
    {
        var bytes = new byte[HeaderBytes + (sessions * SessionBytes) + (outcomes * OutcomeBytes)];
        bytes[0] = Version;
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(1), sessions);
        Span<byte> rest = bytes.AsSpan(HeaderBytes);
        for (Session? session = oldest; session is not null; session = session.Newer)
        {
            Encode(session, ref rest);
        }

        return bytes;
    }

    /// <summary>Sessions in the order of last use.</summary>
    /// <exception cref="FormatException">The bytes are not a session table of a version that this build knows.</exception>
    public static List<Session> Decode(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < HeaderBytes || bytes[0] != Version)
        {
            throw new FormatException($"session table of format {(bytes.IsEmpty ? 0 : bytes[0])} is not known to this version of Loom (it knows {Version})");
        }

        int count = BinaryPrimitives.ReadInt32LittleEndian(bytes[1..]);
        ReadOnlySpan<byte> rest = bytes[HeaderBytes..];
        var sessions = new List<Session>();
        for (int i = 0; i < count; i++)
        {
            sessions.Add(DecodeSession(ref rest));
        }

        return rest.IsEmpty ? sessions : throw new FormatException($"{rest.Length} bytes too many in a session table");
    }

    private static void Encode(Session session, ref Span<byte> rest)
    {
        BinaryPrimitives.WriteInt64LittleEndian(rest, session.Id);
        BinaryPrimitives.WriteUInt64LittleEndian(rest[8..], session.Owner.Member.Value);
        BinaryPrimitives.WriteUInt64LittleEndian(rest[16..], session.Owner.Incarnation);
        BinaryPrimitives.WriteUInt64LittleEndian(rest[24..], session.Owner.Nonce);
        BinaryPrimitives.WriteInt64LittleEndian(rest[32..], session.Window.Floor);
        BinaryPrimitives.WriteInt64LittleEndian(rest[40..], session.LastUsed);
        BinaryPrimitives.WriteInt32LittleEndian(rest[48..], session.Window.Count);
        rest = rest[SessionBytes..];
        for (long sequence = session.Window.Floor; sequence < session.Window.End; sequence++)
        {
            switch (session.Window.Find(sequence, out Outcome outcome))
            {
                case OutcomeWindow.State.Pending:
                    throw new InvalidOperationException($"sequence {sequence} of session {session.Id} is decided but not applied: no state to keep");
                case OutcomeWindow.State.Done:
                    BinaryPrimitives.WriteInt32LittleEndian(rest, (int)(sequence - session.Window.Floor));
                    BinaryPrimitives.WriteInt32LittleEndian(rest[4..], outcome.Code);
                    BinaryPrimitives.WriteInt32LittleEndian(rest[8..], outcome.Branch);
                    BinaryPrimitives.WriteInt64LittleEndian(rest[12..], outcome.Revision);
                    BinaryPrimitives.WriteInt64LittleEndian(rest[20..], outcome.Extra);
                    rest = rest[OutcomeBytes..];
                    break;
                default:
                    break;
            }
        }
    }

    private static Session DecodeSession(ref ReadOnlySpan<byte> rest)
    {
        ReadOnlySpan<byte> head = Take(ref rest, SessionBytes);
        var owner = new SessionOwner(
            new MemberId(BinaryPrimitives.ReadUInt64LittleEndian(head[8..])), BinaryPrimitives.ReadUInt64LittleEndian(head[16..]), BinaryPrimitives.ReadUInt64LittleEndian(head[24..]));
        var session = new Session(BinaryPrimitives.ReadInt64LittleEndian(head), owner) { LastUsed = BinaryPrimitives.ReadInt64LittleEndian(head[40..]) };
        session.Window.RaiseFloor(BinaryPrimitives.ReadInt64LittleEndian(head[32..]));
        int outcomes = BinaryPrimitives.ReadInt32LittleEndian(head[48..]);
        for (int i = 0; i < outcomes; i++)
        {
            ReadOnlySpan<byte> o = Take(ref rest, OutcomeBytes);
            int above = BinaryPrimitives.ReadInt32LittleEndian(o);
            if (above is < 0 or >= OutcomeWindow.Size)
            {
                throw new FormatException($"an outcome of session {session.Id} lies outside of its window");
            }

            var outcome = new Outcome(
                BinaryPrimitives.ReadInt32LittleEndian(o[4..]), BinaryPrimitives.ReadInt32LittleEndian(o[8..]),
                BinaryPrimitives.ReadInt64LittleEndian(o[12..]), BinaryPrimitives.ReadInt64LittleEndian(o[20..]));
            session.Window.Set(session.Window.Floor + above, OutcomeWindow.State.Done, outcome);
        }

        return session;
    }

    private static ReadOnlySpan<byte> Take(ref ReadOnlySpan<byte> rest, int count)
    {
        if (rest.Length < count)
        {
            throw new FormatException("a session table ends too early");
        }

        ReadOnlySpan<byte> taken = rest[..count];
        rest = rest[count..];
        return taken;
    }
}
