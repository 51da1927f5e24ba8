using CsCheck;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Snapshots;

public sealed class TransferCodecTests
{
    private static readonly Gen<TransferPosition> Positions =
        from numbers in Gen.Select(Gen.Long[0, long.MaxValue], Gen.Long[0, long.MaxValue], Gen.ULong)
        from cursor in Gen.Byte.Array[0, 100]
        select new TransferPosition(numbers.Item1, numbers.Item2, numbers.Item3, cursor);

    [Test]
    public void What_travels_reads_back_as_it_was_written() =>
        Gen.Select(Positions, Gen.Long[0, long.MaxValue], Gen.ULong, Gen.Byte.Array[0, 300], Gen.Byte[1, 7]).Sample((position, number, id, bytes, reason) =>
        {
            SnapshotRequest request = TransferCodec.DecodeRequest(Encoded(w => TransferCodec.Encode(w, new SnapshotRequest(number, id, position))));
            Assert.That((request.MinIndex, request.Resume), Is.EqualTo((number, id)));
            Assert.That(request.Position.IsSame(position));
            var refusal = new SnapshotRefusal((RefusalReason)reason, number, "why");
            Assert.That(TransferCodec.DecodeRefusal(Encoded(w => TransferCodec.Encode(w, refusal))), Is.EqualTo(refusal));
            SnapshotOffer offer = TransferCodec.DecodeOffer(Encoded(w => TransferCodec.Encode(w, new SnapshotOffer(number, bytes))));
            Assert.That((offer.EstimatedBytes, Convert.ToHexString(offer.Manifest.Span)), Is.EqualTo((number, Convert.ToHexString(bytes))));
            var end = new SnapshotEnd(number, number / 2, id);
            Assert.That(TransferCodec.DecodeEnd(Encoded(w => TransferCodec.Encode(w, end))), Is.EqualTo(end));
            (long read, StateChunk chunk) = TransferCodec.DecodeChunk(Encoded(w => TransferCodec.Encode(w, number, new StateChunk(position.Cursor, bytes))));
            Assert.That(read, Is.EqualTo(number));
            Assert.That(chunk.Cursor.Span.SequenceEqual(position.Cursor.Span) && chunk.Bytes.Span.SequenceEqual(bytes));
        }, iter: 500);

    /// <summary>A decoder answers with a message or a WireException, and allocates no more than a small multiple of its input.</summary>
    [Test]
    public void Decoders_survive_whatever_a_peer_sends()
    {
        Gen<byte[]> damaged =
            from position in Positions
            from changes in Gen.Select(Gen.Int[0, 10_000], Gen.Byte).Array[1, 6]
            from cut in Gen.Int[0, 20]
            select Damage(Encoded(w => TransferCodec.Encode(w, new SnapshotRequest(1, 2, position))), changes, cut);
        Gen.OneOf(Gen.Byte.Array[0, 200], damaged).Sample(bytes =>
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            Survives(() => TransferCodec.DecodeRequest(bytes));
            Survives(() => TransferCodec.DecodeRefusal(bytes));
            Survives(() => TransferCodec.DecodeOffer(bytes));
            Survives(() => TransferCodec.DecodeChunk(bytes));
            Survives(() => TransferCodec.DecodeEnd(bytes));
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(64 * 1024 + 64 * bytes.Length));
        }, iter: 8_000, threads: 1);
    }

    [Test]
    public void A_long_reason_is_cut_before_it_is_sent()
    {
        var refusal = new SnapshotRefusal(RefusalReason.Failed, 0, new string('ü', 5000));
        Assert.That(TransferCodec.DecodeRefusal(Encoded(w => TransferCodec.Encode(w, refusal))).Text, Has.Length.EqualTo(1000));
    }

    /// <summary>Positions are equal only if every chunk was: a changed byte, a changed cursor and chunks cut elsewhere all show.</summary>
    [Test]
    public void A_position_knows_every_byte_before_it()
    {
        StateChunk one = new(new byte[] { 1 }, new byte[] { 10, 11 }), two = new(new byte[] { 2 }, new byte[] { 12 });
        TransferPosition here = TransferPosition.Start.After(one).After(two);
        Assert.That((here.Chunks, here.Bytes), Is.EqualTo((2L, 3L)));
        Assert.That(here.IsSame(TransferPosition.Start.After(one).After(two)));
        TransferPosition[] others =
        [
            TransferPosition.Start.After(one with { Bytes = new byte[] { 10, 12 } }).After(two),
            TransferPosition.Start.After(one with { Cursor = new byte[] { 9 } }).After(two),
            TransferPosition.Start.After(new StateChunk(new byte[] { 1, 10 }, new byte[] { 11 })).After(two),
            TransferPosition.Start.After(two).After(one),
        ];
        foreach (TransferPosition other in others) Assert.That(here.Hash, Is.Not.EqualTo(other.Hash));
    }

    private static byte[] Encoded(Action<WireWriter> encode)
    {
        var writer = new WireWriter();
        encode(writer);
        return writer.Written.ToArray();
    }

    private static byte[] Damage(byte[] bytes, (int, byte)[] changes, int cut)
    {
        foreach ((int at, byte value) in changes) bytes[at % bytes.Length] = value;
        return bytes[..Math.Max(0, bytes.Length - cut)];
    }

    private static void Survives(Action decode)
    {
        try
        {
            decode();
        }
        catch (WireException)
        {
            // Refused in words.
        }
    }
}
