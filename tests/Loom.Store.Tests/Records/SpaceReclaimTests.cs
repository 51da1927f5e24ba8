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
    private readonly Lock checkpointing = new();
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

            Assert.That(FileBytes(), Is.GreaterThan(9L * Keys * Bytes));
            bool done = false;
            Exception? failure = null;
            Thread[] readers = [.. Enumerable.Range(0, 2).Select(seed => new Thread(() => Read(live, seed, Keys, ref done, ref failure)))];
            Array.ForEach(readers, reader => reader.Start());
            live.Compact(live.Machine.Revision);
            Assert.That(() => Settle(live), Is.LessThanOrEqualTo(3 * Keys * Bytes / 2).After(60_000, 100));
            Volatile.Write(ref done, true);
            Array.ForEach(readers, reader => reader.Join());
            Assert.That((failure, live.Fault), Is.EqualTo(((Exception?)null, (Exception?)null)));
            Assert.That(live.Machine.Current.Sizes.TotalBytes, Is.EqualTo(FileBytes()).Within(30).Percent);
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

    // Goal: whatever was moved, dropped or kept when a process dies, a restart finds the state, and no deleted key comes back. Method: a small state that is written over and over with deletes and
    // compactions, checkpoints at any time, also twice at one entry, and a copy of the directory at each of them, opened and compared with a machine that was never interrupted.
    [Test]
    public void A_restart_at_any_checkpoint_finds_the_state_however_far_space_was_given_back()
    {
        string live = Path.Combine(root, "live");
        List<(string Path, long Index)> copies = [];
        long given = 0;
        using (CheckpointDirectory machine = new(live))
        {
            Random random = new(7);
            for (int i = 1; i <= 60; i++)
            {
                machine.ApplyMixed(i * 1_500);
                Settle(machine, random.Next(3) > 0);
                machine.Checkpoint();
                if (i % 5 == 0 || random.Next(6) == 0)
                {
                    string copy = Path.Combine(root, $"copy{copies.Count}");
                    CheckpointDirectory.Copy(live, copy);
                    copies.Add((copy, machine.Index));
                }
            }

            given = machine.Records.Device.FirstAddress;
            Assert.That(machine.Fault, Is.Null);
        }

        Assert.That(given, Is.GreaterThan(16 << 20), "much was given back meanwhile");
        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        foreach ((string path, long index) in copies)
        {
            unbroken.ApplyMixed(index);
            using CheckpointDirectory opened = new(path);
            Assert.That(opened.Index, Is.EqualTo(index));
            Assert.That(opened.Answers(), Is.EqualTo(unbroken.Answers()), path);
            opened.ApplyMixed(index + 2_000);
            opened.Checkpoint();
        }
    }

    // The trace that the rule about tombstones is for: a put is moved behind the tombstone of its key while history still needs it; then both are compacted, and the tombstone's page comes first.
    [Test]
    public void A_tombstone_stays_until_nothing_is_left_that_it_deleted()
    {
        string live = Path.Combine(root, "live");
        List<(string Path, List<string> Answers)> copies = [];
        using (CheckpointDirectory machine = new(live))
        {
            const int Victims = 5_000_000;
            for (int i = 0; i < 50; i++)
            {
                machine.Put(Victims + i);
            }

            Fill(machine, 12 << 20);
            long before = machine.Machine.Revision;
            machine.Delete(Victims, 50);

            // New keys between the tombstones and where the puts will come to lie.
            for (int i = 0; i < 12_000; i++)
            {
                machine.Put(100_000 + i, 1_000);
            }

            machine.Compact(before);
            machine.Checkpoint();
            Assert.That(() => SettledBegin(machine), Is.GreaterThan(4 << 20).After(20_000, 20), "the puts were moved");
            machine.Compact(machine.Machine.Revision);
            Fill(machine, 24 << 20);
            machine.Compact(machine.Machine.Revision);
            machine.Records.Reclaimer!.BeforePage = _ =>
            {
                // At rest: two checkpoints that end meanwhile would delete what the first that was copied needs.
                lock (checkpointing)
                {
                    machine.Records.AwaitCheckpoint(Environment.TickCount64 + 10_000);
                    string copy = Path.Combine(root, $"copy{copies.Count}");
                    CheckpointDirectory.Copy(live, copy);
                    copies.Add((copy, []));
                }
            };
            machine.Checkpoint();
            long end = machine.Records.BeginAddress + (20 << 20);
            Assert.That(() => SettledBegin(machine, always: true), Is.GreaterThan(end).After(30_000, 5), "pages go one by one, with a checkpoint after each");
            machine.Records.Reclaimer.BeforePage = null;
        }

        Assert.That(copies, Has.Count.GreaterThan(4));
        foreach ((string path, _) in copies)
        {
            string newest = Directory.GetFiles(path, "checkpoint-*").Order(StringComparer.Ordinal).Last();
            using CheckpointDirectory opened = new(path);
            Assert.That(File.Exists(newest), Is.True, "the newest one was usable");
            Assert.That(opened.Machine.Index.TryFind(CheckpointDirectory.Key(5_000_001), opened.Machine.Revision, out _), Is.False, "it was deleted");
        }
    }

    [Test]
    public void The_log_does_not_begin_later_while_a_checkpoint_is_under_way()
    {
        using CheckpointDirectory live = new(root);
        Overwrite(live, keys: 2_000, rounds: 8, bytes: 1_000);
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
        Settle(live);
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
            Overwrite(live, keys: 2_000, rounds: 20, bytes: 1_000);
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
        Settle(live);
        Thread.Sleep(200);
        Assert.That(live.Records.BeginAddress, Is.EqualTo(begin));
        live.Checkpoint();
        Assert.That(() => live.Fault ?? (object)live.Records.BeginAddress, Is.GreaterThan(begin).After(10_000, 10));
    }

    [Test]
    public void A_crash_at_any_step_of_a_second_checkpoint_at_one_entry_leaves_a_whole_one()
    {
        string live = Path.Combine(root, "live");
        List<string> steps = [];
        using (CheckpointDirectory machine = new(live))
        {
            machine.ApplyMixed(800);
            machine.Checkpoint();
            machine.ApplyMixed(1_000);
            machine.Checkpoint();
            machine.Directory.Files.BeforeStep = step =>
            {
                CheckpointDirectory.Copy(live, Path.Combine(root, $"step{steps.Count}"));
                steps.Add(step);
            };
            machine.Checkpoint();
            machine.Checkpoint();
            machine.ApplyMixed(1_100);
            machine.Checkpoint();
            Assert.That(steps.Count(step => step == "step back"), Is.EqualTo(2));
            Assert.That(Directory.GetFiles(live).Select(Path.GetFileName).Order(), Is.EqualTo(new[] { "checkpoint-00000000000000001000", "checkpoint-00000000000000001100" }));
        }

        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        unbroken.ApplyMixed(1_000);
        List<string> answers = unbroken.Answers();
        unbroken.ApplyMixed(1_100);
        for (int i = 0; i < steps.Count; i++)
        {
            using CheckpointDirectory opened = new(Path.Combine(root, $"step{i}"));
            Assert.That(opened.Answers(), Is.EqualTo(opened.Index == 1_000 ? answers : unbroken.Answers()), $"step {i} ({steps[i]})");
        }
    }

    [Test]
    public void A_damaged_newest_of_two_checkpoints_at_one_entry_falls_back_to_the_other()
    {
        List<string> answers;
        using (CheckpointDirectory machine = new(root))
        {
            machine.ApplyMixed(1_000);
            machine.Checkpoint();
            machine.Checkpoint();
            answers = machine.Answers();
        }

        string newest = Path.Combine(root, "checkpoint-00000000000000001000");
        Assert.That(File.Exists(newest + ".before"), Is.True);
        byte[] bytes = File.ReadAllBytes(newest);
        bytes[^1] ^= 1;
        File.WriteAllBytes(newest, bytes);
        using CheckpointDirectory again = new(root);
        Assert.That(again.Answers(), Is.EqualTo(answers));
        Assert.That(File.Exists(newest), Is.False, "what cannot be used is in nobody's way");
        again.Checkpoint();
        Assert.That((File.Exists(newest), File.Exists(newest + ".before")), Is.EqualTo((true, true)));
    }

    [Test]
    public void Damage_in_a_page_that_is_given_back_ends_the_store_and_names_the_place()
    {
        using CheckpointDirectory live = new(root);
        Overwrite(live, keys: 2_000, rounds: 8, bytes: 1_000);
        using (FileStream file = new(Path.Combine(root, "g-1", "hlog.log.0"), FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite))
        {
            file.Position = 1_000_000;
            file.WriteByte((byte)~file.ReadByte());
        }

        live.Compact(live.Machine.Revision);
        Settle(live);
        Assert.That(() => live.Fault?.Message, Does.Contain("hlog.log.0 is damaged at offset").After(20_000, 20));
        Assert.That(() => live.Put(1), Throws.InstanceOf<LoomException>());
    }

    [Test]
    public void A_store_that_is_giving_space_back_closes_at_once()
    {
        for (int i = 0; i < 5; i++)
        {
            string path = Path.Combine(root, $"{i}");
            List<string> answers;
            using (CheckpointDirectory live = new(path))
            {
                Overwrite(live, keys: 2_000, rounds: 8, bytes: 1_000);
                live.Compact(live.Machine.Revision);
                live.Checkpoint();
                answers = live.Answers();
                Settle(live);
                Thread.Sleep(i * 7);
                long began = Environment.TickCount64;
                live.Dispose();
                Assert.That(Environment.TickCount64 - began, Is.LessThan(450));
                Assert.That(live.Fault, Is.Null);
            }

            using CheckpointDirectory again = new(path);
            Assert.That(again.Answers(), Is.EqualTo(answers));
        }
    }

    // Method: the store closes before, or while, space is given back after a compaction. Opened again, it is given nothing to apply and nothing to trim: only the checkpoints that it wants are taken.
    [TestCase(0)]
    [TestCase(3)]
    public void What_a_restart_broke_off_goes_on_without_a_write(int pagesBefore)
    {
        const int Keys = 2_000, Bytes = 1_000;
        List<string> answers;
        using (CheckpointDirectory live = new(root))
        {
            Overwrite(live, Keys, rounds: 16, Bytes);
            using ManualResetEventSlim reached = new(), closing = new();
            int pages = 0;
            live.Records.Reclaimer!.BeforePage = _ =>
            {
                if (pages++ == pagesBefore)
                {
                    reached.Set();
                    closing.Wait();
                }
            };
            live.Compact(live.Machine.Revision);
            while (live.Machine.TrimStep(1_000))
            {
            }

            Assert.That(reached.Wait(20_000), Is.True);
            live.Checkpoint();
            answers = live.Answers();
            live.Records.Reclaimer!.Close(0);
            closing.Set();
        }

        Assert.That(FileBytes(), Is.GreaterThan(8L * Keys * Bytes));
        using CheckpointDirectory again = new(root);
        Assert.That(() => Settle(again, trims: false), Is.LessThanOrEqualTo((3L * Keys * Bytes / 2) + again.Records.Device.SegmentBytes).After(30_000, 20));
        Assert.That((again.Fault, again.Answers()), Is.EqualTo(((Exception?)null, answers)));
    }

    /// <summary>Garbage: few keys, written over and over.</summary>
    private static void Fill(CheckpointDirectory live, int bytes)
    {
        for (int i = 0; i < bytes / 1_000; i++)
        {
            live.Put(i % 100, 950);
        }
    }

    private long SettledBegin(CheckpointDirectory live, bool always = false)
    {
        Settle(live);
        if (always && live.Records.AwaitCheckpoint(0))
        {
            lock (checkpointing)
            {
                live.Checkpoint();
            }
        }

        return live.Records.BeginAddress;
    }

    private static void Overwrite(CheckpointDirectory live, int keys, int rounds, int bytes)
    {
        for (int i = 0; i < keys * rounds; i++)
        {
            live.Put(i % keys, bytes);
        }

        live.Checkpoint();
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

    /// <summary>What a node does beside: trims, and takes the checkpoints that the machine wants. Returns the bytes of all files.</summary>
    private long Settle(CheckpointDirectory live, bool trims = true)
    {
        while (trims && live.Machine.TrimStep(1000))
        {
        }

        if (live.Machine.WantsCheckpoint)
        {
            live.Checkpoint();
        }

        return FileBytes();
    }

    // Files go only in the checkpoints that this thread takes.
    private long FileBytes() => Directory.GetFiles(root, "*", SearchOption.AllDirectories).Sum(file => new FileInfo(file).Length);
}
