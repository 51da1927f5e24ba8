using System.Diagnostics;
using System.Globalization;
using Loom.Raft;
using Loom.Raft.Log;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;
using Loom.Store.Records;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>S6 in the record store: no append finds the disk full, and what finds it full changes nothing. (With whole processes on small file systems: Loom.Scenarios.)</summary>
internal sealed class FullDiskTests
{
    private const int NoSpaceError = 28;
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-full-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    /// <summary>Goal: whatever is appended after a reservation is written into space that was taken. Method: a disk that ends somewhere; records of all sizes, each batch reserved; every write is looked at.</summary>
    [TestCase(70, 1)]
    [TestCase(3_000, 2)]
    [TestCase(400_000, 3)]
    [TestCase(FasterRecordStore.MaxRecordBytes, 4)]
    public void Nothing_is_written_where_no_space_was_taken(int largest, int seed)
    {
        RecordStoreOptions options = new() { IndexBytes = 1 << 20, MemoryBytes = 16 << 20, PageBytes = 4 << 20, SegmentBytes = 16 << 20, ReserveBytes = 0 };
        long end = 90_000_000, furthest = 0, taken = 0;
        var random = new Random(seed);
        long revision = 0;
        using (FasterRecordStore store = FasterRecordStore.Open(root, options))
        {
            store.Device.BeforeAllocate = upTo => taken = upTo <= Volatile.Read(ref end) ? Math.Max(taken, upTo) : throw new NoSpaceException("No space left on device");
            store.Device.BeforeWrite = (at, length) => InterlockedMax(ref furthest, at + length);
            int refusals = 0;
            while (refusals < 2)
            {
                int[] sizes = [.. Enumerable.Range(0, random.Next(1, Math.Max(8, 2_000_000 / largest))).Select(_ => random.Next(1, largest + 1))];
                if (!store.TryReserve(sizes.Sum(size => (long)size + store.RecordOverheadBytes + 4), sizes.Max() + store.RecordOverheadBytes + 4, out string? obstacle))
                {
                    Assert.That(obstacle, Does.Contain("No space left"));
                    refusals++;
                    Volatile.Write(ref end, refusals == 1 ? 120_000_000 : end);
                    continue;
                }

                foreach (int size in sizes)
                {
                    store.Append(new RecordKey(++revision, 0), new byte[size], revision);
                }

                // Sooner or later the whole page is written that holds the last of them. (FASTER's log begins at 64.)
                long tail = 64 + store.SizeBytes;
                Assert.That(tail + options.PageBytes - (tail % options.PageBytes), Is.LessThanOrEqualTo(taken));
            }

            Assert.That(store.SizeBytes, Is.GreaterThan(70_000_000), "most of the disk was used");
        }

        Assert.That(furthest, Is.GreaterThan(40_000_000).And.LessThanOrEqualTo(taken));
    }

    /// <summary>The file system really sets it aside.</summary>
    [Test]
    public void What_is_reserved_is_taken_from_the_file_system_and_the_files_do_not_get_longer()
    {
        using FasterRecordStore store = FasterRecordStore.Open(root);
        Assert.That(store.TryReserve(1000, 1000, out _), Is.True);
        var file = new FileInfo(Path.Combine(root, "hlog.log.0"));
        Assert.That(file.Length, Is.Zero);
        Assert.That(long.Parse(Stat("%b", file.FullName), CultureInfo.InvariantCulture) * 512, Is.GreaterThanOrEqualTo(16 << 20));
    }

    /// <summary>
    /// Goal: a start without a checkpoint gives up no space that it will need again; the log's reserve may be waiting for it. Method: the same files, as large as before and as before on the disk,
    /// and nothing of what was in them.
    /// </summary>
    [Test]
    public void What_a_life_without_a_checkpoint_had_taken_is_kept_for_the_next()
    {
        string live = Path.Combine(root, "live");
        (string Inode, long Blocks)[] before;
        List<string> expected;
        using (CheckpointDirectory first = new(live))
        {
            Fill(first);
            expected = first.Answers();
            before = Space(live);
        }

        Assert.That(before, Has.Length.GreaterThan(2));
        using CheckpointDirectory again = new(live);
        Assert.That(again.Opened, Is.Null);
        (string Inode, long Blocks)[] after = Space(live);
        Assert.That(after.Select(file => file.Inode), Is.EqualTo(before.Select(file => file.Inode)));
        Assert.That(after.Sum(file => file.Blocks), Is.GreaterThanOrEqualTo(before.Sum(file => file.Blocks)));
        foreach (string file in RecordFiles(live))
        {
            Assert.That(File.ReadAllBytes(file), Is.All.EqualTo(0), file);
        }

        Fill(again);
        Assert.That(again.Answers(), Is.EqualTo(expected));
        Assert.That(again.Fault, Is.Null);
    }

