using Loom.Raft.Consensus;

namespace Loom.Raft.Transport;

/// <summary>
/// One consensus message as the body of a frame:
/// <code>
///  kind u8 | flags u8 (1 reject, 2 transfer, 4 promises) | from u64 | to u64 | term | index | logTerm | commit | rejectHint | round (i64 each)
///  | context u64 | incarnation u64 | entries u32 | { term i64 | kind u8 | clusterTime i64 | length u32 | body }*
/// </code>
/// The entries' indexes follow from the message's: they are consecutive. The frame has version and checksum.
/// </summary>
internal static class MessageCodec
{
    private const int EntryHeader = 8 + 1 + 8 + 4;

    /// <summary>Bytes without entries.</summary>
    public const int FixedSize = 2 + 8 * 10 + 4;

    /// <summary>Exact encoded size: what the lane's queue counts (P5).</summary>
    public static int SizeOf(Message message)
    {
        int size = FixedSize;
        for (int i = 0; i < message.Entries.Count; i++) size += EntryHeader + message.Entries[i].Body.Length;
        return size;
    }

    public static void Encode(WireWriter writer, Message message)
    {
        writer.Byte((byte)message.Kind);
        writer.Byte((byte)((message.Reject ? 1 : 0) | (message.Transfer ? 2 : 0) | (message.Promises ? 4 : 0)));
        writer.UInt64(message.From.Value);
        writer.UInt64(message.To.Value);
        writer.Int64(message.Term);
        writer.Int64(message.Index);
        writer.Int64(message.LogTerm);
        writer.Int64(message.Commit);
        writer.Int64(message.RejectHint);
        writer.Int64(message.Round);
        writer.UInt64(message.Context);
        writer.UInt64(message.Incarnation);
        writer.UInt32((uint)message.Entries.Count);
        for (int i = 0; i < message.Entries.Count; i++)
        {
            Entry entry = message.Entries[i];
            writer.Int64(entry.Term);
            writer.Byte((byte)entry.Kind);
            writer.Int64(entry.ClusterTime);
            writer.Blob(entry.Body.Span);
        }
    }

    /// <summary>Decodes; the entries' bodies share one new array, which nobody reuses (L10).</summary>
    /// <exception cref="WireException">Not a message.</exception>
    public static Message Decode(ReadOnlySpan<byte> body)
    {
        var reader = new WireReader(body);
        byte kind = reader.Byte();
        if (kind is < (byte)MessageKind.PreVote or > (byte)MessageKind.StateReport) throw new WireException($"unknown message kind {kind}");
        byte flags = reader.Byte();
        if (flags > 7) throw new WireException($"unknown message flags {flags}");
        var message = new Message
        {
            Kind = (MessageKind)kind,
            Reject = (flags & 1) != 0,
            Transfer = (flags & 2) != 0,
            Promises = (flags & 4) != 0,
            From = new MemberId(reader.UInt64()),
            To = new MemberId(reader.UInt64()),
            Term = NotNegative(reader.Int64()),
            Index = reader.Int64(),
            LogTerm = reader.Int64(),
            Commit = reader.Int64(),
            RejectHint = reader.Int64(),
            Round = reader.Int64(),
            Context = reader.UInt64(),
            Incarnation = reader.UInt64(),
        };
        int count = reader.Count(EntryHeader);
        if (count == 0)
        {
            reader.End();
            return message;
        }
        if (message.Kind != MessageKind.Append) throw new WireException($"{message.Kind} with entries");
        return message with { Entries = DecodeEntries(ref reader, count, NotNegative(message.Index)) };
    }

    private static Entry[] DecodeEntries(ref WireReader reader, int count, long previousIndex)
    {
        // The reader has already shown that count entry headers fit in what arrived, so both arrays are bounded by the frame's own size.
        var entries = new Entry[count];
        var bodies = new byte[reader.Remaining - count * EntryHeader];
        int used = 0;
        for (int i = 0; i < count; i++)
        {
            long term = NotNegative(reader.Int64());
            byte kind = reader.Byte();
            long clusterTime = reader.Int64();
            ReadOnlySpan<byte> body = reader.Blob();
            if (body.Length > bodies.Length - used) throw new WireException("an entry longer than its message");
            body.CopyTo(bodies.AsSpan(used));
            entries[i] = new Entry(previousIndex + 1 + i, term, (EntryKind)kind, clusterTime, bodies.AsMemory(used, body.Length));
            used += body.Length;
        }
        reader.End();
        return entries;
    }

    private static long NotNegative(long value) => value >= 0 ? value : throw new WireException($"{value} where a term or index belongs");
}
