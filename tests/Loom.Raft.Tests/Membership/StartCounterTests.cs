using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Simulation.Disk;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>E1: every start counts, before anybody hears of it; and the mark of a directory that must not be started any more.</summary>
[TestFixture]
public sealed class StartCounterTests
{
    private static readonly MemberIdentity Identity = new(new MemberId(0xA1), 7, "a", "t", 0xC1, 0xD1);

    [Test]
    public void Every_start_counts_also_through_a_power_cut()
    {
        SimulatedDisk disk = Disk();
        for (ulong start = 1; start <= 5; start++)
        {
            Assert.That(StartCounter.Raise(disk, "m", Identity, 100 + start).Starts, Is.EqualTo(start));
            disk.PowerCut();
        }
    }

    [Test]
    public void The_processes_of_the_last_starts_are_kept_the_latest_first()
    {
        SimulatedDisk disk = Disk();
        const ulong Starts = StartCount.MaxEarlier + 20;
        for (ulong start = 1; start <= Starts; start++)
        {
            StartCount count = StartCounter.Raise(disk, "m", Identity, 100 + start);
            int earlier = (int)Math.Min(start - 1, StartCount.MaxEarlier);
            Assert.That(count.Earlier, Is.EqualTo(Enumerable.Range(1, earlier).Select(ago => 100 + start - (ulong)ago)));
            Assert.That((count.ProcessOf(start), count.ProcessOf(start + 1), count.ProcessOf(start - (ulong)earlier - 1)), Is.EqualTo(((ulong?)null, (ulong?)null, (ulong?)null)));
            if (earlier > 0) Assert.That(count.ProcessOf(start - (ulong)earlier), Is.EqualTo(100 + start - (ulong)earlier));
        }
        Assert.That(StartCounter.Read(disk, "m", Identity).Last, Is.EqualTo(100 + Starts));
    }

    [Test]
    public void Another_format_says_what_to_do()
    {
        SimulatedDisk disk = Disk();
        byte[] old = new byte[36];
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(old, 0x54534D4C);
        old[4] = 1;
        System.Buffers.Binary.BinaryPrimitives.WriteUInt32LittleEndian(old.AsSpan(8), SmallFile.Checksum(old));
        SmallFile.Replace(disk, "m", StartCounter.FileName, old);
        Assert.That(() => StartCounter.Raise(disk, "m", Identity, 1), Throws.InstanceOf<RaftException>().With.Property("Code").EqualTo(RaftErrorCode.CannotOpen)
            .And.Message.Contains("m/starts has format 1; this version of Loom knows 2. Start the version of Loom that wrote it"));
    }

    [Test]
    public void Every_flipped_bit_and_every_cut_is_damage()
    {
        SimulatedDisk disk = Disk();
        _ = StartCounter.Raise(disk, "m", Identity, 1);
        int length = disk.ReadAll("m/starts").Length;
        for (int bit = 0; bit < length * 8; bit++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.FlipBit("m/starts", bit / 8, bit % 8);
            Assert.Throws<CorruptionException>(() => StartCounter.Raise(damaged, "m", Identity, 1), $"bit {bit}");
        }
        for (int cut = 0; cut < length; cut++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.Cut("m/starts", cut);
            Assert.Throws<CorruptionException>(() => StartCounter.Raise(damaged, "m", Identity, 1), $"cut at {cut}");
        }
    }

    [Test]
    public void Another_directorys_counter_is_damage()
    {
        SimulatedDisk disk = Disk();
        _ = StartCounter.Raise(disk, "m", Identity, 1);
        Assert.That(() => StartCounter.Raise(disk, "m", Identity with { Incarnation = 8 }, 1), Throws.InstanceOf<CorruptionException>().With.Message.Contains("another directory"));
    }

    [Test]
    public void A_marked_directory_is_refused_also_when_the_mark_is_damaged()
    {
        SimulatedDisk disk = Disk();
        ForgottenMark.RequireNone(disk, "m");
        ForgottenMark.Write(disk, "m", "west says so");
        Assert.That(() => ForgottenMark.RequireNone(disk, "m"), Throws.InstanceOf<CorruptionException>().With.Message.Contains("west says so"));
        for (int bit = 0; bit < disk.ReadAll("m/forgotten").Length * 8; bit++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.FlipBit("m/forgotten", bit / 8, bit % 8);
            Assert.Throws<CorruptionException>(() => ForgottenMark.RequireNone(damaged, "m"));
        }
    }

    private static SimulatedDisk Disk()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        return disk;
    }
}
