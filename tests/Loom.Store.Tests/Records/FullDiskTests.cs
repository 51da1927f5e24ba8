using Loom.Raft;
using Loom.Raft.Log;
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
        string blocks = System.Diagnostics.Process.Start(new System.Diagnostics.ProcessStartInfo("stat", ["-c", "%b", file.FullName]) { RedirectStandardOutput = true })!.StandardOutput.ReadToEnd();
        Assert.That(long.Parse(blocks, System.Globalization.CultureInfo.InvariantCulture) * 512, Is.GreaterThanOrEqualTo(16 << 20));
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
