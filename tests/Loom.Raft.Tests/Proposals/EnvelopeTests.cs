using Loom.Raft.Consensus;
using Loom.Raft.Proposals;
using NUnit.Framework;

namespace Loom.Raft.Tests.Proposals;

public sealed class EnvelopeTests
{
    [Test]
    public void An_envelope_is_read_back_as_it_was_made()
    {
        var body = Envelope.Encode(EntryKind.Command, new ProposalId(7, 42), 40, "payload"u8);

        Assert.That(Envelope.Verify(EntryKind.Command, body, out _));
        Assert.That(Envelope.ReadHeader(body), Is.EqualTo(new EnvelopeHeader(new ProposalId(7, 42), 40)));
        Assert.That(Envelope.Payload(body).Span.SequenceEqual("payload"u8));
    }

    [Test]
    public void Its_bytes_do_not_change_between_versions()
    {
        var body = Envelope.Encode(EntryKind.Command, new ProposalId(1, 2), 3, "abc"u8);

        Assert.That(Convert.ToHexStringLower(body), Is.EqualTo("4c450100" + Convert.ToHexStringLower(body.AsSpan(4, 4))
            + "0100000000000000" + "0200000000000000" + "0300000000000000" + "616263"));
        Assert.That(BitConverter.ToUInt32(body.AsSpan(4, 4)), Is.EqualTo(Crc32C([(byte)EntryKind.Command, .. body.AsSpan(0, 4), .. body.AsSpan(8)])));
    }

    [Test]
    public void Every_flipped_bit_is_noticed()
    {
        var body = Envelope.Encode(EntryKind.Command, new ProposalId(7, 42), 40, "0123456789"u8);
        for (var bit = 0; bit < body.Length * 8; bit++)
        {
            body[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.That(Envelope.Verify(EntryKind.Command, body, out var problem), Is.False, $"bit {bit}");
            Assert.That(problem, Is.Not.Empty);
            body[bit / 8] ^= (byte)(1 << (bit % 8));
        }
    }

    [Test]
    public void A_body_cannot_change_its_kind_or_length()
    {
        var body = Envelope.Encode(EntryKind.Command, new ProposalId(7, 42), 40, "01234567"u8);

        Assert.That(Envelope.Verify(EntryKind.OpenSession, body, out _), Is.False);
        Assert.That(Envelope.Verify(EntryKind.NoOp, body, out _), Is.False);
        Assert.That(Envelope.Verify(EntryKind.Command, body.AsSpan(0, 39), out _), Is.False);
        Assert.That(Envelope.Verify(EntryKind.Command, [], out _), Is.False);
    }

    /// <summary>Bit by bit, from the definition of the polynomial.</summary>
    private static uint Crc32C(byte[] bytes)
    {
        var crc = uint.MaxValue;
        foreach (var one in bytes)
        {
            crc ^= one;
            for (var bit = 0; bit < 8; bit++)
            {
                crc = (crc & 1) != 0 ? (crc >> 1) ^ 0x82F63B78 : crc >> 1;
            }
        }

        return ~crc;
    }
}
