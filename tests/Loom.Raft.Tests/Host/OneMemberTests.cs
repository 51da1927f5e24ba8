using System.Text;
using Loom.Raft.Membership;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

public sealed class OneMemberTests
{
    [Test]
    public async Task One_member_forms_alone_applies_and_remembers()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo");
        for (int i = 1; i <= 20; i++)
        {
            ProposalResult result = await node.ProposeAsync(Encoding.UTF8.GetBytes($"p{i}"), RealCluster.Soon());
            Assert.That(result.Result, Is.EqualTo(i), "the machine's own answer");
            Assert.That(node.Status.AppliedIndex, Is.GreaterThanOrEqualTo(result.Index), "a caller finds its own write in the status");
        }
        Assert.That(await node.ReadBarrierAsync(RealCluster.Soon()), Is.GreaterThanOrEqualTo(20));
        Assert.That(node.Status.Role, Is.EqualTo("leader"));
        UInt128 hash = node.Status.ApplyHash;
        ListMachine first = cluster.Machine("solo");
        await cluster.StopAsync("solo");
        Assert.That(first.Closed);

        RaftNode again = await cluster.StartAsync("solo");
        _ = await again.ReadBarrierAsync(RealCluster.Soon());
        Assert.That(cluster.Machine("solo").Payloads.Select(Encoding.UTF8.GetString), Is.EqualTo(Enumerable.Range(1, 20).Select(i => $"p{i}")));
        Assert.That(again.Status.ApplyHash, Is.Not.EqualTo(default(UInt128)));
        _ = hash;
    }

    [Test]
    public async Task Many_callers_share_flushes()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo");
        await node.WaitForLeaderAsync(RealCluster.Soon());
        ProposalResult[] results = await Task.WhenAll(Enumerable.Range(0, 2000).Select(i => node.ProposeAsync(BitConverter.GetBytes(i)).AsTask()));
        Assert.That(results.Select(r => r.Index).Distinct().Count(), Is.EqualTo(2000));
        Assert.That(cluster.Machine("solo").Payloads, Has.Count.EqualTo(2000));
    }

    [Test]
    public async Task A_directory_is_used_by_one_process_at_a_time()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        await cluster.StartAsync("solo");
        Assert.That(
            async () => await RaftNode.OpenAsync(cluster.Options("solo"), new ListMachine()),
            Throws.InstanceOf<RaftException>().With.Property(nameof(RaftException.Code)).EqualTo(RaftErrorCode.CannotOpen).And.Message.Contains("in use"));
    }

    [Test]
    public async Task A_foreign_directory_or_token_is_refused_with_the_fix()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        await cluster.StartAsync("solo");
        await cluster.StopAsync("solo");
        RaftNodeOptions wrongName = cluster.Options("solo");
        wrongName.Name = "other";
        Assert.That(async () => await RaftNode.OpenAsync(wrongName, new ListMachine()), Throws.InstanceOf<RaftException>().With.Message.Contains("belongs to member solo"));
        RaftNodeOptions wrongToken = cluster.Options("solo");
        wrongToken.ClusterToken = "another";
        Assert.That(async () => await RaftNode.OpenAsync(wrongToken, new ListMachine()), Throws.InstanceOf<RaftException>().With.Message.Contains("another"));
        RaftNodeOptions wrongDatacenter = cluster.Options("solo");
        wrongDatacenter.Datacenter = "mars";
        Assert.That(async () => await RaftNode.OpenAsync(wrongDatacenter, new ListMachine()), Throws.InstanceOf<RaftException>().With.Message.Contains("mars"));
    }

    /// <summary>D8: what the machine throws ends the replica and tells every caller; the process lives.</summary>
    [Test]
    public async Task A_machine_that_throws_fails_the_replica_visibly()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo");
        _ = await node.ProposeAsync("a"u8.ToArray(), RealCluster.Soon());
        cluster.Machine("solo").OnApply = () => throw new InvalidOperationException("broken by the test");
        RaftException error = await RealCluster.Thrown(async () => await node.ProposeAsync("b"u8.ToArray(), RealCluster.Soon()));
        Assert.That(error.Code, Is.EqualTo(RaftErrorCode.Failed));
        Assert.That(error.Outcome, Is.EqualTo(WriteOutcome.Unknown), "it is in the log");
        Assert.That(node.Status.Failure, Does.Contain("broken by the test"));
        Assert.That(node.Status.Role, Is.EqualTo("failed"));
        Assert.That(async () => await node.ReadBarrierAsync(RealCluster.Soon()), Throws.InstanceOf<RaftException>());
    }

    [Test]
    public async Task Cancelling_stops_the_waiting_not_the_write()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo");
        _ = await node.ProposeAsync("a"u8.ToArray(), RealCluster.Soon());
        using var go = new ManualResetEventSlim();
        cluster.Machine("solo").OnApply = go.Wait;
        using var cancel = new CancellationTokenSource();
        Task<ProposalResult> waiting = node.ProposeAsync("b"u8.ToArray(), cancel.Token).AsTask();
        await Task.Delay(50);
        await cancel.CancelAsync();
        RaftException error = await RealCluster.Thrown(async () => await waiting);
        Assert.That((error.Code, error.Outcome), Is.EqualTo((RaftErrorCode.DeadlineExceeded, WriteOutcome.Unknown)));
        go.Set();
        _ = await node.ReadBarrierAsync(RealCluster.Soon());
        Assert.That(cluster.Machine("solo").Payloads.Select(Encoding.UTF8.GetString), Is.EqualTo(new[] { "a", "b" }));
        using var before = new CancellationTokenSource();
        await before.CancelAsync();
        Assert.That((await RealCluster.Thrown(async () => await node.ProposeAsync("c"u8.ToArray(), before.Token))).Outcome, Is.EqualTo(WriteOutcome.NotApplied));
    }

    [Test]
    public async Task A_payload_above_the_limit_is_refused()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo", o => o.MaxProposalBytes = 4096);
        RaftException error = await RealCluster.Thrown(async () => await node.ProposeAsync(new byte[4097], RealCluster.Soon()));
        Assert.That((error.Code, error.Outcome), Is.EqualTo((RaftErrorCode.TooLarge, WriteOutcome.NotApplied)));
    }

    [Test]
    public async Task After_dispose_callers_are_told()
    {
        await using var cluster = new RealCluster(("solo", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("solo");
        await node.WaitForLeaderAsync(RealCluster.Soon());
        await cluster.StopAsync("solo");
        Assert.That((await RealCluster.Thrown(async () => await node.ProposeAsync(new byte[1]))).Code, Is.EqualTo(RaftErrorCode.Stopped));
        Assert.That(node.Status.Role, Is.EqualTo("stopped"));
        await node.DisposeAsync();
    }
}
