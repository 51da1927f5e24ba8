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
