using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Simulation.Disk;
using NUnit.Framework;

namespace Loom.Raft.Tests.Log;

/// <summary>Damage is refused by name, a torn tail is cut, and the first I/O error is the last thing a log does (L1, L4).</summary>
[TestFixture]
internal sealed class LogDamageTests
{
    private const string Directory = "m/raft";
    private static readonly LogIdentity Identity = new(0xC1, new MemberId(0xA1));
    private static readonly DurableLogOptions Small = new() { SegmentBytes = 4 * 4096, ZeroFillBytes = 0, BatchBytes = 4096 };
    private static readonly Configuration Initial = new(
        PlacementGoal.Majority, [new Member(new MemberId(0xA1), 7, "a", "east", MemberRole.Voter, ["http://127.0.0.1:2380"], [])], []);

    [Test]
    public void No_flipped_bit_changes_what_is_read([Values] bool fromSnapshot)
    {
        SimulatedDisk disk = Flushed(out List<Entry> entries, fromSnapshot);
        int refused = 0;
        foreach (string name in disk.ListFiles(Directory))
        {
            byte[] bytes = disk.ReadAll($"{Directory}/{name}");
            for (int at = 0; at < bytes.Length; at++)
            {
                // Every bit of what was written, and one in 128 bytes of what is only zeros.
                for (int bit = 0; bit < 8; bit++)
                {
                    if (bytes[at] == 0 && (at % 128 != 0 || bit != at / 128 % 8))
                        continue;
                    SimulatedDisk damaged = disk.Clone(1);
                    damaged.FlipBit($"{Directory}/{name}", at, bit);
                    if (!OpensAs(damaged, entries, $"{name} at {at}.{bit}"))
                        refused++;
                    else
                        Assert.That(name is SyncedEnd.FileName, $"{name} at {at}.{bit} is damaged below the synced end and not refused");
                }
            }
        }

        Assert.That(refused, Is.GreaterThan(1000));
    }

    [Test]
    public void A_log_cut_anywhere_below_its_synced_end_is_refused()
    {
        SimulatedDisk disk = Flushed(out List<Entry> entries);
        foreach (string name in disk.ListFiles(Directory).Where(n => n != SyncedEnd.FileName))
        {
            int length = disk.ReadAll($"{Directory}/{name}").Length;
            for (int cut = 0; cut < length; cut += cut % 4096 < 300 ? 1 : 97)
            {
                SimulatedDisk damaged = disk.Clone(1);
                damaged.Cut($"{Directory}/{name}", cut);
                Assert.That(OpensAs(damaged, entries, $"{name} cut at {cut}"), Is.False, $"{name} cut at {cut} is accepted");
            }
        }
    }

    [Test]
    public void Damage_names_the_file_the_offset_and_the_remedy()
    {
        SimulatedDisk disk = Flushed(out _);
        disk.FlipBit($"{Directory}/0000000000000002.log", 8192 + 60, 3);
        CorruptionException refused = Assert.Throws<CorruptionException>(() => DurableLog.Open(disk, Directory, Identity, 3, Small))!;
        Assert.Multiple(() =>
        {
            Assert.That(refused.File, Is.EqualTo($"{Directory}/0000000000000002.log"));
            Assert.That(refused.Offset, Is.InRange(8192, 8192 + 60));
            Assert.That(refused.Message, Does.Contain("Restore a backup").And.Contain("start again with the same flags"));
        });
    }

    [Test]
    public void A_missing_file_is_damage([Values("synced", "0000000000000002.log", "0000000000000003.log", "all but the newest")] string name)
    {
        SimulatedDisk disk = Flushed(out _);
        DurableLog log = DurableLog.Open(disk, Directory, Identity, 3, Small).Log;
        log.Append([Make(4)]);
        Drain(log);
        log.Dispose();
        string[] missing = name == "all but the newest" ? ["0000000000000001.log", "0000000000000002.log"] : [name];
        foreach (string file in missing)
            disk.Delete($"{Directory}/{file}");
        Assert.Throws<CorruptionException>(() => DurableLog.Open(disk, Directory, Identity, 3, Small));
    }

