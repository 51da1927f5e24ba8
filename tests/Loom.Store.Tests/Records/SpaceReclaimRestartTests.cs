using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>A process that dies, or closes, while space is given back: the next one finds everything, no deleted key comes back, and the work goes on.</summary>
internal sealed class SpaceReclaimRestartTests
{
    private readonly Lock checkpointing = new();
    private string root = "";

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-space-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

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
                machine.Settle(random.Next(3) > 0);
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
    public void A_store_that_is_giving_space_back_closes_at_once()
    {
        for (int i = 0; i < 5; i++)
        {
            string path = Path.Combine(root, $"{i}");
            List<string> answers;
            using (CheckpointDirectory live = new(path))
            {
                live.Overwrite(keys: 2_000, rounds: 8, bytes: 1_000);
                live.Compact(live.Machine.Revision);
                live.Checkpoint();
                answers = live.Answers();
                live.Settle();
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
            live.Overwrite(Keys, rounds: 16, Bytes);
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

        using CheckpointDirectory again = new(root);
        Assert.That(again.FileBytes(), Is.GreaterThan(8L * Keys * Bytes));
        Assert.That(() => again.Settle(trims: false), Is.LessThanOrEqualTo((3L * Keys * Bytes / 2) + again.Records.Device.SegmentBytes).After(30_000, 20));
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
        live.Settle();
        if (always && live.Records.AwaitCheckpoint(0))
        {
            lock (checkpointing)
            {
                live.Checkpoint();
            }
        }

        return live.Records.BeginAddress;
    }
}
