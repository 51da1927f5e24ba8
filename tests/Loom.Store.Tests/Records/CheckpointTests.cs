using System.Globalization;
using Loom.Raft;
using Loom.Raft.Consensus;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>Checkpoints of the records and what a restart makes of them.</summary>
internal sealed class CheckpointTests
{
    private string root = "";

    private string Live => Path.Combine(root, "live");

    [SetUp]
    public void SetUp() => root = Directory.CreateTempSubdirectory("loom-checkpoint-").FullName;

    [TearDown]
    public void TearDown() => Directory.Delete(root, recursive: true);

    // Goal: the rebuilt index answers like the one that was never closed. Method: puts, deletes and compactions over 600 keys, most records on the disk.
    [Test]
    public void A_state_that_was_closed_at_a_checkpoint_answers_as_before()
    {
        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        unbroken.ApplyMixed(40_000);
        using (CheckpointDirectory first = new(Live))
        {
            first.ApplyMixed(40_000);
            first.Checkpoint();
            Assert.That(first.Records.SizeBytes, Is.GreaterThan(16 << 20), "most of it is on the disk");
        }

        using CheckpointDirectory again = new(Live);
        Assert.That(again.Opened?.At.Index, Is.EqualTo(40_000));
        Assert.That(again.Opened!.At.Section.ToArray(), Is.EqualTo(CheckpointDirectory.Section(40_000)));
        Assert.That(again.Answers(), Is.EqualTo(unbroken.Answers()));
        again.ApplyMixed(42_000);
        unbroken.ApplyMixed(42_000);
        Assert.That(again.Answers(), Is.EqualTo(unbroken.Answers()), "and goes on like it");
    }

    // Goal: whatever came after the checkpoint is forgotten, its bytes in the files too. Method: the process "dies" with more applied; the replay goes another way (other values).
    [Test]
    public void What_was_applied_after_the_checkpoint_is_replayed()
    {
        using (CheckpointDirectory first = new(Live))
        {
            first.ApplyMixed(3_000);
            first.Checkpoint();
            first.ApplyMixed(30_000);
        }

        using CheckpointDirectory again = new(Live);
        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        Assert.That(again.Index, Is.EqualTo(3_000));
        unbroken.ApplyMixed(3_000);
        again.ApplyMixed(20_000, seed: 2);
        unbroken.ApplyMixed(20_000, seed: 2);
        Assert.That(again.Answers(), Is.EqualTo(unbroken.Answers()));
        again.Checkpoint();
        again.Dispose();
        using CheckpointDirectory third = new(Live);
        Assert.That(third.Answers(), Is.EqualTo(unbroken.Answers()));
    }

    [Test]
    public void A_state_without_records_has_checkpoints_too()
    {
        using (CheckpointDirectory first = new(Live))
        {
            first.Delete(1);
            first.Checkpoint();
        }

        using (CheckpointDirectory second = new(Live))
        {
            Assert.That(second.Index, Is.EqualTo(1));
            second.Put(1);
            second.Checkpoint();
        }

        using CheckpointDirectory third = new(Live);
        Assert.That(third.Index, Is.EqualTo(2));
        Assert.That(third.Machine.Index.LiveKeys, Is.EqualTo(1));
    }

    [Test]
    public void A_second_checkpoint_at_the_same_entry_makes_the_first_the_one_before()
    {
        using (CheckpointDirectory first = new(Live))
        {
            first.ApplyMixed(100);
            first.Checkpoint();
            first.ApplyMixed(200);
            first.Checkpoint();
            first.Checkpoint();
        }

        using CheckpointDirectory again = new(Live);
        Assert.That((again.Opened!.At.Index, again.Opened.PreviousIndex), Is.EqualTo((200, 200)));
        Assert.That(Directory.GetFiles(Live), Has.Length.EqualTo(2));
    }

