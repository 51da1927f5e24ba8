using Loom.Testing;
using NUnit.Framework;
using Loom.Scenarios.Processes;
using Loom.Scenarios.Workload;

namespace Loom.Scenarios;

/// <summary>
/// Real processes, real sockets, a real disk: six members in three datacenters under load while processes die or stop. Afterwards every acknowledged write must be present on every replica,
/// and the history linearizable. Once under <c>dotnet test</c>; LOOM_ROUNDS=5 runs each fault five times on the same cluster.
/// </summary>
[NonParallelizable]
public sealed class DatacenterLossTests
{

    [Test]
    public Task Acknowledged_writes_survive_kill_9_of_the_leader() => RunAsync(1, async cluster =>
    {
        LoomProcess leader = await cluster.LeaderAsync();
        leader.Kill();
        await Task.Delay(TimeSpan.FromSeconds(3));
        cluster.Start(leader);
    }, onlyWhereThereIsTime: true);

    [Test]
    public Task Acknowledged_writes_survive_kill_9_of_a_follower() => RunAsync(2, async cluster =>
    {
        LoomProcess leader = await cluster.LeaderAsync();
        LoomProcess follower = cluster.Nodes.First(n => !n.IsStandby && n != leader);
        follower.Kill();
        await Task.Delay(TimeSpan.FromSeconds(2));
        cluster.Start(follower);
    }, onlyWhereThereIsTime: true);

    [Test]
    public Task Acknowledged_writes_survive_the_loss_of_the_leaders_datacenter() => RunAsync(3, async cluster =>
    {
        string datacenter = (await cluster.LeaderAsync()).Datacenter;
        foreach (LoomProcess node in cluster.In(datacenter))
        {
            node.Kill();
        }

        await Task.Delay(TimeSpan.FromSeconds(3));
        foreach (LoomProcess node in cluster.In(datacenter))
        {
            cluster.Start(node);
        }
    });

    [Test]
    public Task Acknowledged_writes_survive_kill_9_of_all_six_at_once() => RunAsync(4, async cluster =>
    {
        foreach (LoomProcess node in cluster.Nodes)
        {
            node.Kill();
        }

        await Task.Delay(TimeSpan.FromMilliseconds(300));
        foreach (LoomProcess node in cluster.Nodes)
        {
            cluster.Start(node);
        }
    });

    [Test]
    public Task A_leader_that_is_stopped_and_wakes_up_serves_nothing_stale() => RunAsync(5, async cluster =>
    {
        LoomProcess leader = await cluster.LeaderAsync();
        leader.Pause();
        await Task.Delay(TimeSpan.FromSeconds(3));
        leader.Resume();
    });

    private static async Task RunAsync(int seed, Func<LoomCluster, Task> fault, bool onlyWhereThereIsTime = false)
    {
        if (onlyWhereThereIsTime)
        {
            TestRun.RequireTime();
        }

        using LoomCluster cluster = await LoomCluster.StartAsync();
        using ScenarioWorkload workload = new(cluster, seed);
        for (int round = 0; round < TestRun.Rounds; round++)
        {
            long before = workload.Acknowledged;
            workload.Start();
            await Task.Delay(TimeSpan.FromSeconds(1.5));
            await fault(cluster);
            await cluster.WaitUntilServingAsync();
            await Task.Delay(TimeSpan.FromSeconds(1));
            await workload.StopAsync();
            Assert.That(workload.Acknowledged - before, Is.GreaterThan(50), "too little was written for the round to prove anything\n" + cluster.Outputs());
        }

        await Judgement.CheckAsync(cluster, workload);
    }
}
