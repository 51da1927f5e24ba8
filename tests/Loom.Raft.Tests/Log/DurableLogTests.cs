using System.IO.Compression;
using CsCheck;
using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Simulation.Disk;
using Loom.Simulation.LogLevel;
using NUnit.Framework;

namespace Loom.Raft.Tests.Log;

[TestFixture]
internal sealed class DurableLogTests
{
    private const string Directory = "m/raft";
    private static readonly LogIdentity Identity = new(0xC1, new MemberId(0xA1));
    private static readonly DurableLogOptions Small = new() { SegmentBytes = 8 * 4096, ZeroFillBytes = 0, BatchBytes = 8192, TailBytes = 4096, IndexStrideBytes = 4096 };
    private static readonly Configuration Initial = new(
        PlacementGoal.Majority, [new Member(new MemberId(0xA1), 7, "a", "east", MemberRole.Voter, ["http://127.0.0.1:2380"], [])], []);

    [Test]
    public void A_random_life_loses_nothing_flushed_and_invents_nothing() =>
        Gen.ULong.Sample(seed => new LogModel(seed).Run(150), iter: 30, threads: 1);

    [Test]
    public void A_new_log_holds_the_initial_configuration_and_nothing_else()
    {
        var disk = new SimulatedDisk(1);
        RecoveredLog made = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small);
        disk.PowerCut();
        RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, 2, Small);
        foreach (RecoveredLog log in new[] { made, opened })
        {
            Assert.Multiple(() =>
            {
                Assert.That(log.Log.LastIndex, Is.Zero);
                Assert.That(log.Log.TermAt(0), Is.Zero);
                Assert.That(log.HardState, Is.EqualTo(default(HardState)));
                Assert.That(log.Configurations.Single().Index, Is.Zero);
                Assert.That(ConfigurationCodec.Encode(log.Configurations[0].Configuration), Is.EqualTo(ConfigurationCodec.Encode(Initial)));
            });
        }
    }

    /// <summary>S8: what comes before is in the state of a backup.</summary>
    [Test]
    public void A_log_may_begin_behind_an_entry()
    {
        LogStart start = new(41, 6, 5_000);
        for (int crash = 0; ; crash++)
        {
            var disk = new SimulatedDisk((ulong)crash);
            disk.CrashAfter(crash);
            bool made = false;
            try
            {
                DurableLog.Create(disk, Directory, Identity, Initial, 1, Small, start).Log.Dispose();
                made = true;
            }
            catch (SimulatedCrashException)
            {
            }

            disk.PowerCut();

            // Whoever has not been told that the log is there makes it again, over whatever is left.
            RecoveredLog log = made ? DurableLog.Open(disk, Directory, Identity, 2, Small) : DurableLog.Create(disk, Directory, Identity, Initial, 2, Small, start);
            Assert.Multiple(() =>
            {
                Assert.That((log.Log.BaseIndex, log.Log.LastIndex, log.Log.TermAt(41)), Is.EqualTo((41L, 41L, 6L)));
                Assert.That(log.HardState, Is.EqualTo(new HardState(6, MemberId.None)), "it has been in the term of what it begins behind");
                Assert.That(log.Configurations.Single().Index, Is.EqualTo(41));
                Assert.That(log.LastClusterTime, Is.EqualTo(5_000));
            });
            log.Log.Append([new Entry(42, 7, EntryKind.NoOp, 6_000, default)]);
            Write(log.Log);
            log.Log.Dispose();
            disk.PowerCut();
            RecoveredLog again = DurableLog.Open(disk, Directory, Identity, 3, Small);
            Assert.That((again.Log.BaseIndex, again.Log.LastIndex, again.Log.TermAt(41), again.Log.TermAt(42), again.LastClusterTime), Is.EqualTo((41L, 42L, 6L, 7L, 6_000L)));
            if (made)
                return;
        }
    }

    [Test]
    public void What_is_appended_during_a_flush_shares_the_next_one()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1)]);
        LogBatch first = log.TakeBatch()!;
        first.Write();
        for (int i = 2; i <= 20; i++)
            log.Append([Make(i)]);
        Assert.That(log.TakeBatch(), Is.Null, "one batch is out at a time");
        Assert.That((log.WriteSequence, log.DurableSequence, log.DurableIndex), Is.EqualTo((2L, 0L, 0L)));
        first.Flush();
        log.Completed(first.Sequence, null);
        Assert.That((log.DurableSequence, log.DurableIndex), Is.EqualTo((1L, 1L)));

        long flushes = disk.Flushes;
        Write(log);
        Assert.That((log.DurableSequence, log.DurableIndex, log.HasWork), Is.EqualTo((2L, 20L, false)));
        Assert.That(disk.Flushes - flushes, Is.EqualTo(1), "nineteen entries, one flush");
    }

    [Test]
    public void A_batch_is_capped_and_the_rest_waits()
    {
        DurableLog log = DurableLog.Create(new SimulatedDisk(1), Directory, Identity, Initial, 1, Small).Log;
        for (int i = 1; i <= 30; i++)
            log.Append([Make(i, size: 1000)]);
        LogBatch batch = log.TakeBatch()!;
        Assert.That(batch.Entries, Has.Count.EqualTo(8), "8 KiB and the entry that fills it");
        batch.Write();
        batch.Flush();
        log.Completed(batch.Sequence, null);
        Assert.That(log.DurableIndex, Is.EqualTo(8));
        Drain(log);
        Assert.That(log.DurableIndex, Is.EqualTo(30));
    }

    [Test]
    public void An_old_completion_does_not_make_an_overwritten_entry_durable()
    {
        DurableLog log = DurableLog.Create(new SimulatedDisk(1), Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1), Make(2), Make(3)]);
        LogBatch old = log.TakeBatch()!;
        old.Write();
        log.Append([Make(2, term: 2), Make(3, term: 2)]);
        old.Flush();
        log.Completed(old.Sequence, null);
        Assert.That(log.DurableIndex, Is.EqualTo(1), "entries 2 and 3 were written again since");
        Assert.That(log.TermAt(3), Is.EqualTo(2));
        Write(log);
        Assert.That(log.DurableIndex, Is.EqualTo(3));
    }

    /// <summary>The hint is of the log in memory; a batch that was emptied by a conflict does not bring what makes it true.</summary>
    [Test]
    public void A_commit_hint_never_comes_before_the_entries_that_it_speaks_of()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        for (int i = 1; i <= 16; i++)
            log.Append([Make(i, size: 1000)]);
        LogBatch first = log.TakeBatch()!;
        first.Write();
        first.Flush();
        log.Append([Make(5, term: 2), Make(6, term: 2)]);
        log.SaveCommitHint(6);
        log.Completed(first.Sequence, null);
        Assert.That(log.DurableIndex, Is.EqualTo(4));
        Write(log);
        disk.PowerCut();
        RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, 2, Small);
        Assert.That((opened.Log.LastIndex, opened.Log.TermAt(6), opened.CommitHint), Is.EqualTo((8L, 1L, 4L)), "entries 5 and 6 of term 1 were never committed");
    }

    [Test]
    public void Entries_that_left_memory_are_read_back()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        for (int i = 1; i <= 400; i++)
        {
            log.Append([Make(i, size: 300)]);
            if (i % 7 == 0)
                Write(log);
        }

        Drain(log);
        log.AdvanceApplied(400);
        for (int round = 0; round < 2; round++)
        {
            Assert.That(log.Read(1, 400, long.MaxValue / 2).Select(e => e.Index), Is.EqualTo(Enumerable.Range(1, 400).Select(i => (long)i)));
            Assert.That(log.Read(123, 400, 1000).Select(e => e.Index), Is.EqualTo(new long[] { 123, 124, 125 }));
            Assert.That(log.Read(399, 400, 0), Has.Count.EqualTo(1), "at least one");
            Assert.That(log.Read(200, 200, 0)[0].Body.Span[0], Is.EqualTo(200));
            log.Dispose();
            log = DurableLog.Open(disk, Directory, Identity, 5, Small).Log;
        }
    }

    /// <summary>What retention compares with its bounds: segments as they lie on the disk, so never less than the entries themselves.</summary>
    [Test]
    public void The_bytes_above_an_entry_are_those_of_the_segments_from_it_on()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        for (int i = 1; i <= 200; i++)
        {
            log.Append([Make(i, size: 1000)]);
            if (i % 3 == 0)
                Write(log);
        }

        long former = long.MaxValue;
        for (int i = 0; i <= 200; i++)
        {
            long bytes = log.BytesAbove(i);
            Assert.That(bytes, Is.InRange((200 - i) * 1000, former), $"above {i}");
            Assert.That(bytes, Is.LessThan((200 - i) * 2800 + (2 * Small.SegmentBytes)), $"above {i}");
            former = bytes;
        }

        Assert.That((log.BytesAbove(200), log.PendingBytes), Is.EqualTo((0L, 2068L)), "two of them are not written yet");
    }

    [Test]
    public void An_entry_larger_than_a_segment_gets_one_of_its_own()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1), Make(2, size: 300_000), Make(3)]);
        Drain(log);
        disk.PowerCut();
        log = DurableLog.Open(disk, Directory, Identity, 2, Small).Log;
        Assert.That(log.Read(1, 3, long.MaxValue / 2).Select(e => e.Body.Length), Is.EqualTo(new[] { 40, 300_000, 40 }));
    }

    [Test]
    public void Recycled_segments_carry_the_vote_and_the_configurations_on()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.SaveHardState(new HardState(3, new MemberId(0xB2)));
        byte[] second = ConfigurationCodec.Encode(Initial with { Goal = PlacementGoal.TwoDatacenters });
        log.Append([new Entry(1, 3, EntryKind.Configuration, 1, second)]);
        for (int i = 2; i <= 300; i++)
        {
            log.Append([Make(i, term: 3, size: 900)]);
            Drain(log);
        }

        while (log.PrepareAhead())
        {
        }

        int before = disk.ListFiles(Directory).Count;
        log.TruncateBelow(290);
        Assert.That(log.PrepareAhead(), Is.False, "nothing is freed before the new base is flushed");
        Drain(log);
        while (log.PrepareAhead())
        {
        }

        Assert.That(disk.ListFiles(Directory), Has.Count.LessThan(before / 2));
        Assert.That(disk.ListFiles(Directory).Any(n => n.StartsWith("spare-", StringComparison.Ordinal)), "a freed segment waits to be used again");
        disk.PowerCut();
        RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, 9, Small);
        Assert.Multiple(() =>
        {
            Assert.That((opened.Log.BaseIndex, opened.Log.LastIndex, opened.Log.TermAt(290)), Is.EqualTo((290L, 300L, 3L)));
            Assert.That(opened.HardState, Is.EqualTo(new HardState(3, new MemberId(0xB2))));
            Assert.That(opened.Configurations.Single().Configuration.Goal, Is.EqualTo(PlacementGoal.TwoDatacenters));
        });
    }

    [Test]
    public void A_log_goes_on_from_a_snapshot_that_it_does_not_hold()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1), new Entry(2, 1, EntryKind.Configuration, 20, ConfigurationCodec.Encode(Initial)), .. Enumerable.Range(3, 40).Select(i => Make(i, size: 900))]);
        Drain(log);
        log.Append([Make(43)]);
        log.SaveCommitHint(20);

        var installed = new ConfigurationAt(17, Initial with { Goal = PlacementGoal.TwoDatacenters });
        log.Install(30, 5, installed, 777);
        Assert.Multiple(() =>
        {
            Assert.That((log.BaseIndex, log.LastIndex, log.TermAt(30)), Is.EqualTo((30L, 30L, 5L)));
            Assert.That(log.DurableIndex, Is.EqualTo(20), "a crash now would bring the old log back, of which only what is committed is the same history");
            Assert.That(log.WriteSequence, Is.GreaterThan(log.DurableSequence + 1), "what waited before it does not share its batch");
        });
        log.Append([Make(31, term: 6)]);
        Write(log);
        Assert.That(log.DurableIndex, Is.LessThan(30), "the batch before it");
        Write(log);
        Assert.That((log.DurableSequence, log.DurableIndex), Is.EqualTo((log.WriteSequence, 31L)));
        Assert.That(log.Read(31, 31, 0).Single().Term, Is.EqualTo(6));
        Assert.That(() => log.Read(30, 31, 0), Throws.InstanceOf<ArgumentOutOfRangeException>());

        for (int i = 32; i <= 60; i++)
        {
            log.Append([Make(i, term: 6, size: 900)]);
            Write(log);
        }

        while (log.PrepareAhead())
        {
        }

        disk.PowerCut();
        RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, 2, Small);
        Assert.That(disk.ListFiles(Directory), Does.Not.Contain("0000000000000002.log"), "the old entries are gone");
        Assert.That((opened.Log.BaseIndex, opened.Log.LastIndex, opened.Log.TermAt(30)), Is.EqualTo((30L, 60L, 5L)));
        Assert.That(opened.Configurations.Single().Index, Is.EqualTo(17));
        Assert.That(opened.Configurations[0].Configuration.Goal, Is.EqualTo(PlacementGoal.TwoDatacenters));
        Assert.That(opened.LastClusterTime, Is.EqualTo(600));
    }

    /// <summary>Cluster time comes from the last entry; here none is left, and the next leader's time must not begin again at zero (T5).</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void A_log_without_entries_knows_its_cluster_time_and_configuration(bool installed)
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([new Entry(1, 1, EntryKind.Configuration, 10, ConfigurationCodec.Encode(Initial with { Goal = PlacementGoal.TwoDatacenters })), Make(2)]);
        Drain(log);
        if (installed)
            log.Install(2, 3, new ConfigurationAt(1, Initial with { Goal = PlacementGoal.TwoDatacenters }), 20);
        else
            log.TruncateBelow(2);
        for (ulong life = 2; life < 6; life++)
        {
            Drain(log);
            log.SaveHardState(new HardState((long)life + 1, default));
            Drain(log);
            while (log.PrepareAhead())
            {
            }

            disk.PowerCut();
            RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, life, Small);
            log = opened.Log;
            Assert.That((log.BaseIndex, log.LastIndex, log.DurableIndex, log.TermAt(2)), Is.EqualTo((2L, 2L, 2L, installed ? 3L : 1L)));
            Assert.That(opened.LastClusterTime, Is.EqualTo(20));
            Assert.That(opened.Configurations.Single().Index, Is.EqualTo(1));
            Assert.That(opened.Configurations[0].Configuration.Goal, Is.EqualTo(PlacementGoal.TwoDatacenters));
        }
    }

    [Test]
    public void A_log_keeps_what_follows_a_snapshot_that_it_holds()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1), Make(2)]);
        Drain(log);
        log.Append([Make(3), Make(4), Make(5)]);
        log.Install(4, 1, new ConfigurationAt(0, Initial), 40);
        Assert.That((log.BaseIndex, log.LastIndex, log.DurableIndex), Is.EqualTo((4L, 5L, 2L)), "the entry 4 itself is not flushed");
        Drain(log);
        Assert.That(log.DurableIndex, Is.EqualTo(5));
        disk.PowerCut();
        RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, 2, Small);
        Assert.That((opened.Log.BaseIndex, opened.Log.LastIndex, opened.LastClusterTime), Is.EqualTo((4L, 5L, 50L)));
        Assert.That(opened.Log.Read(5, 5, 0).Single().Index, Is.EqualTo(5));
    }

    /// <summary>Stops the machine inside of every file operation from an install to the freeing of the old segments, by a kill and by a power cut.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void A_crash_at_any_operation_of_an_install_leaves_the_former_log_or_the_snapshot(bool powerCut)
    {
        bool former = false, anew = false, crashed = true;
        for (int operations = 0; crashed; operations++)
        {
            var disk = new SimulatedDisk((ulong)operations);
            DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
            log.Append([.. Enumerable.Range(1, 60).Select(i => Make(i, size: 900))]);
            Drain(log);
            log.Append([Make(61)]);
            disk.CrashAfter(operations);
            try
            {
                log.Install(40, 3, new ConfigurationAt(17, Initial with { Goal = PlacementGoal.TwoDatacenters }), 777);
                log.SaveCommitHint(40);
                for (int i = 41; i <= 60; i++)
                {
                    Drain(log);
                    while (log.PrepareAhead())
                    {
                    }

                    log.Append([Make(i, term: 3, size: 900)]);
                }

                crashed = false;
            }
            catch (SimulatedCrashException)
            {
            }

            for (ulong life = 2; life < 4; life++)
            {
                if (powerCut)
                    disk.PowerCut();
                else
                    disk.Kill();
                RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, life, Small);
                bool old = opened.Log.BaseIndex == 0;
                Assert.That(old ? opened.Log.LastIndex is 60 or 61 : opened.Log.BaseIndex == 40, $"crash after {operations} operations: {opened.Log.BaseIndex} to {opened.Log.LastIndex}");
                Assert.That(opened.Configurations.Single().Index, Is.EqualTo(old ? 0 : 17));
                Assert.That(opened.CommitHint, old ? Is.Zero : Is.LessThanOrEqualTo(40));
                Assert.That(opened.LastClusterTime, Is.EqualTo(!old && opened.Log.LastIndex == 40 ? 777 : opened.Log.LastIndex * 10));
                (former, anew) = (former | old, anew | !old);
                opened.Log.Dispose();
            }
        }

        Assert.That(former && anew, "both were seen");
    }

    /// <summary>Segments written before there were snapshots (Formats/segments-1.zip): 40 entries, a vote in term 3, a configuration at 1.</summary>
    [Test]
    public void A_log_of_format_1_is_read_and_goes_on_in_the_present_format()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory(Directory);
        using (ZipArchive zip = ZipFile.OpenRead(Path.Combine(TestContext.CurrentContext.TestDirectory, "Log", "Formats", "segments-1.zip")))
        {
            foreach (ZipArchiveEntry entry in zip.Entries)
            {
                using IFile file = disk.Open($"{Directory}/{entry.Name}", create: true);
                using var bytes = new MemoryStream();
                using Stream stream = entry.Open();
                stream.CopyTo(bytes);
                file.Write(0, bytes.ToArray());
                file.Flush();
            }
        }

        disk.FlushDirectory(Directory);
        for (ulong life = 1; life <= 3; life++)
        {
            RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, life, Small);
            long last = 39 + (long)life;
            Assert.That((opened.Log.LastIndex, opened.HardState, opened.LastClusterTime), Is.EqualTo((last, new HardState(3, new MemberId(0xB2)), last * 10)));
            Assert.That(opened.Configurations.Select(c => c.Index), Is.EqualTo(new long[] { 0, 1 }));
            Assert.That(opened.Log.Read(1, 40, long.MaxValue / 2).Select(e => (int)e.Body.Span[0]).Skip(1), Is.EqualTo(Enumerable.Range(2, 39)));
            opened.Log.Append([Make(last + 1, term: 3)]);
            Drain(opened.Log);
            opened.Log.Dispose();
        }
    }

    [Test]
    public void The_loop_appends_while_the_writer_writes()
    {
        string directory = Path.Combine(Path.GetTempPath(), "loom-log-" + Guid.NewGuid().ToString("N"));
        try
        {
            const int Count = 20_000;
            string raft = directory + "/raft";
            DurableLog log = DurableLog.Create(PosixFileSystem.Instance, raft, Identity, Initial, 1, new DurableLogOptions { SegmentBytes = 1 << 20, BatchBytes = 64 << 10 }).Log;
            using var toWriter = new System.Collections.Concurrent.BlockingCollection<LogBatch>();
            using var fromWriter = new System.Collections.Concurrent.BlockingCollection<LogBatch>();
            var writer = new Thread(() =>
            {
                foreach (LogBatch batch in toWriter.GetConsumingEnumerable())
                {
                    batch.Write();
                    batch.Flush();
                    fromWriter.Add(batch);
                    log.PrepareAhead();
                }
            });
            writer.Start();
            int batches = 0;
            for (int next = 1; log.DurableIndex < Count;)
            {
                for (int i = 0; i < 50 && next <= Count; i++, next++)
                    log.Append([Make(next, size: 100)]);
                if (log.TakeBatch() is { } batch)
                    toWriter.Add(batch);
                if (fromWriter.TryTake(out LogBatch? done, next <= Count ? 0 : 10_000))
                {
                    log.Completed(done.Sequence, null);
                    batches++;
                }
            }

            toWriter.CompleteAdding();
            writer.Join();
            log.Dispose();
            log = DurableLog.Open(PosixFileSystem.Instance, raft, Identity, 2, new DurableLogOptions()).Log;
            long at = 0;
            while (at < Count)
            {
                foreach (Entry entry in log.Read(at + 1, Count, 1 << 20))
                    Assert.That((entry.Index, entry.Body.Span[0]), Is.EqualTo((++at, (byte)at)));
            }

            Assert.That(batches, Is.LessThan(Count / 20), "entries share flushes");
            log.Dispose();
        }
        finally
        {
            System.IO.Directory.Delete(directory, recursive: true);
        }
    }

    private static Entry Make(long index, long term = 1, int size = 40)
    {
        byte[] body = new byte[size];
        body[0] = (byte)index;
        return new Entry(index, term, EntryKind.Command, index * 10, body);
    }

    private static void Write(DurableLog log)
    {
        LogBatch batch = log.TakeBatch()!;
        batch.Write();
        batch.Flush();
        log.Completed(batch.Sequence, null);
    }

    private static void Drain(DurableLog log)
    {
        while (log.HasWork)
            Write(log);
    }
}
