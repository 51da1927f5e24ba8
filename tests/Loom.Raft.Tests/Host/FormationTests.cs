using Loom.Raft.Host;
using Loom.Raft.Transport;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>What the host makes of formation: nothing waits that need not.</summary>
public sealed class FormationTests
{
    /// <summary>Before there is a replica nobody takes events: a failure must not lie in the inbox until it ends the member that has just formed.</summary>
    [Test]
    public async Task A_thread_that_fails_before_the_cluster_has_formed_is_told_at_once()
    {
        await using RealCluster cluster = RealCluster.OfThree();
        using var host = new ReplicaHost(RaftNode.SettingsFor(cluster.Options("east"), 7), new ListMachine());
        host.Start(CancellationToken.None);
        ((IPeerEvents)host).Failed(new InvalidOperationException("the thread of a lane"));
        Task soon = Task.Delay(3000);
        while (host.Status().Failure is null && !soon.IsCompleted) await Task.Delay(5);
        Assert.That((host.Status().Role, host.Status().Failure), Is.EqualTo(("failed", "the thread of a lane")));
    }

    /// <summary>Each step of formation calls the peers at once: with back-offs of half a minute and more the cluster is formed as soon as the last voter is there.</summary>
    [Test]
    public async Task Formation_waits_for_no_back_off()
    {
        await using RealCluster cluster = RealCluster.OfThree();
        List<RaftNode> nodes = [];
        try
        {
            foreach (InitialMember member in cluster.List)
            {
                HostSettings settings = RaftNode.SettingsFor(cluster.Options(member.Name), (ulong)nodes.Count + 7);
                settings = settings with { Lanes = settings.Lanes with { BackOffFirst = 30_000_000_000, BackOffMost = 60_000_000_000 } };
                nodes.Add(await RaftNode.OpenAsync(settings, new ListMachine()));
            }
            foreach (RaftNode node in nodes) await node.WaitForLeaderAsync(RealCluster.Soon());
        }
        finally
        {
            foreach (RaftNode node in nodes) await node.DisposeAsync();
        }
    }
}