    /// <summary>Of damaged files it is not kept: the blocks under them may be what is damaged.</summary>
    [Test]
    public void The_space_of_damaged_records_is_given_up()
    {
        string live = Path.Combine(root, "live");
        using (CheckpointDirectory first = new(live))
        {
            Fill(first);
            first.Checkpoint();
        }

        foreach (string file in Directory.GetFiles(live, "checkpoint-*"))
        {
            File.WriteAllBytes(file, [1, 2, 3]);
        }

        using CheckpointDirectory again = new(live);
        Assert.That((again.Opened, RecordFiles(live).Length), Is.EqualTo(((StateCheckpoint?)null, 0)));
    }

    /// <summary>No more than a young life can need: the rest of the disk is not this member's alone.</summary>
    [Test]
    public void Files_that_no_young_life_needs_are_deleted()
    {
        for (int i = 3; i < 40; i++)
        {
            File.WriteAllBytes(Path.Combine(root, $"hlog.log.{i}"), [1, 2, 3]);
        }

        File.WriteAllBytes(Path.Combine(root, "hlog.log.41"), new byte[17 << 20]);
        using FasterRecordStore store = FasterRecordStore.Open(root);
        Assert.That(RecordFiles(root).Select(Path.GetFileName), Is.EqualTo(Enumerable.Range(0, 8).Select(i => $"hlog.log.{i}")));
    }

    private static void Fill(CheckpointDirectory directory)
    {
        for (int i = 0; i < 2_000; i++)
        {
            directory.Put(i, 8_000);
        }
    }

    private static string[] RecordFiles(string directory) => [.. Directory.GetFiles(directory, "hlog.log.*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];

    private static (string Inode, long Blocks)[] Space(string directory) =>
        [.. RecordFiles(directory).Select(file => (Stat("%i", file), long.Parse(Stat("%b", file), CultureInfo.InvariantCulture)))];

    private static string Stat(string format, string file)
    {
        using Process process = Process.Start(new ProcessStartInfo("stat", ["-c", format, file]) { RedirectStandardOutput = true })!;
        return process.StandardOutput.ReadToEnd().Trim();
    }

    /// <summary>What was not reserved (a delete of millions) waits in the device; nothing is lost by it.</summary>
    [Test]
    public void A_write_that_finds_no_space_waits_for_it()
    {
        RecordStoreOptions options = new() { IndexBytes = 1 << 20, MemoryBytes = 16 << 20, PageBytes = 4 << 20, SegmentBytes = 16 << 20 };
        Exception? fault = null;
        using FasterRecordStore store = FasterRecordStore.Open(root, options, e => fault = e);
        int full = 5;
        store.Device.BeforeWrite = (_, _) =>
        {
            if (Interlocked.Decrement(ref full) >= 0)
            {
                throw new IOException("No space left on device", NoSpaceError);
            }
        };
        for (int i = 1; i <= 20; i++)
        {
            store.Append(new RecordKey(i, 0), new byte[FasterRecordStore.MaxRecordBytes], i);
        }

        Assert.That((fault, full), Is.EqualTo(((Exception?)null, full)));
        Assert.That(full, Is.LessThan(0));
        Assert.That(store.TryRead(new RecordKey(1, 0), out ReadOnlyMemory<byte> record) && record.Length == FasterRecordStore.MaxRecordBytes, "it is cold, and it is there");
    }

    [Test]
    public void A_checkpoint_without_space_leaves_everything_as_it_was_and_the_next_one_holds_it()
    {
        string live = Path.Combine(root, "live");
        using (CheckpointDirectory first = new(live))
        {
            first.ApplyMixed(1_000);
            first.Checkpoint();
            first.ApplyMixed(2_000);
            first.Directory.Files.BeforeStep = step =>
            {
                if (step == "write")
                {
                    throw new IOException("No space left on device", NoSpaceError);
                }
            };
            RaftException refused = Assert.Throws<RaftException>(first.Checkpoint)!;
            Assert.That(refused.Code, Is.EqualTo(RaftErrorCode.NoSpace));
            Assert.That((first.Fault, Directory.GetFiles(live, "*.tmp").Length), Is.EqualTo(((Exception?)null, 0)));
            first.Directory.Files.BeforeStep = null;
            first.ApplyMixed(3_000);
            CheckpointDirectory.Copy(live, Path.Combine(root, "copy"));
            using (CheckpointDirectory copy = new(Path.Combine(root, "copy")))
            {
                Assert.That(copy.Index, Is.EqualTo(1_000), "a crash now goes back to the one before");
            }

            first.Checkpoint();
        }

        using CheckpointDirectory again = new(live);
        Assert.That((again.Opened!.At.Index, again.Opened.PreviousIndex), Is.EqualTo((3_000, 1_000)));
        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        unbroken.ApplyMixed(3_000);
        Assert.That(again.Answers(), Is.EqualTo(unbroken.Answers()));
    }

    private static void InterlockedMax(ref long target, long value)
    {
        for (long seen = Volatile.Read(ref target); value > seen; seen = Volatile.Read(ref target))
        {
            Interlocked.CompareExchange(ref target, value, seen);
        }
    }
}
