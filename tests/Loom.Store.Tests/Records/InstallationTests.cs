using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Store.Model;
using Loom.Store.Reads;
using Loom.Store.Records;
using Microsoft.Extensions.Logging.Abstractions;
using NUnit.Framework;

namespace Loom.Store.Tests.Records;

/// <summary>S3 on the disk: a state that is installed beside the present one, and a crash at any time of it.</summary>
internal sealed class InstallationTests
{
    private string root = "";
    private CheckpointDirectory source = null!;

    private string Live => Path.Combine(root, "live");

    [SetUp]
    public void SetUp()
    {
        root = Directory.CreateTempSubdirectory("loom-install-").FullName;
        source = new(Path.Combine(root, "source"));
        source.ApplyMixed(8_000, seed: 5);
    }

    [TearDown]
    public void TearDown()
    {
        source.Dispose();
        Directory.Delete(root, recursive: true);
    }

    [Test]
    public void An_installed_state_replaces_the_old_one_for_good()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
            live.ApplyMixed(3_500);
            IStateInstallation installation = live.Collect(source);
            installation.Complete();
            live.ApplyMixed(4_000);
            live.Checkpoint();
            live.Switch(installation);
            Assert.That(live.Answers(), Is.EqualTo(source.Answers()));
            Assert.That(Directory.GetDirectories(Live), Has.Length.EqualTo(1), "the old records are gone");
            Assert.That(Directory.GetFiles(Live).Select(Path.GetFileName), Is.EqualTo(new[] { "checkpoint-00000000000000008000" }));
        }

        using CheckpointDirectory again = new(Live, CheckpointDirectory.Origin(logBase: 8_000));
        Assert.That((again.Opened!.At.Index, again.Opened.PreviousIndex), Is.EqualTo((8_000, 0)));
        Assert.That(again.Opened.At.Section.ToArray(), Is.EqualTo(CheckpointDirectory.Section(8_000)));
        Assert.That(again.Answers(), Is.EqualTo(source.Answers()));
        again.ApplyMixed(9_000);
        source.ApplyMixed(9_000);
        again.Checkpoint();
        Assert.That(again.Answers(), Is.EqualTo(source.Answers()));
    }

    /// <summary>Where the disk has lost the file that says what was installed, the state is taken once more; a file that cannot be opened now is waited for.</summary>
    [TestCase(5, true)]
    [TestCase(24, false)]
    public void An_installed_state_whose_file_cannot_be_read_is_no_state(int errno, bool isDamage)
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
            live.Collect(source).Complete();
        }

        RecordDirectory directory = new(Live, CheckpointDirectory.Small, null, NullLogger.Instance);
        directory.Files.BeforeStep = step =>
        {
            if (step == "read")
            {
                throw new IOException("of the test", errno);
            }
        };
        Exception refused = Assert.Catch(() => directory.Open(CheckpointDirectory.Origin(logBase: 8_000), _ => throw new InvalidOperationException()))!;
        Assert.That(refused, isDamage ? Is.TypeOf<SnapshotNeededException>() : Is.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen));
        if (isDamage)
        {
            // What follows in a cluster (S4): it starts over, and what cannot be read now is kept whole.
            using (CheckpointDirectory empty = new(Live, CheckpointDirectory.Origin(logBase: 8_000) with { StartOver = true }))
            {
                Assert.That(empty.Opened, Is.Null);
            }

            foreach (string kept in Directory.GetFileSystemEntries(Path.Combine(Live, "given-up")))
            {
                Directory.Move(kept, Path.Combine(root, Path.GetFileName(kept)));
            }

            Directory.Delete(Live, recursive: true);
            Directory.CreateDirectory(Live);
            foreach (string kept in (string[])[.. Directory.GetFiles(root), .. Directory.GetDirectories(root, "g-*")])
            {
                Directory.Move(kept, Path.Combine(Live, Path.GetFileName(kept)));
            }
        }

        using CheckpointDirectory again = new(Live, CheckpointDirectory.Origin(logBase: 8_000));
        Assert.That(again.Answers(), Is.EqualTo(source.Answers()), "nothing was changed");
    }

    /// <summary>S5: what was found to be wrong is neither read nor opened again; an installed state takes its place, also when the process dies before it could.</summary>
    [TestCase(false)]
    [TestCase(true)]
    public void A_condemned_state_is_served_by_nobody_until_another_is_installed(bool dies)
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
            live.Machine.Condemn();
            LocalReads reads = new(live.Machine);
            Assert.That(() => reads.Get("k"u8.ToArray()), Throws.TypeOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Corruption));
            live.ApplyMixed(3_100);
            live.Checkpoint();
            string copy = Path.Combine(root, "copy");
            CheckpointDirectory.Copy(Live, copy);
            Assert.That(() => new CheckpointDirectory(copy, CheckpointDirectory.Origin(logBase: 2_000)), Throws.TypeOf<SnapshotNeededException>());
            IStateInstallation installation = live.Collect(source);
            installation.Complete();
            if (!dies)
            {
                live.Switch(installation);
                Assert.That(() => reads.Get("k"u8.ToArray()), Throws.Nothing);
            }
        }

        using CheckpointDirectory again = new(Live, CheckpointDirectory.Origin(logBase: 8_000));
        Assert.That(again.Answers(), Is.EqualTo(source.Answers()));
        Assert.That(File.Exists(Path.Combine(Live, "condemned")), Is.False);
    }

    /// <summary>S4: what is there before the snapshot is nothing, and an answer from it would be "there is no such key".</summary>
    [Test]
    public void A_member_that_started_over_answers_no_read_before_its_snapshot_is_in_force()
    {
        using CheckpointDirectory empty = new(Live, CheckpointDirectory.Origin(logBase: 1_000) with { StartOver = true });
        LocalReads reads = new(empty.Machine);
        void Refuses(Action read) =>
            Assert.That(read, Throws.TypeOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.StateAwaited).And.Message.Contains("LOOM1026: this member has no state yet"));
        Refuses(() => reads.Get("k"u8.ToArray()));
        Refuses(() => reads.Range(new RangeQuery(KeyRange.Single("k"u8.ToArray())), out _));
        Refuses(() => reads.Transact(new Transaction([], [], []), out _));
        Refuses(() => reads.Hash(0));
        IStateInstallation installation = empty.Collect(source);
        installation.Complete();
        Refuses(() => reads.Get("k"u8.ToArray()));
        empty.Switch(installation);
        Assert.That(() => reads.Get("k"u8.ToArray()), Throws.Nothing);
    }

    /// <summary>All members may have the same trouble at once, and then what each of them gives up is all that there is.</summary>
    [Test]
    public void What_is_given_up_is_kept_until_a_snapshot_has_taken_its_place()
    {
        string kept = Path.Combine(Live, "given-up");
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
        }

        StateOrigin origin = CheckpointDirectory.Origin(logBase: 1_000);
        for (int start = 1; start <= 2; start++)
        {
            using CheckpointDirectory empty = new(Live, origin with { StartOver = true });
            Assert.That(empty.Opened, Is.Null);
            string copy = Path.Combine(root, $"copy-{start}");
            CheckpointDirectory.Copy(kept, copy);
            using CheckpointDirectory old = new(copy, origin);
            Assert.That(old.Opened?.At.Index, Is.EqualTo(3_000));
        }

        using CheckpointDirectory filled = new(Live, origin with { StartOver = true });
        IStateInstallation installation = filled.Collect(source);
        installation.Complete();
        Assert.That(Directory.Exists(kept), Is.True);
        filled.Switch(installation);
        Assert.That(Directory.Exists(kept), Is.False);
    }

    /// <summary>S5: whoever is being filled from it would be wrong, too, and with it be the majority.</summary>
    [Test]
    public void A_capture_of_a_condemned_state_ends()
    {
        using CheckpointDirectory live = new(Live);
        live.ApplyMixed(3_000);
        using IStateSnapshot snapshot = live.Machine.CaptureSnapshot(new StatePosition(live.Index, 2, CheckpointDirectory.Section(live.Index)));
        StateChunk first = snapshot.Read(default, 1 << 16)!;
        live.Machine.Condemn();
        Assert.That(() => snapshot.Read(first.Cursor, 1 << 16), Throws.TypeOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.Corruption));
    }

    /// <summary>S5: the state that takes the place of a condemned one is not condemned, wherever it came from: from the log, which is still whole, or from a start with nothing.</summary>
    [TestCase(false)]
    [TestCase(true)]
    public void What_follows_a_condemned_state_is_opened_again(bool startOver)
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
            live.Machine.Condemn();
        }

        using (CheckpointDirectory rebuilt = new(Live, CheckpointDirectory.Origin() with { StartOver = startOver }))
        {
            Assert.That(rebuilt.Opened, Is.Null);
            rebuilt.ApplyMixed(2_000);
            rebuilt.Checkpoint();
        }

        using CheckpointDirectory again = new(Live, CheckpointDirectory.Origin(logBase: 1_000));
        Assert.That(again.Opened?.At.Index, Is.EqualTo(2_000));
    }

    // Goal: whatever moment the process dies at, the state at the next start is the one that the log goes on from. Method: copies at each moment, opened with the base that the log may have then.
    [TestCase("collecting", 0, 3_000)]
    [TestCase("complete", 0, 3_000)]
    [TestCase("complete", 8_000, 8_000)]
    [TestCase("adopted", 8_000, 8_000)]
    [TestCase("switched", 8_000, 8_000)]
    public void A_crash_during_an_installation_leaves_the_state_that_the_log_goes_on_from(string moment, long logBase, long index)
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
            IStateInstallation installation = live.Collect(source);
            Snap("collecting");
            installation.Complete();
            Snap("complete");
            live.Directory.Files.BeforeStep = step => Snap(step == "delete" ? "adopted" : "other");
            live.Switch(installation);
            Snap("switched");
        }

        using (CheckpointDirectory opened = new(Path.Combine(root, moment), CheckpointDirectory.Origin(logBase)))
        {
            Assert.That(opened.Index, Is.EqualTo(index));
            using CheckpointDirectory unbroken = new(Path.Combine(root, "unbroken"));
            unbroken.ApplyMixed(3_000);
            Assert.That(opened.Answers(), Is.EqualTo((index == 8_000 ? source : unbroken).Answers()));
        }

        Assert.That(Directory.GetDirectories(Path.Combine(root, moment)), Has.Length.EqualTo(1));
        Assert.That(Directory.GetFiles(Path.Combine(root, moment)), Has.Length.EqualTo(1));
    }

    [Test]
    public void An_installation_that_was_not_adopted_goes_when_the_next_begins()
    {
        using CheckpointDirectory live = new(Live);
        live.ApplyMixed(3_000);
        live.Checkpoint();
        IStateInstallation first = live.Collect(source);
        first.Complete();
        first.Dispose();
        Assert.That(Directory.GetFiles(Live, "installed-*"), Has.Length.EqualTo(1));
        source.ApplyMixed(8_500);
        using IStateInstallation second = live.Collect(source);
        Assert.That((Directory.GetFiles(Live, "installed-*").Length, Directory.GetDirectories(Live).Length), Is.EqualTo((0, 2)));
    }

    [Test]
    public void A_damaged_installed_state_is_not_put_in_force()
    {
        using (CheckpointDirectory live = new(Live))
        {
            live.ApplyMixed(3_000);
            live.Checkpoint();
            using IStateInstallation installation = live.Collect(source);
            installation.Complete();
        }

        string file = Directory.GetFiles(Live, "installed-*").Single();
        byte[] bytes = File.ReadAllBytes(file);
        bytes[^1] ^= 1;
        File.WriteAllBytes(file, bytes);
        Assert.That(
            () => new CheckpointDirectory(Live, CheckpointDirectory.Origin(logBase: 8_000)).Dispose(),
            Throws.InstanceOf<SnapshotNeededException>().With.Message.Contains("installed-00000000000000008000 is damaged"));
    }

    private void Snap(string moment)
    {
        if (!Directory.Exists(Path.Combine(root, moment)))
        {
            CheckpointDirectory.Copy(Live, Path.Combine(root, moment));
        }
    }
}