    [Test]
    public void Damage_behind_a_power_cut_that_lost_the_synced_end_is_still_found_by_what_a_later_batch_vouches_for()
    {
        SimulatedDisk disk = Flushed(out List<Entry> entries);

        // The side file says what it said when the segment was begun; the batches behind it are flushed.
        var older = new SimulatedDisk(1);
        DurableLog.Create(older, Directory, Identity, Initial, 1, Small).Log.Dispose();
        disk.Overwrite($"{Directory}/synced", 0, older.ReadAll($"{Directory}/synced"));
        Assert.That(OpensAs(disk.Clone(1), entries, "an old synced end"), "an older synced end alone is no damage");
        disk.FlipBit($"{Directory}/0000000000000002.log", 8192 + 60, 3);
        Assert.Throws<CorruptionException>(() => DurableLog.Open(disk, Directory, Identity, 3, Small));
    }

    [Test]
    public void Another_members_log_is_refused_by_name()
    {
        SimulatedDisk disk = Flushed(out _);
        RaftException refused = Assert.Throws<RaftException>(() => DurableLog.Open(disk, Directory, new LogIdentity(0xC1, new MemberId(0xA2)), 3, Small))!;
        Assert.That(refused.Message, Does.Contain("belongs to member a1").And.Contain("not to member a2"));
    }

    [Test]
    public void Creating_over_a_log_that_holds_something_is_refused_and_over_an_unfinished_one_is_not()
    {
        SimulatedDisk disk = Flushed(out _);
        Assert.That(Assert.Throws<RaftException>(() => DurableLog.Create(disk, Directory, Identity, Initial, 3, Small))!.Code, Is.EqualTo(RaftErrorCode.CannotOpen));
        for (int crash = 0; ; crash++)
        {
            var fresh = new SimulatedDisk((ulong)crash);
            fresh.CrashAfter(crash);
            try
            {
                DurableLog.Create(fresh, Directory, Identity, Initial, 3, Small);
                break;
            }
            catch (SimulatedCrashException)
            {
                fresh.PowerCut();

                // Another cluster this time: nothing of the first attempt counts.
                LogIdentity second = new(0xC2, new MemberId(0xA1));
                Assert.That(DurableLog.Create(fresh, Directory, second, Initial, 4, Small).Log.LastIndex, Is.Zero);
            }
        }
    }

