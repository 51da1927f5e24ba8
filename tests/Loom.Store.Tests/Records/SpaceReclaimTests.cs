using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>Disk space comes back by itself after compaction, while readers read and the applier applies, and a restart at any time finds everything.</summary>
internal sealed class SpaceReclaimTests
{
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-space-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    [Test]
    public void After_nine_tenths_are_compacted_the_files_are_at_most_half_as_large_again_as_what_is_live()
    {
        const int Keys = 15_000, Bytes = 1_000;
        List<string> answers;
        long index;
        using (CheckpointDirectory live = new(root))
        {
            for (int round = 0; round < 10; round++)
            {
                for (int key = 0; key < Keys; key++)
                {
                    live.Put(key, Bytes);
                }

                live.Checkpoint();
            }

            Assert.That(live.FileBytes(), Is.GreaterThan(9L * Keys * Bytes));
            bool done = false;
            Exception? failure = null;
            Thread[] readers = [.. Enumerable.Range(0, 2).Select(seed => new Thread(() => Read(live, seed, Keys, ref done, ref failure)))];
            Array.ForEach(readers, reader => reader.Start());
            live.Compact(live.Machine.Revision);
            Assert.That(() => live.Settle(), Is.LessThanOrEqualTo(3 * Keys * Bytes / 2).After(60_000, 100));
            Volatile.Write(ref done, true);
            Array.ForEach(readers, reader => reader.Join());
            Assert.That((failure, live.Fault), Is.EqualTo(((Exception?)null, (Exception?)null)));
            Assert.That(live.Machine.Current.Sizes.TotalBytes, Is.EqualTo(live.FileBytes()).Within(30).Percent);
            Assert.That(live.Machine.Current.Sizes.InUseBytes, Is.EqualTo((long)Keys * (Bytes + 70)).Within(5).Percent);
            answers = live.Answers();
            index = live.Index;
        }

        using CheckpointDirectory again = new(root);
        Assert.That(again.Index, Is.EqualTo(index));
        Assert.That(again.Answers(), Is.EqualTo(answers));
    }

    // Goal: everything that goes on in a member at once does so without an error and without a wrong record. Method: one thread applies, trims and takes checkpoints; others read ranges, hash the history,
    // and stream captures into other machines, which verify all of it.
    [Test]
    public void Applies_reads_hashes_captures_and_checkpoints_go_on_while_space_is_given_back()
    {
        using CheckpointDirectory live = new(root);
        live.ApplyMixed(1_000);
        bool done = false;
        int captured = 0;
        Exception? failure = null;
        IStateSnapshot? capture = null;
        Thread Start(Action step) => new(() =>
        {
            try
            {
                while (!Volatile.Read(ref done))
                {
                    step();
                }
            }
            catch (Exception exception)
            {
                failure ??= exception;
            }
        });
        LocalReads reads = new(live.Machine);
        Thread[] threads =
        [
            Start(() =>
            {
                reads.Range(new RangeQuery(new KeyRange(CheckpointDirectory.Key(0), CheckpointDirectory.Key(999_999))), out RangeResult? all);
                Assert.That(all!.Pairs.Max(pair => pair.ModRevision), Is.LessThanOrEqualTo(all.Revision.Number));
            }),
            Start(() => reads.Hash(0)),
            Start(() =>
            {
                if (Interlocked.Exchange(ref capture, null) is { } mine)
                {
                    Install(mine);
                    Interlocked.Increment(ref captured);
                }

                Thread.Sleep(1);
            }),
        ];
        Array.ForEach(threads, thread => thread.Start());
        long until = Environment.TickCount64 + 6_000;
        for (int i = 1; Environment.TickCount64 < until && Volatile.Read(ref failure) is null; i++)
        {
            live.ApplyMixed(live.Index + 200);
            live.Machine.TrimStep(500);
            if (i % 40 == 0 || live.Machine.WantsCheckpoint)
            {
                live.Checkpoint();
            }

            if (i % 25 == 0)
            {
                Interlocked.Exchange(ref capture, live.Machine.CaptureSnapshot(new StatePosition(live.Index, 2, default)))?.Dispose();
            }
        }

        Volatile.Write(ref done, true);
        Array.ForEach(threads, thread => thread.Join());
        Interlocked.Exchange(ref capture, null)?.Dispose();
        Assert.That((failure, live.Fault), Is.EqualTo(((Exception?)null, (Exception?)null)));
        Assert.That(captured, Is.GreaterThan(2));
        Assert.That(live.Records.BeginAddress, Is.GreaterThan(4 << 20));
    }

