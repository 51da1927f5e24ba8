using Loom.Raft.Log;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>S6 with real threads and files: nobody gets space for a new segment, as on a full disk. (Full file systems of their own: Loom.Scenarios.)</summary>
[NonParallelizable]
public sealed class FullDiskTests
{
    // More than the rest of a segment and two spares, which are the reserve; less than what may wait in a member (64 MiB).
    private const int Writes = 34;
    private static readonly byte[] Large = new byte[1_800_000];

    [Test]
    public async Task A_lone_member_pauses_and_goes_on_by_itself()
    {
        await using var cluster = new RealCluster(("solo", Loom.Raft.Membership.MemberRole.Voter));
        var disk = new FullFiles();
        await using RaftNode node = await RaftNode.OpenAsync(RaftNode.SettingsFor(cluster.Options("solo"), 5) with { Files = disk }, new ListMachine());
        _ = await node.ProposeAsync(Large, RealCluster.Soon());
        disk.Full = true;
        Task<ProposalResult>[] calls = [.. Enumerable.Range(0, Writes).Select(_ => node.ProposeAsync(Large).AsTask())];
        await node.WaitAsync(status => status.LogPause is not null, RealCluster.Soon());
        RaftNodeStatus paused = node.Status;
        Assert.That(paused.LogPause, Does.Contain("No space left"));
        Assert.That((paused.Failure, paused.Role), Is.EqualTo(((string?)null, "leader")));
        Assert.That(calls.Count(call => call.IsCompletedSuccessfully), Is.GreaterThan(15).And.LessThan(Writes), "what the reserve holds was acknowledged, and nothing else");
        long freed = Environment.TickCount64;
        disk.Full = false;
        await Task.WhenAll(calls);
        Assert.That(Environment.TickCount64 - freed, Is.LessThan(5_000));
        await node.WaitAsync(status => status.LogPause is null, RealCluster.Soon());
    }

    [Test]
    public async Task A_paused_member_closes_in_time_and_keeps_what_it_acknowledged()
    {
        await using var cluster = new RealCluster(("solo", Loom.Raft.Membership.MemberRole.Voter));
        var disk = new FullFiles();
        var machine = new ListMachine();
        int acknowledged;
        await using (RaftNode node = await RaftNode.OpenAsync(RaftNode.SettingsFor(cluster.Options("solo"), 6) with { Files = disk }, machine))
        {
            _ = await node.ProposeAsync(Large, RealCluster.Soon());
            disk.Full = true;
            Task<ProposalResult>[] calls = [.. Enumerable.Range(0, Writes).Select(_ => node.ProposeAsync(Large).AsTask())];
            await node.WaitAsync(status => status.LogPause is not null, RealCluster.Soon());
            long began = Environment.TickCount64;
            await node.DisposeAsync();
            Assert.That(Environment.TickCount64 - began, Is.LessThan(5_000));
            foreach (Task<ProposalResult> call in calls) await call.ContinueWith(static _ => { }, TaskScheduler.Default);
            acknowledged = 1 + calls.Count(call => call.IsCompletedSuccessfully);
        }

        var again = new ListMachine();
        await using RaftNode next = await RaftNode.OpenAsync(cluster.Options("solo"), again);
        _ = await next.ReadBarrierAsync(RealCluster.Soon());
        Assert.That(again.Payloads, Has.Count.GreaterThanOrEqualTo(acknowledged));
    }

    /// <summary>Nothing is acknowledged by it and it leads no more, but it lives, and catches up when there is space.</summary>
    [Test]
    public async Task A_leader_with_a_full_disk_hands_over_and_catches_up_later()
    {
        await using var cluster = RealCluster.OfThree();
        var disks = new SortedDictionary<string, FullFiles>(StringComparer.Ordinal);
        var nodes = new SortedDictionary<string, RaftNode>(StringComparer.Ordinal);
        ulong seed = 99;
        foreach (string name in new[] { "east", "west", "south" })
        {
            disks[name] = new FullFiles();
            nodes[name] = await RaftNode.OpenAsync(RaftNode.SettingsFor(cluster.Options(name), seed++) with { Files = disks[name] }, new ListMachine());
        }

        foreach (RaftNode node in nodes.Values) await node.WaitForLeaderAsync(RealCluster.Soon());
        string leader = nodes.First(n => n.Value.Status.Role == "leader").Key;
        RaftNode other = nodes.First(n => n.Key != leader).Value;
        disks[leader].Full = true;
        int refused = 0;
        for (int i = 0; i < Writes; i++)
        {
            try
            {
                _ = await other.ProposeAsync(Large);
            }
            catch (RaftException)
            {
                refused++;
            }
        }

        Assert.That(refused, Is.Zero, "the other two go on");
        await nodes[leader].WaitAsync(status => status.Role != "leader", RealCluster.Soon());
        RaftNodeStatus full = nodes[leader].Status;
        Assert.That((full.LogPause is not null, full.Failure), Is.EqualTo((true, (string?)null)));
        disks[leader].Full = false;
        long committed = other.Status.CommitIndex;
        await nodes[leader].WaitAsync(status => status.AppliedIndex >= committed && status.LogPause is null, RealCluster.Soon(5));
        foreach (RaftNode node in nodes.Values) await node.DisposeAsync();
    }

