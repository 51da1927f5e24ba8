using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Transport;

public sealed class CodecTests
{
    private static readonly Gen<byte[]> Body = Gen.Byte.Array[0, 300];

    private static readonly Gen<Message> Messages =
        from kind in Gen.Byte[1, 12]
        from ids in Gen.Select(Gen.ULong, Gen.ULong, Gen.ULong, Gen.ULong)
        from numbers in Gen.Long[0, long.MaxValue / 2].Array[6]
        from flags in Gen.Select(Gen.Bool, Gen.Bool, Gen.Bool)
        from entries in Gen.Select(Gen.Long[0, 1000], Gen.Byte[1, 4], Gen.Long, Body).Array[0, 6]
        select new Message
        {
            Kind = (MessageKind)kind,
            From = new MemberId(ids.Item1),
            To = new MemberId(ids.Item2),
            Context = ids.Item3,
            Incarnation = ids.Item4,
            Term = numbers[0],
            Index = numbers[1],
            LogTerm = numbers[2],
            Commit = numbers[3],
            RejectHint = numbers[4],
            Round = numbers[5],
            Reject = flags.Item1,
            Transfer = flags.Item2,
            Promises = flags.Item3,
            Entries = kind == (byte)MessageKind.Append
                ? [.. entries.Select((e, i) => new Entry(numbers[1] + 1 + i, e.Item1, (EntryKind)e.Item2, e.Item3, e.Item4))]
                : [],
        };

    [Test]
    public void A_message_reads_back_as_it_was_written() => Messages.Sample(message =>
    {
        byte[] bytes = Encoded(message);
        Message read = MessageCodec.Decode(bytes);
        Assert.That(bytes, Has.Length.EqualTo(MessageCodec.SizeOf(message)), "the queue counts what is sent");
        Assert.That(Describe(read), Is.EqualTo(Describe(message)));
    }, iter: 2000);

    [Test]
    public void A_forward_message_reads_back_as_it_was_written() =>
        Gen.Select(Gen.ULong, Gen.ULong, Gen.Select(Gen.ULong, Gen.Byte[3, 4], Body).Array[0, 8]).Sample((from, to, items) =>
        {
            var proposals = new ForwardProposals(new MemberId(from), new MemberId(to), [.. items.Select(i => new ProposalItem(i.Item1, (EntryKind)i.Item2, i.Item3))]);
            var read = (ForwardProposals)ForwardCodec.Decode(Encoded(proposals));
            Assert.That(read.From, Is.EqualTo(proposals.From));
            Assert.That(read.Items.Select(i => (i.Tag, i.Kind, Convert.ToHexString(i.Body.Span))), Is.EqualTo(proposals.Items.Select(i => (i.Tag, i.Kind, Convert.ToHexString(i.Body.Span)))));
            var receipts = new ForwardReceipts(new MemberId(from), new MemberId(to), [.. items.Select(i => new ProposalAnswer(i.Item1, ProposalRefusal.None, (long)i.Item1 / 2, 7))]);
            Assert.That(((ForwardReceipts)ForwardCodec.Decode(Encoded(receipts))).Answers, Is.EqualTo(receipts.Answers));
        }, iter: 500);

    /// <summary>Random bytes, and valid ones with some changed: a decoder answers with a message or a WireException, and allocates no more than a small multiple of its input.</summary>
    [Test]
    public void Decoders_survive_whatever_a_peer_sends()
    {
        Gen<byte[]> damaged =
            from message in Messages
            from changes in Gen.Select(Gen.Int[0, 10_000], Gen.Byte).Array[1, 6]
            from cut in Gen.Int[0, 50]
            select Damage(Encoded(message), changes, cut);
        Gen.OneOf(Gen.Byte.Array[0, 400], damaged).Sample(bytes =>
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Survives(() => MessageCodec.Decode(bytes));
            Survives(() => ForwardCodec.Decode(bytes));
            Survives(() =>
            {
                var reader = new WireReader(bytes);
                _ = PeerHello.Decode(ref reader);
            });
            Survives(() => Frame.TryRead(bytes, out _, out _));
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(64 * 1024 + 64 * bytes.Length));
        }, iter: 8_000, threads: 1);
    }

    [Test]
    public void Every_flipped_bit_of_a_frame_is_found()
    {
        byte[] frame = Sealed(Encoded(new Message { Kind = MessageKind.Heartbeat, From = new MemberId(1), To = new MemberId(2), Term = 3, Commit = 4 }));
        Assert.That(Frame.TryRead(frame, out FrameKind kind, out _) && kind == FrameKind.Message);
        for (int bit = 0; bit < frame.Length * 8; bit++)
        {
            byte[] copy = [.. frame];
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
            bool accepted = false;
            Survives(() => accepted = Frame.TryRead(copy, out _, out _));
            Assert.That(accepted, Is.False, $"bit {bit}");
        }
    }

    [Test]
    public void A_count_that_lies_allocates_nothing()
    {
        var writer = new WireWriter();
        MessageCodec.Encode(writer, new Message { Kind = MessageKind.Append, From = new MemberId(1), To = new MemberId(2), Term = 3 });
        writer.Patch(writer.Length - 4).Fill(0xFF);
        byte[] bytes = [.. writer.Written];
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.That(() => MessageCodec.Decode(bytes), Throws.InstanceOf<WireException>());
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(64 * 1024));
    }

    [Test]
    public void Configurations_and_no_ops_do_not_enter_by_the_forward_lane() =>
        Assert.That(
            () => ForwardCodec.Decode(Encoded(new ForwardProposals(new MemberId(1), new MemberId(2), [new ProposalItem(1, EntryKind.Configuration, new byte[3])]))),
            Throws.InstanceOf<WireException>());

    internal static byte[] Encoded(object message)
    {
        var writer = new WireWriter();
        if (message is Message consensus) MessageCodec.Encode(writer, consensus);
        else ForwardCodec.Encode(writer, (ForwardMessage)message);
        return [.. writer.Written];
    }

    internal static byte[] Sealed(byte[] body, FrameKind kind = FrameKind.Message)
    {
        byte[] frame = [.. new byte[Frame.HeaderSize], .. body];
        Frame.Seal(frame, kind);
        return frame;
    }

    private static byte[] Damage(byte[] bytes, (int At, byte Value)[] changes, int cut)
    {
        foreach ((int at, byte value) in changes) bytes[at % bytes.Length] = value;
        return cut < 10 ? bytes[..Math.Max(0, bytes.Length - cut)] : bytes;
    }

    private static void Survives(Action decode)
    {
        try
        {
            decode();
        }
        catch (WireException)
        {
            // The one answer to nonsense.
        }
    }

    private static string Describe(Message m) =>
        $"{m with { Entries = [] }} " + string.Join(" ", m.Entries.Select(e => $"{e.Index}/{e.Term}/{e.Kind}/{e.ClusterTime}/{Convert.ToHexString(e.Body.Span)}"));
}
