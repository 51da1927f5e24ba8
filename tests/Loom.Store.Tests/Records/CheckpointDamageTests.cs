using System.Buffers.Binary;
using Loom.Store.Mvcc;
using Loom.Store.Records;
using Loom.Store.Snapshots;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>Every bit, sector and length of a small checkpoint and its record file: damage is found before FASTER sees it, or it changes nothing.</summary>
internal sealed class CheckpointDamageTests
{
    private string root = "";

    private string Live => Path.Combine(root, "live");

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-damage-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    [Test]
    public void Every_flipped_bit_of_a_checkpoint_file_is_found()
    {
        (CheckpointFiles files, long index, _) = Specimen(6);
        byte[] whole = File.ReadAllBytes(files.PathOf(new(index)));
        for (int bit = 0; bit < whole.Length * 8; bit++)
        {
            byte[] bytes = [.. whole];
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            Assert.That(() => CheckpointFile.Decode("", bytes), Throws.InstanceOf<CheckpointDamagedException>(), $"bit {bit}");
        }

        for (int length = 0; length < whole.Length; length++)
        {
            byte[] bytes = whole[..length];
            Assert.That(() => CheckpointFile.Decode("", bytes), Throws.InstanceOf<CheckpointDamagedException>(), $"{length} bytes");
        }

        File.WriteAllBytes(files.PathOf(new(index + 1)), whole);
        Assert.That(() => files.Read(new(index + 1)), Throws.InstanceOf<CheckpointDamagedException>().With.Message.Contains("put in the place of another"));
    }

    // Goal: no flipped bit of a record file ends the process or changes an answer. Method: the scan judges each; what it lets pass is opened with FASTER and must answer as before.
    [Test]
    public void Every_flipped_bit_of_a_record_file_is_found_or_changes_nothing()
    {
        (CheckpointFiles files, long index, List<string> answers) = Specimen(6);
        CheckpointFile checkpoint = files.Read(new(index));
        string path = Directory.GetFiles(Live, "hlog.log.0", SearchOption.AllDirectories).Single();
        byte[] whole = File.ReadAllBytes(path);
        LogExtent extent = LogExtent.Of("", checkpoint.Log);
        int found = 0, harmless = 0;

        // Every one where there is time (LOOM_ROUNDS, .ci/run); every third, at each place in a byte, in a plain run.
        int step = TestRun.IsThorough ? 1 : 3;
        for (int bit = 0; bit < whole.Length * 8; bit += step)
        {
            byte[] bytes = [.. whole];
            bytes[bit / 8] ^= (byte)(1 << (bit % 8));
            File.WriteAllBytes(path, bytes);
            if (!Accepts(checkpoint, path))
            {
                found++;
                continue;
            }

            // Outside of the records nobody reads: a sample of those is enough.
            bool inRecords = bit / 8 >= extent.Begin && bit / 8 < extent.End;
            if (inRecords || bit % 509 == 0)
            {
                harmless += inRecords ? 1 : 0;
                using CheckpointDirectory opened = new(Live);
                Assert.That((opened.Index, opened.Answers()), Is.EqualTo((index, answers)), $"bit {bit}");
            }
        }

        TestContext.Out.WriteLine($"{found} found, {harmless} harmless, of {(extent.End - extent.Begin) * 8} bits in records");
        Assert.That(harmless, Is.LessThan((extent.End - extent.Begin) * 8 / 20), "the harmless ones are FASTER's own notes and the bytes that fill a record up");
    }

