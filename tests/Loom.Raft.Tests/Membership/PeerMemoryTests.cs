using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Transport;
using Loom.Simulation.Disk;
using NUnit.Framework;

namespace Loom.Raft.Tests.Membership;

/// <summary>E1: what the others remember of a directory, by which an old copy or a shortened log is found out.</summary>
[TestFixture]
public sealed class PeerMemoryTests
{
    [Test]
    public void A_restart_is_not_suspect()
    {
        var memory = new PeerMemory();
        Assert.That((memory.Learn(Hello(starts: 1, process: 10)), memory.Learn(Hello(starts: 1, process: 10))), Is.EqualTo((true, false)), "news once");
        Assert.That(memory.Judge(Hello(starts: 1, process: 10)), Is.Null, "the other lane of the same process");
        Assert.That(memory.Judge(Hello(starts: 2, process: 11)), Is.Null);
    }

    [TestCase(4UL, 99UL, "started 4 times, and it has been started 5 times: it is an old copy")]
    [TestCase(5UL, 99UL, "it is an old copy")]
    public void Fewer_starts_or_as_many_in_another_process_are_an_old_copy(ulong starts, ulong process, string says)
    {
        var memory = new PeerMemory();
        _ = memory.Learn(Hello(starts: 5, process: 10));
        Assert.That(memory.Judge(Hello(starts, process)), Does.Contain(says));
    }

    /// <summary>The copy of start 3 was started until it was ahead of start 5, which is remembered; it never was the process that made that start.</summary>
    [Test]
    public void A_copy_that_was_started_more_often_than_is_remembered_is_found_out_by_its_lineage()
    {
        var memory = new PeerMemory();
        _ = memory.Learn(Hello(starts: 5, process: 15));
        Assert.That(memory.Judge(Hello(starts: 7, process: 97) with { Earlier = [96, 95, 94, 13, 12, 11] }), Does.Contain("started 7 times, but start 5 was not the one that was met here: it is an old copy"));
        Assert.That(memory.Judge(Hello(starts: 7, process: 17) with { Earlier = [16, 15, 14, 13, 12, 11] }), Is.Null, "its own later start");
        Assert.That(memory.Judge(Hello(starts: 6, process: 16) with { Earlier = [15, 14, 13, 12, 11] }), Is.Null, "the next one");
    }

    [Test]
    public void Beyond_the_lineage_only_the_number_of_starts_counts()
    {
        var memory = new PeerMemory();
        _ = memory.Learn(Hello(starts: 5, process: 15));
        ulong[] foreign = [.. Enumerable.Range(0, StartCount.MaxEarlier).Select(i => 1000 - (ulong)i)];
        Assert.That(memory.Judge(Hello(starts: 5 + StartCount.MaxEarlier, process: 1001) with { Earlier = foreign }), Is.Not.Null, "the last that is listed");
        Assert.That(memory.Judge(Hello(starts: 6 + StartCount.MaxEarlier, process: 1001) with { Earlier = foreign }), Is.Null, "decision 0011 says so");
    }

    [Test]
    public void A_log_that_ends_before_what_it_had_acknowledged_is_too_short()
    {
        var memory = new PeerMemory();
        Assert.That(memory.Acknowledged(new MemberId(1), 70), Is.False, "nobody is known");
        _ = memory.Learn(Hello(starts: 1, process: 10));
        _ = memory.Acknowledged(new MemberId(1), 70);
        _ = memory.Acknowledged(new MemberId(1), 60);
        Assert.That(memory.Judge(Hello(starts: 1, process: 10, lastIndex: 60)), Is.Null, "a running process may not have said yet what it has acknowledged since");
        Assert.That(memory.Judge(Hello(starts: 2, process: 11, lastIndex: 70)), Is.Null);
        Assert.That(memory.Judge(Hello(starts: 2, process: 11, lastIndex: 69)), Does.Contain("ends at entry 69, and it had acknowledged entry 70"));
        _ = memory.Learn(Hello(starts: 2, process: 11, lastIndex: 80));
        Assert.That(memory.Judge(Hello(starts: 3, process: 12, lastIndex: 69)), Is.Not.Null, "a restart does not wipe it out");
    }

    [Test]
    public void Another_directory_under_the_id_is_another_matter()
    {
        var memory = new PeerMemory();
        _ = memory.Learn(Hello(starts: 5, process: 10));
        Assert.That(memory.Judge(Hello(starts: 1, process: 11) with { Incarnation = 8 }), Is.Null, "the incarnation is judged elsewhere");
    }

    [Test]
    public void Whoever_was_caught_stays_out()
    {
        var memory = new PeerMemory();
        _ = memory.Learn(Hello(starts: 5, process: 10));
        Assert.That((memory.Forgot(new MemberId(1)), memory.Forgot(new MemberId(1))), Is.EqualTo((true, false)));
        Assert.That(memory.Judge(Hello(starts: 6, process: 11, lastIndex: 1_000_000)), Does.Contain("refused entries that it had acknowledged"));
    }

    [Test]
    public void What_was_written_is_read_and_any_flipped_bit_or_cut_is_noticed()
    {
        var disk = new SimulatedDisk(1);
        disk.CreateDirectory("m");
        var memory = new PeerMemory();
        for (ulong id = 1; id <= 3; id++) _ = memory.Learn(Hello(starts: 5, process: 10) with { From = new MemberId(id) });
        SmallFile.Replace(disk, "m", PeerMemory.FileName, memory.Encode());
        Assert.That(Encoded(disk, out string? trouble), Is.EqualTo(memory.Encode()));
        Assert.That(trouble, Is.Null);
        int length = disk.ReadAll("m/peers").Length;
        for (int bit = 0; bit < length * 8; bit++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.FlipBit("m/peers", bit / 8, bit % 8);
            Assert.That(Encoded(damaged, out trouble), Is.EqualTo(new PeerMemory().Encode()), $"bit {bit}");
            Assert.That(trouble, Does.Contain("m/peers is damaged"));
        }
        for (int cut = 0; cut < length; cut++)
        {
            SimulatedDisk damaged = disk.Clone(1);
            damaged.Cut("m/peers", cut);
            Assert.That(Encoded(damaged, out trouble), Is.EqualTo(new PeerMemory().Encode()), $"cut at {cut}");
        }
    }

    [Test]
    public void It_is_bounded()
    {
        var memory = new PeerMemory();
        for (ulong id = 1; id <= 1000; id++) _ = memory.Learn(Hello(starts: 1, process: 10) with { From = new MemberId(id) });
        Assert.That(memory.Encode(), Has.Length.LessThan(4096));
    }

    private static byte[] Encoded(SimulatedDisk disk, out string? trouble) => PeerMemory.Read(disk, "m", out trouble).Encode();

    private static PeerHello Hello(ulong starts, ulong process, long lastIndex = 0) => new()
    {
        Lane = LaneKind.Control, TokenHash = 1, ClusterId = 1, Proposal = 0, From = new MemberId(1), To = new MemberId(2), Incarnation = 7, Process = process, Name = "a", Datacenter = "a",
        Role = MemberRole.Voter, PeerUrls = [], ClientUrls = [], ConfigurationHash = 1, PinnedForYou = 0, Initial = [], Starts = starts, LastIndex = lastIndex,
    };
}