    [Test]
    public void The_first_error_is_the_end([Values(DiskOperation.Write, DiskOperation.Flush, DiskOperation.FlushDirectory, DiskOperation.Create)] object operation)
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        disk.Fault = (asked, _) =>
        {
            if (asked == (DiskOperation)operation)
                throw new IOException("Input/output error (errno 5)");
        };
        log.Append([Make(1)]);
        LogBatch batch = log.TakeBatch()!;
        IOException error = Assert.Throws<IOException>(() =>
        {
            batch.Write();
            batch.Flush();
        })!;
        log.Completed(batch.Sequence, error);
        disk.Fault = null; // The disk would say yes again; the log must not ask.
        Assert.Multiple(() =>
        {
            Assert.That(log.Failure, Is.SameAs(error));
            Assert.That((log.DurableIndex, log.DurableSequence), Is.EqualTo((0L, 0L)));
            Assert.That(log.TakeBatch(), Is.Null);
            Assert.That(Assert.Throws<RaftException>(() => log.Append([Make(2)]))!.Code, Is.EqualTo(RaftErrorCode.Failed));
            Assert.That(Assert.Throws<RaftException>(() => log.SaveHardState(new HardState(2, default)))!.Code, Is.EqualTo(RaftErrorCode.Failed));
        });
    }

    /// <summary>S6: a pause is no failure. Nothing is acknowledged while it lasts, the same batch goes through when there is space, and a power cut in it loses nothing that was flushed.</summary>
    [TestCase(true)]
    [TestCase(false)]
    public void A_full_disk_is_a_pause_that_ends_with_space(bool powerCut)
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1, 3000)]);
        Drain(log);
        while (log.PrepareAhead())
        {
        }

        disk.CapacityBytes = 0;
        LogBatch batch;
        for (int i = 2; ; i++)
        {
            log.Append([Make(i, 3000)]);
            batch = log.TakeBatch()!;
            try
            {
                batch.Write();
                batch.Flush();
                log.Completed(batch.Sequence, null);
            }
            catch (NoSpaceException)
            {
                break;
            }
        }

        long flushed = log.DurableIndex;
        Assert.That(flushed, Is.GreaterThanOrEqualTo(6), "the rest of the segment and the spares behind it are the reserve");
        Assert.That(Assert.Throws<NoSpaceException>(batch.Write)!.Message, Does.Contain("No space left"));
        Assert.That((log.Failure, log.TakeBatch(), log.PrepareAhead()), Is.EqualTo(((Exception?)null, (LogBatch?)null, false)), "it waits, and asks for nothing");
        log.Append([Make(flushed + 2)]);
        Assert.That(log.DurableIndex, Is.EqualTo(flushed));
        disk.CapacityBytes = long.MaxValue;
        if (!powerCut)
        {
            batch.Write();
            batch.Flush();
            log.Completed(batch.Sequence, null);
            Drain(log);
            Assert.That(log.DurableIndex, Is.EqualTo(flushed + 2));
        }

        long expected = powerCut ? flushed : flushed + 2;
        disk.PowerCut();
        DurableLog opened = DurableLog.Open(disk, Directory, Identity, 2, Small).Log;
        Assert.That(opened.LastIndex, Is.EqualTo(expected));
    }

    /// <summary>Where a file system does not overwrite in place, space can be missing inside a segment, when half of a batch may be written: that is the end (L1), not a pause.</summary>
    [Test]
    public void No_space_in_the_middle_of_a_batch_is_a_failure()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1)]);
        Drain(log);
        disk.Fault = (asked, _) =>
        {
            if (asked == DiskOperation.Write)
                throw new NoSpaceException("No space left on device (errno 28)");
        };
        log.Append([Make(2)]);
        LogBatch batch = log.TakeBatch()!;
        Assert.Throws<IOException>(batch.Write);
        disk.Fault = null;
        Assert.Throws<IOException>(batch.Write, "and stays one");
    }

    [Test]
    public void A_member_restarted_after_a_failed_flush_does_not_trust_the_page_cache()
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.Append([Make(1)]);
        Drain(log);
        log.Append([Make(2)]);
        LogBatch batch = log.TakeBatch()!;
        batch.Write();
        disk.Fault = (asked, _) => throw (asked == DiskOperation.Flush ? new IOException("Input/output error (errno 5)") : new InvalidOperationException());
        Assert.Throws<IOException>(batch.Flush);
        disk.Fault = null;
        disk.Kill();
        long reported = DurableLog.Open(disk, Directory, Identity, 2, Small).Log.DurableIndex;
        disk.PowerCut();
        Assert.That(DurableLog.Open(disk, Directory, Identity, 3, Small).Log.LastIndex, Is.EqualTo(reported).And.EqualTo(2));
    }

    /// <summary>A small log in two segments, the last batch flushed and reported, killed without being closed; on request it goes on from a snapshot at entry 10.</summary>
    private static SimulatedDisk Flushed(out List<Entry> entries, bool fromSnapshot = false)
    {
        var disk = new SimulatedDisk(1);
        DurableLog log = DurableLog.Create(disk, Directory, Identity, Initial, 1, Small).Log;
        log.SaveHardState(new HardState(1, new MemberId(0xA1)));
        long first = 1;
        if (fromSnapshot)
        {
            log.Append([Make(1)]);
            Drain(log);
            log.Install(10, 1, new ConfigurationAt(7, Initial), 100);
            Drain(log);
            first = 11;
        }

        entries = [Make(first), Make(first + 1), Make(first + 2)];
        log.Append([entries[0]]);
        Drain(log);
        log.Append([entries[1], entries[2]]);
        Drain(log);
        disk.Kill();
        return disk;
    }

    /// <summary>False: refused.</summary>
    private static bool OpensAs(SimulatedDisk disk, List<Entry> entries, string where)
    {
        try
        {
            RecoveredLog opened = DurableLog.Open(disk, Directory, Identity, 3, Small);
            using DurableLog log = opened.Log;
            Assert.That((log.LastIndex, opened.HardState), Is.EqualTo((entries[^1].Index, new HardState(1, new MemberId(0xA1)))), where);
            Assert.That(opened.Configurations.Single().Index, Is.EqualTo(log.BaseIndex == 0 ? 0 : 7));
            IReadOnlyList<Entry> read = log.Read(entries[0].Index, entries[^1].Index, 1000);
            for (int i = 0; i < entries.Count; i++)
                Assert.That(read[i].Body.Span.SequenceEqual(entries[i].Body.Span) && read[i] == (entries[i] with { Body = read[i].Body }), where);
            return true;
        }
        catch (RaftException)
        {
            return false;
        }
    }

    private static Entry Make(long index, int size = 40)
    {
        byte[] body = new byte[size];
        body[0] = (byte)index;
        return new Entry(index, 1, EntryKind.Command, index * 10, body);
    }

    private static void Drain(DurableLog log)
    {
        while (log.TakeBatch() is { } batch)
        {
            batch.Write();
            batch.Flush();
            log.Completed(batch.Sequence, null);
        }
    }
}
