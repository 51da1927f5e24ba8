using Loom.Raft.Consensus;
using Loom.Raft.Proposals;

namespace Loom.Raft.Transport;

/// <summary>
/// One message of the forward lane as the body of a frame:
/// <code>
///  1 (proposals) | from u64 | to u64 | count u32 | { tag u64 | kind u8 | length u32 | body }*
///  2 (receipts)  | from u64 | to u64 | count u32 | { tag u64 | refusal u8 | index i64 | term i64 }*
/// </code>
/// </summary>
internal static class ForwardCodec
{
    private const int ItemHeader = 8 + 1 + 4;
    private const int AnswerSize = 8 + 1 + 8 + 8;

    public static int SizeOf(ForwardMessage message)
    {
        if (message is ForwardReceipts receipts) return 21 + receipts.Answers.Count * AnswerSize;
        int size = 21;
        foreach (ProposalItem item in ((ForwardProposals)message).Items) size += ItemHeader + item.Body.Length;
        return size;
    }

    public static void Encode(WireWriter writer, ForwardMessage message)
    {
        writer.Byte(message is ForwardProposals ? (byte)1 : (byte)2);
        writer.UInt64(message.From.Value);
        writer.UInt64(message.To.Value);
        if (message is ForwardProposals proposals)
        {
            writer.UInt32((uint)proposals.Items.Count);
            for (int i = 0; i < proposals.Items.Count; i++)
            {
                ProposalItem item = proposals.Items[i];
                writer.UInt64(item.Tag);
                writer.Byte((byte)item.Kind);
                writer.Blob(item.Body.Span);
            }
            return;
        }
        var receipts = (ForwardReceipts)message;
        writer.UInt32((uint)receipts.Answers.Count);
        for (int i = 0; i < receipts.Answers.Count; i++)
        {
            ProposalAnswer answer = receipts.Answers[i];
            writer.UInt64(answer.Tag);
            writer.Byte((byte)answer.Refusal);
            writer.Int64(answer.Index);
            writer.Int64(answer.Term);
        }
    }

    /// <summary>Decodes; the bodies share one new array, which nobody reuses (L10).</summary>
    /// <exception cref="WireException">Not a message.</exception>
    public static ForwardMessage Decode(ReadOnlySpan<byte> body)
    {
        var reader = new WireReader(body);
        byte kind = reader.Byte();
        var from = new MemberId(reader.UInt64());
        var to = new MemberId(reader.UInt64());
        return kind switch
        {
            1 => new ForwardProposals(from, to, DecodeItems(ref reader)),
            2 => new ForwardReceipts(from, to, DecodeAnswers(ref reader)),
            _ => throw new WireException($"unknown forward message {kind}"),
        };
    }

    private static ProposalItem[] DecodeItems(ref WireReader reader)
    {
        int count = reader.Count(ItemHeader);
        var items = new ProposalItem[count];
        var bodies = new byte[reader.Remaining - count * ItemHeader];
        int used = 0;
        for (int i = 0; i < count; i++)
        {
            ulong tag = reader.UInt64();
            byte kind = reader.Byte();
            // Only what a proposer makes may come in by this door: a configuration or a no-op is the leader's own.
            if (kind is not ((byte)EntryKind.OpenSession or (byte)EntryKind.Command)) throw new WireException($"a forwarded entry of kind {kind}");
            ReadOnlySpan<byte> item = reader.Blob();
            if (item.Length > bodies.Length - used) throw new WireException("an item longer than its message");
            item.CopyTo(bodies.AsSpan(used));
            items[i] = new ProposalItem(tag, (EntryKind)kind, bodies.AsMemory(used, item.Length));
            used += item.Length;
        }
        reader.End();
        return items;
    }

    private static ProposalAnswer[] DecodeAnswers(ref WireReader reader)
    {
        var answers = new ProposalAnswer[reader.Count(AnswerSize)];
        for (int i = 0; i < answers.Length; i++)
        {
            ulong tag = reader.UInt64();
            byte refusal = reader.Byte();
            if (refusal > (byte)ProposalRefusal.Invalid) throw new WireException($"unknown refusal {refusal}");
            answers[i] = new ProposalAnswer(tag, (ProposalRefusal)refusal, reader.Int64(), reader.Int64());
        }
        reader.End();
        return answers;
    }
}
