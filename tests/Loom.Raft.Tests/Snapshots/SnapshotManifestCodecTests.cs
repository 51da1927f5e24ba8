using System.Buffers.Binary;
using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Diagnostics;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Snapshots;

public sealed class SnapshotManifestCodecTests
{
    private static readonly Gen<SnapshotManifest> Manifests =
        from ids in Gen.Select(Gen.ULong[1, ulong.MaxValue], Gen.ULong, Gen.ULong)
        from index in Gen.Long[1, long.MaxValue]
        from configuration in Gen.Long[0, 1]
        from terms in Gen.Select(Gen.Long[0, 1000], Gen.Long[0, 1000])
        from section in Gen.Byte.Array[0, 300]
        from header in Gen.Byte.Array[0, 100]
        from members in Gen.Int[1, 4]
        select new SnapshotManifest(
            ids.Item1, ids.Item2, new MemberId(ids.Item3), terms.Item1 + terms.Item2, new StatePosition(index, terms.Item1, section), new ConfigurationAt(configuration, Of(members)), header);

    [Test]
    public void A_manifest_reads_back_as_it_was_written() => Manifests.Sample(manifest =>
    {
        byte[] bytes = SnapshotManifestCodec.Encode(manifest);
        SnapshotManifest read = SnapshotManifestCodec.Decode(bytes);
        Assert.That((read.Id, read.ClusterId, read.Source, read.SourceTerm), Is.EqualTo((manifest.Id, manifest.ClusterId, manifest.Source, manifest.SourceTerm)));
        Assert.That((read.At.Index, read.At.Term, read.Configuration.Index), Is.EqualTo((manifest.At.Index, manifest.At.Term, manifest.Configuration.Index)));
        Assert.That(SnapshotManifestCodec.Encode(read), Is.EqualTo(bytes), "section, configuration and header, too");
    }, iter: 500);

    [Test]
    public void Every_flipped_bit_and_every_cut_is_found()
    {
        byte[] bytes = SnapshotManifestCodec.Encode(Specimen());
        for (int bit = 0; bit < bytes.Length * 8; bit++)
        {
            byte[] copy = [.. bytes];
            copy[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.That(() => SnapshotManifestCodec.Decode(copy), Throws.InstanceOf<InvalidDataException>(), $"bit {bit}");
        }
        for (int length = 0; length < bytes.Length; length++)
        {
            byte[] cut = bytes[..length];
            Assert.That(() => SnapshotManifestCodec.Decode(cut), Throws.InstanceOf<InvalidDataException>(), $"{length} bytes");
        }
        Assert.That(() => SnapshotManifestCodec.Decode([.. bytes, 0]), Throws.InstanceOf<InvalidDataException>());
    }

    [Test]
    public void Another_format_is_refused_by_name()
    {
        byte[] bytes = SnapshotManifestCodec.Encode(Specimen());
        bytes[8] = 2;
        Assert.That(() => SnapshotManifestCodec.Decode(bytes), Throws.InstanceOf<InvalidDataException>().With.Message.Contains("format 2"));
    }

    /// <summary>Random bytes, and valid ones changed and given a valid checksum again: an answer or an InvalidDataException, and no more memory than a small multiple of the input.</summary>
    [Test]
    public void The_decoder_survives_whatever_it_is_given()
    {
        Gen<byte[]> damaged =
            from manifest in Manifests
            from changes in Gen.Select(Gen.Int[0, 10_000], Gen.Byte).Array[1, 6]
            select Reseal(SnapshotManifestCodec.Encode(manifest), changes);
        Gen.OneOf(Gen.Byte.Array[0, 300], damaged).Sample(bytes =>
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            try
            {
                _ = SnapshotManifestCodec.Decode(bytes);
            }
            catch (InvalidDataException)
            {
                // Refused in words.
            }
            // 64 Ki members of 8 bytes each are what a lying count of the configuration may cost.
            Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(1024 * 1024 + 64 * bytes.Length));
        }, iter: 5_000, threads: 1);
    }

    [Test]
    public void A_manifest_that_contradicts_itself_is_refused()
    {
        SnapshotManifest good = Specimen();
        SnapshotManifest[] bad =
        [
            good with { Id = 0 },
            good with { SourceTerm = good.At.Term - 1 },
            good with { At = good.At with { Index = 0 } },
            good with { Configuration = good.Configuration with { Index = good.At.Index + 1 } },
            good with { Configuration = new ConfigurationAt(0, Of(0)) },
        ];
        foreach (SnapshotManifest one in bad)
        {
            byte[] bytes = SnapshotManifestCodec.Encode(one);
            Assert.That(() => SnapshotManifestCodec.Decode(bytes), Throws.InstanceOf<InvalidDataException>().With.Message.Contains("contradicts itself"), one.ToString());
        }
    }

    private static SnapshotManifest Specimen() =>
        new(77, 5, new MemberId(2), 9, new StatePosition(1234, 8, new byte[] { 1, 2, 3 }), new ConfigurationAt(1000, Of(3)), new byte[] { 4, 5 });

    private static Configuration Of(int members) => new(
        PlacementGoal.Majority,
        [.. Enumerable.Range(1, members).Select(i => new Member(new MemberId((ulong)i), 7, $"m{i}", "dc", MemberRole.Voter, [$"http://m{i}:1"], []))],
        []);

    private static byte[] Reseal(byte[] bytes, (int, byte)[] changes)
    {
        foreach ((int at, byte value) in changes) bytes[16 + at % (bytes.Length - 20)] = value;
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(bytes.Length - 4), ~Crc32C.Append(Crc32C.Start, bytes.AsSpan(0, bytes.Length - 4)));
        return bytes;
    }
}