    // Goal: a crash at any time finds a whole checkpoint. Method: the directory is copied again and again while a writer applies and takes checkpoints; each copy is opened.
    [Test]
    public void A_copy_of_the_directory_at_any_moment_opens_at_a_checkpoint()
    {
        const int copies = 12;
        using CheckpointDirectory live = new(Live);
        bool stop = false;
        Thread copier = new(() =>
        {
            for (int i = 0; i < copies && !Volatile.Read(ref stop); i++)
            {
                CheckpointDirectory.Copy(Live, Path.Combine(root, $"copy{i}"));
            }

            Volatile.Write(ref stop, true);
        });
        copier.Start();
        for (long at = 0; !Volatile.Read(ref stop) && at < 200_000;)
        {
            at += 2_000;
            live.ApplyMixed(at);
            live.Checkpoint();
        }

        Volatile.Write(ref stop, true);
        copier.Join();
        using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
        string[] taken = [.. Directory.GetDirectories(root, "copy*").OrderBy(path => path.Length).ThenBy(path => path, StringComparer.Ordinal)];
        Assert.That(taken, Is.Not.Empty);
        foreach (string copy in taken)
        {
            // The checkpoint files were copied first: the bytes that they name do not change any more.
            long newest = Directory.GetFiles(copy, "checkpoint-*").Where(f => !f.EndsWith(".tmp", StringComparison.Ordinal)).Select(f => long.Parse(f[^20..], CultureInfo.InvariantCulture)).DefaultIfEmpty(0).Max();
            using CheckpointDirectory opened = new(copy);
            Assert.That(opened.Index, Is.EqualTo(newest));
            unbroken.ApplyMixed(opened.Index);
            Assert.That(opened.Answers(), Is.EqualTo(unbroken.Answers()), $"{copy} at {opened.Index}");
        }
    }

    // Goal: a crash between any two steps of writing a checkpoint leaves the one before or the new one. Method: each step in turn throws, the directory is copied there.
    [Test]
    public void A_crash_at_any_step_of_a_checkpoint_leaves_a_whole_one()
    {
        using CheckpointDirectory live = new(Live);
        List<string> steps = [];
        live.Directory.Files.BeforeStep = step =>
        {
            CheckpointDirectory.Copy(Live, Path.Combine(root, $"step{steps.Count}"));
            steps.Add(step);
        };
        for (int i = 1; i <= 4; i++)
        {
            live.ApplyMixed(i * 500);
            live.Checkpoint();
        }

        Assert.That(steps.Take(4), Is.EqualTo(new[] { "write", "flush", "rename", "flush directory" }));
        Assert.That(steps.Count(step => step == "delete"), Is.EqualTo(2), "the third and the fourth make the first and the second superfluous");
        for (int i = 0; i < steps.Count; i++)
        {
            using CheckpointDirectory opened = new(Path.Combine(root, $"step{i}"));
            using CheckpointDirectory unbroken = new(Path.Combine(root, $"unbroken{i}"));
            unbroken.ApplyMixed(opened.Index);
            Assert.That(opened.Index % 500, Is.Zero);
            Assert.That(opened.Answers(), Is.EqualTo(unbroken.Answers()), $"step {i} ({steps[i]})");
            if (steps[i] == "delete")
            {
                Assert.That(opened.Opened!.PreviousIndex, Is.EqualTo(opened.Index - 500), "three files: the newest and the one before it count");
            }
        }
    }

