using System.Diagnostics;
using Loom.Raft.Membership;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>Members that cannot be served from the log any more get the state of another one (S3, S4): real nodes, sockets and threads.</summary>
[Parallelizable(ParallelScope.All)]
public sealed class SnapshotTransferTests
{
    [Test]
    public async Task A_member_that_fell_behind_the_log_gets_a_snapshot_while_writes_go_on()
    {
        await using RealCluster cluster = ThatTruncates();
        await cluster.StartAllAsync();
        string behind = await FallBehindAsync(cluster);
        string leader = await cluster.LeaderAsync();
        string other = cluster.List.Select(m => m.Name).Single(n => n != leader && n != behind);

        using var enough = new CancellationTokenSource();
        Task<int> writes = WriteUntilAsync(cluster[leader], enough.Token);
        await cluster.StartAsync(behind);
        await InstalledAsync(cluster, behind);
        enough.Cancel();
        Assert.That(await writes, Is.GreaterThan(0), "the others were never held up");

        // It proposes by itself, too: its session goes on behind the jump.
        await cluster[behind].ProposeAsync(new byte[] { 42 });
        await cluster.AssertEqualAsync();
        Assert.That((cluster.Machine(leader).Captures, cluster.Machine(other).Captures), Is.EqualTo((0, 1)), "not the leader's");
        Assert.That(() => cluster.Machine(other).OpenCaptures, Is.Zero.After(2000, 5));
        Assert.That(cluster[behind].Status.Snapshot, Is.Null);
    }

    /// <summary>The state and its place in the log are one: it restarts from there, and has everything.</summary>
    [Test]
    public async Task What_was_installed_is_there_after_a_restart()
    {
        await using RealCluster cluster = ThatTruncates();
        await cluster.StartAllAsync();
        string behind = await FallBehindAsync(cluster);
        await cluster.StartAsync(behind);
        await InstalledAsync(cluster, behind);
        await cluster.StopAsync(behind);
        await cluster[await cluster.LeaderAsync()].ProposeAsync(new byte[] { 43 });
        await cluster.StartAsync(behind);
        await cluster.AssertEqualAsync();
        Assert.That(cluster.Machine(behind).Switches, Is.Zero, "no second snapshot");
    }

    /// <summary>The records of a member are lost, its log is not, but that begins too late: it keeps its id, and takes the state of another.</summary>
    [Test]
    public async Task A_member_that_lost_its_records_takes_the_state_of_another()
    {
        await using RealCluster cluster = ThatTruncates();
        await cluster.StartAllAsync();
        string leader = await cluster.LeaderAsync();
        for (byte i = 0; i < 100; i++) await cluster[leader].ProposeAsync(new[] { i });
        string victim = cluster.List.Select(m => m.Name).First(n => n != leader);
        await cluster[victim].WaitAsync(s => s.AppliedIndex >= 100 && s.CheckpointIndex > 60, RealCluster.Soon());
        var id = cluster[victim].Status.MemberId;
        await cluster.StopAsync(victim);
        cluster.Disk(victim).Lose();
        await cluster.StartAsync(victim);
        await InstalledAsync(cluster, victim);
        await cluster.AssertEqualAsync();
        Assert.That(cluster[victim].Status.MemberId, Is.EqualTo(id));
    }

    /// <summary>N5: a transfer holds nobody up who closes, on either side, and the next start fetches anew.</summary>
    [Test]
    public async Task Closing_in_the_middle_of_a_transfer_is_quick_on_both_sides([Values] bool source)
    {
        await using RealCluster cluster = ThatTruncates();
        await cluster.StartAllAsync();
        string behind = await FallBehindAsync(cluster);
        string leader = await cluster.LeaderAsync();
        string other = cluster.List.Select(m => m.Name).Single(n => n != leader && n != behind);
        ListMachine slow = cluster.Machine(other);
        slow.OnChunk = static () => Thread.Sleep(50);
        await cluster.StartAsync(behind);
        await UntilAsync(() => cluster[behind].Status.Snapshot is { Bytes: > 0 });
        Assert.That(cluster[behind].Status.Snapshot!.From, Is.EqualTo(cluster[other].Status.MemberId));
        long start = Stopwatch.GetTimestamp();
        await cluster.StopAsync(source ? other : behind);
        Assert.That(Stopwatch.GetElapsedTime(start).TotalSeconds, Is.LessThan(5));
        slow.OnChunk = null;
        if (source)
        {
            Assert.That(slow.OpenCaptures, Is.Zero, "the machine is closed only when nobody reads it");
            Assert.That(slow.Closed);
        }
        await cluster.StartAsync(source ? other : behind);
        await InstalledAsync(cluster, behind);
        await cluster.AssertEqualAsync();
    }

    private static RealCluster ThatTruncates()
    {
        RealCluster cluster = new(("east", MemberRole.Voter), ("west", MemberRole.Voter), ("south", MemberRole.Voter)) { HasDisks = true };
        cluster.Change = static options =>
        {
            options.SnapshotCount = 20;
            options.SnapshotCatchUpEntries = 5;
        };
        return cluster;
    }

    /// <summary>Stops a member that does not lead; the others write until the log does not reach back to it.</summary>
    private static async Task<string> FallBehindAsync(RealCluster cluster)
    {
        string leader = await cluster.LeaderAsync();
        string behind = cluster.List.Select(m => m.Name).Last(n => n != leader);
        await cluster[leader].ProposeAsync(new byte[] { 1 });
        await cluster.StopAsync(behind);
        leader = await cluster.LeaderAsync();
        // Who is silent is waited for a while: ten election timeouts.
        long until = Stopwatch.GetTimestamp() + 6 * Stopwatch.Frequency;
        for (int i = 0; i < 600 || Stopwatch.GetTimestamp() < until; i++)
        {
            await cluster[leader].ProposeAsync(BitConverter.GetBytes(i));
            if (i > 600) await Task.Delay(5);
        }
        return behind;
    }

    private static async Task InstalledAsync(RealCluster cluster, string name)
    {
        await UntilAsync(() => cluster.Machine(name).Switches == 1);
        long commit = cluster.Nodes.Max(n => n.Status.CommitIndex);
        await cluster[name].WaitAsync(s => s.AppliedIndex >= commit, RealCluster.Soon());
    }

    private static async Task UntilAsync(Func<bool> condition)
    {
        CancellationToken limit = RealCluster.Soon(20);
        while (!condition()) await Task.Delay(5, limit);
    }

    private static async Task<int> WriteUntilAsync(RaftNode node, CancellationToken enough)
    {
        int written = 0;
        for (; !enough.IsCancellationRequested; written++) await node.ProposeAsync(BitConverter.GetBytes(-written), CancellationToken.None);
        return written;
    }
}