    private static void Install(IStateSnapshot capture)
    {
        using LoomStateMachine other = new(new KeyIndex(), () => new MemoryRecordStore());
        other.Open(default);
        using (capture)
        using (IStateInstallation installation = other.BeginInstall(capture.At, capture.Header))
        {
            for (StateChunk? chunk = capture.Read(default, 64 << 10); chunk is not null; chunk = capture.Read(chunk.Cursor, 64 << 10))
            {
                installation.Write(chunk);
            }

            installation.Complete();
            other.Switch(installation);
        }
    }

    [Test]
    public void The_log_does_not_begin_later_while_a_checkpoint_is_under_way()
    {
        using CheckpointDirectory live = new(root);
        live.Overwrite(keys: 2_000, rounds: 8, bytes: 1_000);
        live.Compact(live.Machine.Revision);
        live.Put(1);
        using ManualResetEventSlim gate = new(), entered = new();
        live.Records.Device.BeforeFlush = () =>
        {
            entered.Set();
            gate.Wait();
        };
        TaskCompletionSource<Exception?> checkpoint = live.BeginCheckpoint();
        entered.Wait();
        long begin = live.Records.BeginAddress, end = 0;
        live.Records.Reclaimer!.BeforePage = address => end = address;
        live.Settle();
        Thread.Sleep(300);
        Assert.That((live.Records.BeginAddress, end), Is.EqualTo((begin, begin)), "the first page is ready, and waits");
        gate.Set();
        Assert.That(checkpoint.Task.GetAwaiter().GetResult(), Is.Null);
        Assert.That(() => live.Records.BeginAddress, Is.GreaterThan(begin).After(10_000, 10));
    }

    // Goal: the checkpoint before the newest stays usable (H15), although the newest no longer needs the files that it needs. Method: whole files are given back between the two; the newest is damaged.
    [Test]
    public void Files_that_the_checkpoint_before_needs_stay_until_it_goes()
    {
        long index;
        List<string> answers;
        using (CheckpointDirectory live = new(root))
        {
            live.Overwrite(keys: 2_000, rounds: 20, bytes: 1_000);
            (index, answers) = (live.Index, live.Answers());
            long begin = live.Records.BeginAddress;
            live.Compact(live.Machine.Revision);
            while (live.Machine.TrimStep(1_000))
            {
            }

            Assert.That(() => live.Records.BeginAddress, Is.GreaterThan(begin + live.Records.Device.SegmentBytes).After(20_000, 10));
            live.Checkpoint();
            Assert.That(live.Index, Is.GreaterThan(index));
        }

        string newest = Directory.GetFiles(root, "checkpoint-*").Order(StringComparer.Ordinal).Last();
        byte[] bytes = File.ReadAllBytes(newest);
        bytes[^1] ^= 1;
        File.WriteAllBytes(newest, bytes);
        using CheckpointDirectory before = new(root);
        Assert.That((before.Index, before.Answers().SequenceEqual(answers)), Is.EqualTo((index, true)));
    }

    [Test]
    public void Only_what_a_checkpoint_holds_is_given_back()
    {
        using CheckpointDirectory live = new(root);
        for (int i = 0; i < 20_000; i++)
        {
            live.Put(i % 1_000, 1_000);
        }

        live.Compact(live.Machine.Revision);
        long begin = live.Records.BeginAddress;
        live.Settle();
        Thread.Sleep(200);
        Assert.That(live.Records.BeginAddress, Is.EqualTo(begin));
        live.Checkpoint();
        Assert.That(() => live.Fault ?? (object)live.Records.BeginAddress, Is.GreaterThan(begin).After(10_000, 10));
    }

    [Test]
    public void Damage_in_a_page_that_is_given_back_ends_the_store_and_names_the_place()
    {
        using CheckpointDirectory live = new(root);
        live.Overwrite(keys: 2_000, rounds: 8, bytes: 1_000);
        using (FileStream file = new(Path.Combine(root, "g-1", "hlog.log.0"), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            file.Position = 1_000_000;
            file.WriteByte((byte)~file.ReadByte());
        }

        live.Compact(live.Machine.Revision);
        live.Settle();
        Assert.That(() => live.Fault?.Message, Does.Contain("hlog.log.0 is damaged at offset").After(20_000, 20));
        Assert.That(() => live.Put(1), Throws.InstanceOf<LoomException>());
    }

    private static void Read(CheckpointDirectory live, int seed, int keys, ref bool done, ref Exception? failure)
    {
        try
        {
            Random random = new(seed);
            LocalReads reads = new(live.Machine);
            while (!Volatile.Read(ref done))
            {
                int key = random.Next(keys);
                Assert.That(reads.Get(CheckpointDirectory.Key(key)), Is.Not.Null);
                reads.Range(new RangeQuery(new KeyRange(CheckpointDirectory.Key(key), CheckpointDirectory.Key(key + 50))), out RangeResult? result);
                Assert.That(result!.Pairs, Has.Count.EqualTo(Math.Min(50, keys - key)));
            }
        }
        catch (Exception exception)
        {
            failure = exception;
        }
    }
}
