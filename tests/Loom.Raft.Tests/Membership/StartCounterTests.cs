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
            Assert.That(StartCounter.Raise(disk, "m", Identity), Is.EqualTo(start));
            disk.PowerCut();
        }
    }

    [Test]
    public void Every_flipped_bit_and_every_cut_is_damage()
    {
        SimulatedDisk disk = Disk();
        _ = StartCounter.Raise(disk, "m", Identity);
        int length = disk.ReadAll("m/starts").Length;
        for (int bit = 0; bit < length * 8; bit++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.FlipBit("m/starts", bit / 8, bit % 8);
            Assert.Throws<CorruptionException>(() => StartCounter.Raise(damaged, "m", Identity), $"bit {bit}");
        }
        for (int cut = 0; cut < length; cut++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.Cut("m/starts", cut);
            Assert.Throws<CorruptionException>(() => StartCounter.Raise(damaged, "m", Identity), $"cut at {cut}");
        }
    }

    [Test]
    public void Another_directorys_counter_is_damage()
    {
        SimulatedDisk disk = Disk();
        _ = StartCounter.Raise(disk, "m", Identity);
        Assert.That(() => StartCounter.Raise(disk, "m", Identity with { Incarnation = 8 }), Throws.InstanceOf<CorruptionException>().With.Message.Contains("another directory"));
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
