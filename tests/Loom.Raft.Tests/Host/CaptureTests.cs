using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>Captures of a running replica, as a backup takes them.</summary>
public sealed class CaptureTests
{
    [Test]
    public async Task A_capture_is_the_state_of_one_moment_while_writes_go_on()
    {
        await using var cluster = RealCluster.OfThree();
        await cluster.StartAllAsync();
        string leader = await cluster.LeaderAsync();
        string other = cluster.List.Select(m => m.Name).First(n => n != leader);
        for (byte i = 0; i < 30; i++) await cluster[other].ProposeAsync(new[] { i });
        long barrier = await cluster[other].ReadBarrierAsync();
        using RaftSnapshot snapshot = await cluster[other].CaptureSnapshotAsync();
        for (byte i = 30; i < 60; i++) await cluster[other].ProposeAsync(new[] { i });
        SnapshotManifest manifest = SnapshotManifestCodec.Decode(snapshot.Manifest.Span);
        Assert.That((manifest.ClusterId, manifest.Source), Is.EqualTo((cluster[other].Status.ClusterId, cluster[other].Status.MemberId)));
        Assert.That((snapshot.ClusterId, snapshot.Source), Is.EqualTo((manifest.ClusterId, manifest.Source)));
        Assert.That(manifest.At.Index, Is.GreaterThanOrEqualTo(barrier), "all that was acknowledged before");
        Assert.That(manifest.At.Term, Is.GreaterThan(0).And.LessThanOrEqualTo(manifest.SourceTerm));
        Assert.That(manifest.Configuration.Configuration.Members.Select(m => m.Name), Is.EquivalentTo(cluster.List.Select(m => m.Name)));
        Assert.That(Restored(snapshot.State, manifest).Select(p => p[0]), Is.EqualTo(Enumerable.Range(0, 30)));
    }

    [Test]
    public async Task Two_may_be_held_and_a_third_is_refused()
    {
        await using var cluster = new RealCluster(("alone", MemberRole.Voter));
        await cluster.StartAsync("alone");
        await cluster["alone"].ProposeAsync(new byte[] { 1 });
        RaftSnapshot first = await cluster["alone"].CaptureSnapshotAsync(), second = await cluster["alone"].CaptureSnapshotAsync();
        RaftException refused = await RealCluster.Thrown(() => cluster["alone"].CaptureSnapshotAsync().AsTask());
        Assert.That(refused.Code, Is.EqualTo(RaftErrorCode.Overloaded));
        first.Dispose();
        first.Dispose();
        using (await cluster["alone"].CaptureSnapshotAsync())
        {
            Assert.That((await RealCluster.Thrown(() => cluster["alone"].CaptureSnapshotAsync().AsTask())).Code, Is.EqualTo(RaftErrorCode.Overloaded), "the second disposal gave nothing back");
        }
        second.Dispose();
        Assert.That(cluster.Machine("alone").OpenCaptures, Is.Zero);
    }

    /// <summary>A capture that comes after its caller left is given back.</summary>
    [Test]
    public async Task Who_does_not_wait_leaves_nothing_behind()
    {
        await using var cluster = new RealCluster(("alone", MemberRole.Voter));
        await cluster.StartAsync("alone");
        await cluster["alone"].ProposeAsync(new byte[] { 1 });
        using var applying = new ManualResetEventSlim();
        using var goOn = new ManualResetEventSlim();
        cluster.Machine("alone").OnApply = () =>
        {
            applying.Set();
            goOn.Wait();
        };
        Task<ProposalResult> write = cluster["alone"].ProposeAsync(new byte[] { 2 }).AsTask();
        applying.Wait();
        using var patience = new CancellationTokenSource(50);
        Assert.That((await RealCluster.Thrown(() => cluster["alone"].CaptureSnapshotAsync(patience.Token).AsTask())).Code, Is.EqualTo(RaftErrorCode.DeadlineExceeded));
        cluster.Machine("alone").OnApply = null;
        goOn.Set();
        await write;
        for (int i = 0; i < 2; i++) (await cluster["alone"].CaptureSnapshotAsync()).Dispose();
        Assert.That(() => cluster.Machine("alone").OpenCaptures, Is.Zero.After(2000, 5));
    }

    [Test]
    public async Task A_member_that_failed_or_stopped_says_so()
    {
        await using var cluster = new RealCluster(("alone", MemberRole.Voter));
        RaftNode node = await cluster.StartAsync("alone");
        await node.ProposeAsync(new byte[] { 1 });
        cluster.Machine("alone").OnApply = () => throw new InvalidOperationException("broken");
        _ = await RealCluster.Thrown(() => node.ProposeAsync(new byte[] { 2 }).AsTask());
        Assert.That((await RealCluster.Thrown(() => node.CaptureSnapshotAsync().AsTask())).Code, Is.EqualTo(RaftErrorCode.Failed));
    }

    private static byte[][] Restored(IStateSnapshot state, SnapshotManifest manifest)
    {
        IStateInstallation installation = new ListMachine().BeginInstall(manifest.At, manifest.Header);
        ReadOnlyMemory<byte> cursor = default;
        while (state.Read(cursor, 1000) is { } chunk)
        {
            installation.Write(chunk);
            cursor = chunk.Cursor;
        }
        installation.Complete();
        return ((ListInstallation)installation).Whole!.Payloads;
    }
}
