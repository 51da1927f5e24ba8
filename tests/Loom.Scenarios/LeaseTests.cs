using System.Diagnostics;
using Google.Protobuf;
using Grpc.Core;
using Loom.Scenarios.Processes;
using Loom.Server.Etcd.Protos;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// Leases of three real processes whose leader dies, or which all stop (T5): none ends before its time has passed, and none gets its whole time again. The figures allow for a machine that is shared:
/// what must never be is exact, what may be late is wide.
/// </summary>
[NonParallelizable]
public sealed class LeaseTests
{
    private static readonly ByteString Key = ByteString.CopyFromUtf8("leased");

    /// <summary>etcd would begin the twelve seconds again at the new leader, and the key would live for twenty-one.</summary>
    [Test]
    public async Task A_leader_that_is_killed_neither_ends_a_lease_nor_begins_its_time_again()
    {
        await RunAsync(async cluster =>
        {
            LoomProcess leader = await cluster.LeaderAsync();
            LoomProcess other = cluster.Nodes.First(node => node != leader);
            Stopwatch time = await GrantAsync(cluster, other, seconds: 12);
            await Task.Delay(TimeSpan.FromSeconds(8));
            leader.Kill();
            TimeSpan lived = await LifeAsync(cluster, other, time, TimeSpan.FromSeconds(60));
            TestContext.Out.WriteLine($"the key lived for {lived.TotalSeconds:F2} s");
            Assert.That(lived, Is.GreaterThanOrEqualTo(TimeSpan.FromSeconds(12)), "ended early");
            Assert.That(lived, Is.LessThan(TimeSpan.FromSeconds(18)), "its time began again");
        });
    }

    /// <summary>Renewals go to whoever leads, from any member; while they come nothing ends.</summary>
    [Test]
    public async Task A_lease_that_is_renewed_lives_through_two_changes_of_leader()
    {
        TestRun.RequireTime();
        await RunAsync(async cluster =>
        {
            LoomProcess other = (await FollowerAsync(cluster))!;
            Stopwatch time = await GrantAsync(cluster, other, seconds: 8);
            using var stop = new CancellationTokenSource();
            Task<List<long>> renewing = RenewAsync(cluster, other, stop.Token);
            for (int round = 0; round < 2; round++)
            {
                await Task.Delay(TimeSpan.FromSeconds(3));
                LoomProcess leader = await cluster.LeaderAsync();
                if (leader == other)
                {
                    continue;
                }

                leader.Kill();
                await Task.Delay(TimeSpan.FromSeconds(3));
                cluster.Start(leader);
                await cluster.WaitUntilServingAsync();
            }

            await stop.CancelAsync();
            List<long> answers = await renewing;
            Assert.That(time.Elapsed, Is.GreaterThan(TimeSpan.FromSeconds(8)));
            Assert.That(answers, Has.Count.GreaterThan(5).And.All.EqualTo(8), cluster.Outputs());
            Assert.That((await cluster.Kv(other).RangeAsync(new RangeRequest { Key = Key })).Count, Is.EqualTo(1));
        });
    }

    /// <summary>Time that nobody leads does not count: who wakes up finds its lease, and can renew it.</summary>
    [Test]
    public async Task All_members_that_stop_for_longer_than_the_lease_do_not_end_it()
    {
        TestRun.RequireTime();
        await RunAsync(async cluster =>
        {
            LoomProcess node = cluster.Nodes[0];
            Stopwatch time = await GrantAsync(cluster, node, seconds: 6);
            await Task.Delay(500);
            foreach (LoomProcess member in cluster.Nodes)
            {
                member.Pause();
            }

            TimeSpan paused = time.Elapsed;
            await Task.Delay(TimeSpan.FromSeconds(10));
            TimeSpan resumed = time.Elapsed;
            foreach (LoomProcess member in cluster.Nodes)
            {
                member.Resume();
            }

            await cluster.LeaderAsync();
            await Task.Delay(1000);
            Assert.That((await cluster.Kv(node).RangeAsync(new RangeRequest { Key = Key })).Count, Is.EqualTo(1), "the pause counted as time");
            TimeSpan lived = await LifeAsync(cluster, node, time, TimeSpan.FromSeconds(60)) - (resumed - paused);
            TestContext.Out.WriteLine($"the key lived for {lived.TotalSeconds:F2} s beside the pause");

            // At most one election timeout of the pause counts.
            Assert.That(lived, Is.InRange(TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(14)));
        });
    }

    private static async Task RunAsync(Func<LoomCluster, Task> act)
    {
        string root = Directory.CreateTempSubdirectory("loom-scenario-").FullName;
        try
        {
            using LoomCluster cluster = await LoomCluster.StartThreeAsync(root);
            await act(cluster);
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
    }

    /// <summary>A key with a lease. The time begins before the lease can have.</summary>
    private static async Task<Stopwatch> GrantAsync(LoomCluster cluster, LoomProcess node, long seconds)
    {
        Stopwatch time = Stopwatch.StartNew();
        await cluster.Leases(node).LeaseGrantAsync(new LeaseGrantRequest { ID = 1, TTL = seconds });
        await cluster.Kv(node).PutAsync(new PutRequest { Key = Key, Value = Key, Lease = 1 });
        return time;
    }

    private static async Task<LoomProcess?> FollowerAsync(LoomCluster cluster)
    {
        LoomProcess leader = await cluster.LeaderAsync();
        return cluster.Nodes.FirstOrDefault(node => node != leader);
    }

    /// <summary>Twice a second, as a client with more patience than sense; the times to live that were answered. A call that fails says nothing, and is made again.</summary>
    private static async Task<List<long>> RenewAsync(LoomCluster cluster, LoomProcess node, CancellationToken stop)
    {
        List<long> answers = [];
        while (!stop.IsCancellationRequested)
        {
            try
            {
                using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = cluster.Leases(node).LeaseKeepAlive(deadline: DateTime.UtcNow.AddSeconds(5), cancellationToken: CancellationToken.None);
                await call.RequestStream.WriteAsync(new LeaseKeepAliveRequest { ID = 1 }, CancellationToken.None);
                if (await call.ResponseStream.MoveNext(CancellationToken.None))
                {
                    answers.Add(call.ResponseStream.Current.TTL);
                }
            }
            catch (RpcException)
            {
            }

            await Task.Delay(500, CancellationToken.None);
        }

        return answers;
    }

    /// <summary>How long the key lives, read linearizably: the moment before which it was seen for the last time.</summary>
    private static async Task<TimeSpan> LifeAsync(LoomCluster cluster, LoomProcess node, Stopwatch time, TimeSpan patience)
    {
        while (time.Elapsed < patience)
        {
            try
            {
                RangeResponse answer = await cluster.Kv(node).RangeAsync(new RangeRequest { Key = Key }, deadline: DateTime.UtcNow.AddSeconds(5));
                if (answer.Count == 0)
                {
                    return time.Elapsed;
                }
            }
            catch (RpcException)
            {
            }

            await Task.Delay(20);
        }

        throw new TimeoutException("the lease does not end\n" + cluster.Outputs());
    }
}