    /// <summary>Apply waits before the first entry, says why, serves what is applied, and goes on; a close does not wait for it.</summary>
    [Test]
    public async Task An_applier_without_space_waits_and_goes_on_by_itself()
    {
        await using var cluster = new RealCluster(("solo", Loom.Raft.Membership.MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo");
        ListMachine machine = cluster.Machine("solo");
        _ = await node.ProposeAsync("a"u8.ToArray(), RealCluster.Soon());
        machine.Obstacle = "no space for records";
        Task<ProposalResult> call = node.ProposeAsync("b"u8.ToArray(), RealCluster.Soon()).AsTask();
        await node.WaitAsync(status => status.ApplyPause == "no space for records", RealCluster.Soon());
        Assert.That((call.IsCompleted, machine.Payloads.Count, node.Status.Failure), Is.EqualTo((false, 1, (string?)null)));
        machine.Obstacle = null;
        Assert.That((await call).Result, Is.EqualTo(2));
        await node.WaitAsync(status => status.ApplyPause is null, RealCluster.Soon());

        machine.Obstacle = "again";
        Task<ProposalResult> open = node.ProposeAsync("c"u8.ToArray(), RealCluster.Soon()).AsTask();
        await node.WaitAsync(status => status.ApplyPause is not null, RealCluster.Soon());
        long began = Environment.TickCount64;
        await cluster.StopAsync("solo");
        Assert.That(machine.Closed);
        Assert.That(Environment.TickCount64 - began, Is.LessThan(5_000));
        Assert.That((await RealCluster.Thrown(async () => await open)).Outcome, Is.EqualTo(WriteOutcome.Unknown), "it is in the log");
        RaftNode again = await cluster.StartAsync("solo");
        _ = await again.ReadBarrierAsync(RealCluster.Soon());
        Assert.That(cluster.Machine("solo").Payloads, Has.Count.EqualTo(3));
    }

    /// <summary>What was applied entry by entry is handed out at a restart as one work, which may ask for more at once than there is; whatever of it fits is applied.</summary>
    [Test]
    public async Task On_a_nearly_full_disk_a_replay_takes_in_what_fits()
    {
        await using var cluster = new RealCluster(("solo", Loom.Raft.Membership.MemberRole.Voter));
        await using (RaftNode node = await RaftNode.OpenAsync(cluster.Options("solo"), new ListMachine()))
        {
            for (int i = 0; i < 40; i++) _ = await node.ProposeAsync(new byte[] { (byte)i }, RealCluster.Soon());
        }

        var machine = new ListMachine { Space = 37 };
        await using RaftNode again = await RaftNode.OpenAsync(cluster.Options("solo"), machine);
        await again.WaitAsync(status => status.ApplyPause is not null, RealCluster.Soon());
        Assert.That(machine.Payloads.Select(payload => (int)payload[0]), Is.EqualTo(Enumerable.Range(0, 37)));
        machine.Space = int.MaxValue;
        _ = await again.ReadBarrierAsync(RealCluster.Soon());
        Assert.That(machine.Payloads.Select(payload => (int)payload[0]), Is.EqualTo(Enumerable.Range(0, 40)));
        Assert.That((await again.ProposeAsync(new byte[] { 40 }, RealCluster.Soon())).Result, Is.EqualTo(41));
    }

    private sealed class FullFiles : IFileSystem
    {
        private readonly PosixFileSystem real = PosixFileSystem.Instance;

        public volatile bool Full;

        public bool FileExists(string path) => real.FileExists(path);

        public void CreateDirectory(string path) => real.CreateDirectory(path);

        public IReadOnlyList<string> ListFiles(string directory) => real.ListFiles(directory);

        public IFile Open(string path, bool create) => new FullFile(real.Open(path, create), this);

        public void Rename(string from, string to) => real.Rename(from, to);

        public void Delete(string path) => real.Delete(path);

        public void FlushDirectory(string path) => real.FlushDirectory(path);
    }

    private sealed class FullFile(IFile real, FullFiles owner) : IFile
    {
        public long Length => real.Length;

        public int Read(long offset, Span<byte> buffer) => real.Read(offset, buffer);

        public void Write(long offset, ReadOnlySpan<byte> bytes) => real.Write(offset, bytes);

        public void SetLength(long length) => real.SetLength(length);

        public void Allocate(long length)
        {
            if (owner.Full) throw new NoSpaceException("No space left on device (errno 28)");
            real.Allocate(length);
        }

        public void Flush() => real.Flush();

        public void Dispose() => real.Dispose();
    }
}
