using Loom.Raft.Membership;
using Loom.Simulation.Disk;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>What a directory has agreed to outlives every crash, and is never taken from a damaged or a foreign file (E1).</summary>
[TestFixture]
internal sealed class ProposalFileTests
{
    private static readonly RaftNodeOptions Options = new()
    {
        Name = "a",
        DataDirectory = "m",
        InitialCluster = [.. new[] { "a", "b", "c" }.Select(n => new InitialMember(n, n, MemberRole.Voter, [$"http://{n}:2380"]))],
    };

    private static readonly MemberIdentity Identity = new(InitialConfiguration.IdOf("loom-cluster", "a"), 11, "a", "loom-cluster", 0, 0);

    [Test]
    public void A_proposal_is_read_as_it_was_written_and_survives_a_power_cut()
    {
        SimulatedDisk disk = Disk(1);
        Assert.That(ProposalFile.Read(disk, "m", Identity), Is.Null);
        ProposalFile.Write(disk, "m", Identity, Proposal(12));
        disk.PowerCut();
        Assert.That(Bytes(ProposalFile.Read(disk, "m", Identity)), Is.EqualTo(Bytes(Proposal(12))));
    }

    [Test]
    public void Every_flipped_bit_and_every_cut_is_refused()
    {
        SimulatedDisk disk = Disk(1);
        ProposalFile.Write(disk, "m", Identity, Proposal(12));
        int length = disk.ReadAll("m/proposal").Length;
        for (int at = 0; at < length; at++)
        {
            SimulatedDisk damaged = disk.Clone(1), cut = disk.Clone(1);
            damaged.FlipBit("m/proposal", at, at % 8);
            cut.Cut("m/proposal", at);
            Assert.Throws<CorruptionException>(() => ProposalFile.Read(damaged, "m", Identity), $"{at}");
            Assert.Throws<CorruptionException>(() => ProposalFile.Read(cut, "m", Identity), $"cut at {at}");
        }
        Assert.Throws<CorruptionException>(() => ProposalFile.Read(disk, "m", Identity with { Incarnation = 99 }), "of another directory");
        Assert.Throws<CorruptionException>(() => ProposalFile.Read(disk, "m", Identity with { Token = "other" }), "of another cluster");
    }

    [Test]
    public void A_crash_leaves_the_old_proposal_or_the_new_one()
    {
        bool old = false, made = false;
        for (ulong seed = 0; seed < 60; seed++)
        {
            SimulatedDisk disk = Disk(seed);
            ProposalFile.Write(disk, "m", Identity, Proposal(12));
            disk.CrashAfter((long)(seed % 6));
            bool durable = false;
            try
            {
                ProposalFile.Write(disk, "m", Identity, Proposal(13));
                durable = true;
            }
            catch (SimulatedCrashException)
            {
            }
            disk.PowerCut();
            byte[] found = Bytes(ProposalFile.Read(disk, "m", Identity));
            bool isNew = found.SequenceEqual(Bytes(Proposal(13)));
            Assert.That(isNew || (!durable && found.SequenceEqual(Bytes(Proposal(12)))), $"seed {seed}");
            (old, made) = (old | !isNew, made | isNew);
        }
        Assert.That(old && made, "both were met");
    }

    /// <summary>It cannot take back what it has said: other flags change nothing, as in a formed directory (N5).</summary>
    [Test]
    public void A_directory_with_a_proposal_keeps_it_whatever_the_flags_list()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        using (MemberDirectory first = Open(disk, Options))
        {
            Assert.That(first.Proposal, Is.Null);
            first.Propose(Of(first.Identity, 12));
        }
        using MemberDirectory again = Open(disk, new RaftNodeOptions { Name = "a", DataDirectory = "m", InitialCluster = [.. Options.InitialCluster.Take(2)] });
        Assert.That(Bytes(again.Proposal), Is.EqualTo(Bytes(Of(again.Identity, 12))));
        Assert.That(Bytes(again.ProposedList), Is.EqualTo(Bytes(InitialConfiguration.Of(Options))));
    }

    /// <summary>Where the flags name others, the member may be filled from them; until then, and alone, nobody uses the directory.</summary>
    [Test]
    public void A_proposal_without_an_identity_is_damage()
    {
        SimulatedDisk disk = Disk(1);
        ProposalFile.Write(disk, "m", Identity, Proposal(12));
        using MemberDirectory damaged = Open(disk, Options);
        Assert.That(damaged.Damage!.File, Is.EqualTo("m/cluster"));
        Assert.That((damaged.Proposal, damaged.Identity.IsFormed, disk.FileExists("m/cluster")), Is.EqualTo(((Configuration?)null, false, false)));
        Assert.Throws<CorruptionException>(() => Open(disk, new RaftNodeOptions { Name = "a", DataDirectory = "m" }));
    }

    private static MemberDirectory Open(SimulatedDisk disk, RaftNodeOptions options) => MemberDirectory.Open(disk, options, 7, _ => new Lock());

    private static SimulatedDisk Disk(ulong seed)
    {
        var disk = new SimulatedDisk(seed);
        disk.CreateDirectory("m");
        return disk;
    }

    private static Configuration Proposal(ulong others) => Of(Identity, others);

    private static Configuration Of(MemberIdentity identity, ulong others)
    {
        Configuration list = InitialConfiguration.Of(Options);
        return list with { Members = [.. list.Members.Select(m => m with { Incarnation = m.Id == identity.Id ? identity.Incarnation : others })] };
    }

    private static byte[] Bytes(Configuration? configuration) => ConfigurationCodec.Encode(configuration!);

    private sealed class Lock : IDisposable
    {
        public void Dispose()
        {
        }
    }
}