    [Test]
    public void A_failed_flush_of_the_records_ends_the_store_and_leaves_the_checkpoint_before()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(500);
            live.Checkpoint();
            live.ApplyMixed(1_000);
            live.Records.Device.BeforeFlush = () => throw new IOException("no space left");
            Assert.That(live.Checkpoint, Throws.InstanceOf<IOException>());
            Assert.That(live.Fault, Is.Not.Null);
            Assert.That(() => live.Put(1), Throws.InstanceOf<LoomException>());
        }

        using CheckpointDirectory again = new(Live);
        Assert.That(again.Index, Is.EqualTo(500));
    }

    // The directory stays locked then: a checkpoint that is finished late would replace the files of whoever opened it meanwhile.
    [Test]
    public void A_store_whose_checkpoint_hangs_in_the_disk_says_at_its_close_that_it_may_still_write()
    {
        using ManualResetEventSlim flushes = new(), hang = new();
        CheckpointDirectory live = new(Live);
        live.ApplyMixed(500);
        live.Records.Device.BeforeFlush = () =>
        {
            flushes.Set();
            hang.Wait();
        };
        Task<Exception?> done = live.BeginCheckpoint().Task;
        flushes.Wait();
        Assert.That(live.Dispose, Throws.InstanceOf<IOException>().With.Message.Contains("may still write"));
        hang.Set();
        Assert.That(done.Wait(10_000), Is.True);
    }

    [Test]
    public void A_failed_write_of_a_page_is_no_checkpoint()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(500);
            live.Checkpoint();
            live.ApplyMixed(1_000);
            live.Records.Device.BeforeWrite = (_, _) => throw new IOException("no space left");
            Assert.That(live.Checkpoint, Throws.Exception);
        }

        using CheckpointDirectory again = new(Live);
        Assert.That(again.Index, Is.EqualTo(500));
    }

    [Test]
    public void A_damaged_newest_checkpoint_gives_way_to_the_one_before()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(500);
            live.Checkpoint();
            live.ApplyMixed(1_000);
            live.Checkpoint();
        }

        Flip(Newest(), 100);
        using CheckpointDirectory again = new(Live);
        Assert.That(again.Index, Is.EqualTo(500));
        Assert.That(again.Opened!.PreviousIndex, Is.Zero);
        again.ApplyMixed(1_500);
        again.Checkpoint();
        Assert.That(Directory.GetFiles(Live, "checkpoint-*"), Has.Length.EqualTo(2), "the damaged one is gone: the bytes that it named were overwritten");
    }

    [Test]
    public void With_both_damaged_the_whole_log_is_replayed_where_it_is_there_and_else_a_snapshot_is_asked_for()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(500);
            live.Checkpoint();
            live.ApplyMixed(1_000);
            live.Checkpoint();
        }

        foreach (string file in Directory.GetFiles(Live, "checkpoint-*"))
        {
            Flip(file, 100);
        }

        string[] before = [.. Directory.GetFiles(Live, "*", SearchOption.AllDirectories)];
        SnapshotNeededException? refusal = Assert.Throws<SnapshotNeededException>(() => new CheckpointDirectory(Live, CheckpointDirectory.Origin(logBase: 400)).Dispose());
        Assert.That(refusal!.MinIndex, Is.EqualTo(400));
        Assert.That(refusal.Message, Does.Contain("checkpoint-00000000000000001000 is damaged at offset"));
        Assert.That(Directory.GetFiles(Live, "*", SearchOption.AllDirectories), Is.EquivalentTo(before), "nothing was changed");
        using (CheckpointDirectory over = new(Live, CheckpointDirectory.Origin(logBase: 400) with { StartOver = true }))
        {
            Assert.That((over.Opened, over.Machine.Revision), Is.EqualTo((default(Loom.Raft.Replica.StateCheckpoint), 1)));
        }

        using CheckpointDirectory again = new(Live);
        Assert.That(again.Opened, Is.Null);
    }

    [Test]
    public void A_log_that_was_cut_and_no_checkpoint_at_all_ask_for_a_snapshot() =>
        Assert.That(() => new CheckpointDirectory(Live, CheckpointDirectory.Origin(logBase: 7)).Dispose(), Throws.InstanceOf<SnapshotNeededException>().With.Message.Contains("holds no checkpoint"));

    [Test]
    public void A_checkpoint_of_another_member_or_cluster_is_refused_by_name()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(50);
            live.Checkpoint();
        }

        foreach (Loom.Raft.Replica.StateOrigin other in new[] { CheckpointDirectory.Origin() with { Member = new MemberId(0x2002) }, CheckpointDirectory.Origin() with { ClusterId = 0xC2 } })
        {
            RaftException? refusal = Assert.Throws<RaftException>(() => new CheckpointDirectory(Live, other).Dispose());
            Assert.That(refusal!.Code, Is.EqualTo(RaftErrorCode.CannotOpen));
            Assert.That(refusal.Message, Does.Contain("belongs to the member"));
        }
    }

    private string Newest() => Directory.GetFiles(Live, "checkpoint-*").Order(StringComparer.Ordinal).Last();

    private static void Flip(string file, int at)
    {
        byte[] bytes = File.ReadAllBytes(file);
        bytes[at] ^= 1;
        File.WriteAllBytes(file, bytes);
    }
}
