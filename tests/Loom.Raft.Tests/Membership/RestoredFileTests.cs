using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Simulation.Disk;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>What a directory was restored from is never taken from a damaged or a foreign file, and a restore that did not finish is none.</summary>
[TestFixture]
internal sealed class RestoredFileTests
{
    private static readonly Configuration List = InitialConfiguration.Of(new RaftNodeOptions { Name = "a", DataDirectory = "m" });
    private static readonly RestoredFile Restored = new(List.Members[0].Id, 11, Enumerable.Range(0, 32).Select(i => (byte)i).ToArray(), 1000, new LogStart(41, 6, 5_000), List);
    private static readonly MemberIdentity Identity = new(List.Members[0].Id, 11, "a", "loom-cluster", 0, 0, Restored.Origin);

    [Test]
    public void It_is_read_as_it_was_written_and_only_when_it_is_whole()
    {
        SimulatedDisk disk = Disk(whole: false);
        RaftException unfinished = Assert.Throws<RaftException>(() => RestoredFile.Require(disk, "m", Identity))!;
        Assert.That((unfinished.Code, unfinished is CorruptionException), Is.EqualTo((RaftErrorCode.CannotOpen, false)), "it must not be put aside as damaged, but be restored again");
        Assert.That(unfinished.Message, Does.Contain("The restore into m did not finish"));
        Restored.Write(disk, "m", whole: true);
        disk.PowerCut();
        RestoredFile read = RestoredFile.Require(disk, "m", Identity)!;
        Assert.That((read.Start, read.Variant, read.Origin, read.Member, read.Incarnation), Is.EqualTo((Restored.Start, 1000L, Restored.Origin, Restored.Member, 11UL)));
        Assert.That(read.Hash.ToArray(), Is.EqualTo(Restored.Hash.ToArray()));
        Assert.That(ConfigurationCodec.Encode(read.List), Is.EqualTo(ConfigurationCodec.Encode(List)));
    }

    [Test]
    public void Every_flipped_bit_and_every_cut_is_refused()
    {
        SimulatedDisk disk = Disk(whole: true);
        int length = disk.ReadAll("m/restored").Length;
        for (int at = 0; at < length; at++)
        {
            SimulatedDisk cut = disk.Clone(1);
            cut.Cut("m/restored", at);
            Assert.Throws<CorruptionException>(() => RestoredFile.Require(cut, "m", Identity), $"cut at {at}");
            for (int bit = 0; bit < 8; bit++)
            {
                SimulatedDisk damaged = disk.Clone(1);
                damaged.FlipBit("m/restored", at, bit);
                Assert.Throws<CorruptionException>(() => RestoredFile.Require(damaged, "m", Identity), $"{at}.{bit}");
            }
        }
    }

    [Test]
    public void Another_directorys_is_refused_and_so_is_one_that_is_missing()
    {
        SimulatedDisk disk = Disk(whole: true);
        Assert.Throws<CorruptionException>(() => RestoredFile.Require(disk, "m", Identity with { Incarnation = 12 }));
        Assert.Throws<CorruptionException>(() => RestoredFile.Require(disk, "m", Identity with { Origin = 12 }));
        Assert.Throws<CorruptionException>(() => RestoredFile.Require(disk, "m", Identity with { Origin = 0 }));
        Assert.That(Assert.Throws<RaftException>(() => RestoredFile.Require(disk, "m", null))!.Message, Does.Contain("did not finish"), "its identity was to come last");
        disk.Delete("m/restored");
        Assert.Throws<CorruptionException>(() => RestoredFile.Require(disk, "m", Identity));
        Assert.That(RestoredFile.Require(disk, "m", Identity with { Origin = 0 }), Is.Null);
        Assert.That(RestoredFile.Require(disk, "m", null), Is.Null);
    }

    [Test]
    public void The_origin_is_another_for_another_backup_and_for_another_way()
    {
        ulong[] origins = [Restored.Origin, (Restored with { Variant = 1001 }).Origin, (Restored with { Hash = new byte[32] }).Origin];
        Assert.That(origins.Distinct().Count(), Is.EqualTo(3));
        Assert.That((Restored with { Member = new(9), Incarnation = 9 }).Origin, Is.EqualTo(Restored.Origin), "all members have the same");
    }

    private static SimulatedDisk Disk(bool whole)
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        Restored.Write(disk, "m", whole);
        return disk;
    }
}