    [Test]
    public void Zeroed_sectors_missing_ends_and_swapped_files_are_found()
    {
        (CheckpointFiles files, long index, List<string> answers) = Specimen(60_000);
        CheckpointFile checkpoint = files.Read(new(index));
        string[] segments = [.. Directory.GetFiles(Live, "hlog.log.*", SearchOption.AllDirectories).OrderBy(path => path.Length).ThenBy(path => path, StringComparer.Ordinal)];
        Assert.That(segments, Has.Length.GreaterThan(3));
        LogExtent extent = LogExtent.Of("", checkpoint.Log);
        string log = segments[0][..^2];
        Random random = new(5);
        for (int i = 0; i < 40; i++)
        {
            long at = random.NextInt64(extent.Begin / 512, extent.End / 512) * 512;
            string path = $"{log}.{at / checkpoint.SegmentBytes}";
            byte[] whole = File.ReadAllBytes(path);
            byte[] bytes = [.. whole];
            Array.Clear(bytes, (int)(at % checkpoint.SegmentBytes), 512);
            File.WriteAllBytes(path, bytes);
            Assert.That(Accepts(checkpoint, path), Is.EqualTo(bytes.AsSpan().SequenceEqual(whole)), $"sector at {at}");
            File.WriteAllBytes(path, whole[..(int)(at % checkpoint.SegmentBytes)]);
            Assert.That(Accepts(checkpoint, path), Is.False, $"cut at {at}");
            File.WriteAllBytes(path, whole);
        }

        Assert.That(Accepts(checkpoint, segments[0]), Is.True);
        File.Move(segments[1], segments[1] + ".aside");
        Assert.That(Accepts(checkpoint, segments[0]), Is.False, "a missing file");
        File.Move(segments[2], segments[1]);
        File.Move(segments[1] + ".aside", segments[2]);
        if (Accepts(checkpoint, segments[0]))
        {
            // Records are told by their revisions, not by their place.
            using CheckpointDirectory opened = new(Live);
            Assert.That(opened.Answers(), Is.EqualTo(answers));
        }
    }

    // A chain of FASTER's hash table that leads anywhere else makes it take arbitrary bytes for a record. Method: a hash table so small that there are chains; every bit of each link.
    [Test]
    public void Every_flipped_bit_of_a_hash_chain_is_found()
    {
        RecordStoreOptions tiny = new() { IndexBytes = 1 << 14, MemoryBytes = 16 << 20, PageBytes = 4 << 20, SegmentBytes = 16 << 20 };
        (CheckpointFiles files, long index, List<string> answers) = Specimen(9_000, tiny);
        CheckpointFile checkpoint = files.Read(new(index));
        string path = Directory.GetFiles(Live, "hlog.log.0", SearchOption.AllDirectories).Single();
        byte[] whole = File.ReadAllBytes(path);
        List<int> linked = [];
        LogExtent extent = LogExtent.Of("", checkpoint.Log);
        for (int at = (int)extent.Begin; at < extent.End && linked.Count < 3;)
        {
            ulong word = BinaryPrimitives.ReadUInt64LittleEndian(whole.AsSpan(at));
            if ((word & 0xFFFF_FFFF_FFFF) >= (ulong)extent.Begin)
            {
                linked.Add(at);
            }

            at += (28 + BinaryPrimitives.ReadInt32LittleEndian(whole.AsSpan(at + 24)) + 7) & ~7;
        }

        Assert.That(linked, Is.Not.Empty);
        foreach (int at in linked)
        {
            for (int bit = 0; bit < 48; bit++)
            {
                byte[] bytes = [.. whole];
                bytes[at + (bit / 8)] ^= (byte)(1 << (bit % 8));
                File.WriteAllBytes(path, bytes);
                Assert.That(Accepts(checkpoint, path), Is.False, $"bit {bit} of the link at {at}");
            }
        }

        File.WriteAllBytes(path, whole);
        using CheckpointDirectory opened = new(Live, options: tiny);
        Assert.That(opened.Answers(), Is.EqualTo(answers));
    }

    private static bool Accepts(CheckpointFile checkpoint, string segment)
    {
        StateHeader header = StateHeader.Decode(checkpoint.Stored.State.Span);
        IndexRebuild rebuild = new(header.State.Revision, header.State.CompactRevision, header.Content, header.State.Leases);
        try
        {
            new RecordLogScan(Path.ChangeExtension(segment, null), checkpoint.PageBytes, checkpoint.SegmentBytes, LogExtent.Of("", checkpoint.Log)).Run(rebuild);
            rebuild.Finish();
            return true;
        }
        catch (LoomException e) when (e.Code == LoomErrorCode.Corruption)
        {
            return false;
        }
    }

    private (CheckpointFiles Files, long Index, List<string> Answers) Specimen(int entries, RecordStoreOptions? options = null)
    {
        using CheckpointDirectory live = new(Live, options: options);
        for (int i = 0; i < entries; i++)
        {
            if (i == 4)
            {
                live.Delete(1);
            }
            else
            {
                live.Put(i % 700, 20 + (i % 300));
            }
        }

        live.Checkpoint();
        return (live.Directory.Files, live.Index, live.Answers());
    }
}
