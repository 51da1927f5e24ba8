using System.Diagnostics;
using Loom.Scenarios.Processes;
using Loom.Scenarios.Workload;
using Loom.Server.Hosting.Protos;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// The user's story: services in a datacenter know one address, a load balancer that asks members whether writes go through them. The datacenter's members die; traffic moves to the others, no
/// acknowledged write is lost, reads see it, a watch goes on without a gap; the members come back, and traffic with them.
/// </summary>
[NonParallelizable]
public sealed class HaproxyTests
{
    private const string Home = "east";

    [Test]
    public async Task Traffic_moves_when_a_datacenter_dies_and_comes_back()
    {
        TestRun.RequireTime();
        using LoomCluster cluster = await LoomCluster.StartAsync();
        using HaproxyProcess balancer = HaproxyProcess.Start(cluster, Home);
        using BalancedTraffic traffic = new(balancer.Endpoint);
        await traffic.UntilNextAsync(TimeSpan.FromSeconds(10));
        ulong[] home = await IdsAsync(cluster, Home);

        long start = Stopwatch.GetTimestamp();
        await Task.Delay(TimeSpan.FromSeconds(2));
        Assert.That(traffic.AnsweredSince(start), Is.SubsetOf(home), "the members nearby are used while they are there\n" + balancer.Output);

        foreach (LoomProcess node in cluster.In(Home))
        {
            node.Kill();
        }

        long killed = Stopwatch.GetTimestamp();
        await traffic.UntilNextAsync(TimeSpan.FromSeconds(15));
        await Task.Delay(TimeSpan.FromSeconds(4));
        TimeSpan outage = traffic.LongestGapSince(start);
        TestContext.Out.WriteLine($"the longest time without an acknowledged put: {outage.TotalSeconds:0.00} s");
        Assert.That(traffic.AnsweredSince(killed + Stopwatch.Frequency), Is.Not.Empty);
        Assert.That(traffic.AnsweredSince(killed + Stopwatch.Frequency).Intersect(home), Is.Empty);
        Assert.That(outage, Is.LessThan(TimeSpan.FromSeconds(8)), "the checks, and an election if the leader was there\n" + balancer.Output);
        foreach (LoomProcess node in cluster.In(Home))
        {
            cluster.Start(node);
        }

        await cluster.WaitUntilServingAsync();
        ulong[] again = await IdsAsync(cluster, Home);
        await UntilAsync(() => traffic.AnsweredSince(Stopwatch.GetTimestamp() - (Stopwatch.Frequency / 2)).Intersect(again).Any(), balancer);
        await traffic.StopAsync();
        Assert.That(traffic.Acknowledged, Is.GreaterThan(200), "too little was written to prove anything");
        foreach (LoomProcess node in cluster.Nodes)
        {
            await traffic.CheckAsync(cluster.Kv(node));
        }

        traffic.CheckWatch();
    }

    private static async Task<ulong[]> IdsAsync(LoomCluster cluster, string datacenter)
    {
        ClusterStatusResponse?[] all = await Task.WhenAll(cluster.In(datacenter).Select(cluster.StatusAsync));
        return [.. all.Select(status => status!.MemberId)];
    }

    private static async Task UntilAsync(Func<bool> condition, HaproxyProcess balancer)
    {
        for (int i = 0; !condition(); i++)
        {
            Assert.That(i, Is.LessThan(200), "traffic does not come back\n" + balancer.Output);
            await Task.Delay(50);
        }
    }
}
