using System.Diagnostics;
using Loom.Scenarios.Processes;
using Loom.Scenarios.Workload;
using Loom.Server.Hosting.Protos;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// E1 with real processes under load: a member whose directory is deleted, replaced by an old copy or damaged is started again with the same flags and is whole within 30 s, with nobody's help: under a new id
/// and in its old role in everybody's configuration, the old id gone, its data equal to the others'. Afterwards every acknowledged write must be there, and the history linearizable.
/// </summary>
[NonParallelizable]
public sealed class LostDirectoryTests
{
    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(30);

    [Test]
    public Task A_voter_whose_directory_is_deleted_is_whole_within_30_s() => RunAsync(11, FollowerAsync, (_, victim) => DeleteAsync(victim));

    [Test]
    public Task A_leader_whose_directory_is_deleted_is_whole_within_30_s() => RunAsync(12, cluster => cluster.LeaderAsync(), (_, victim) => DeleteAsync(victim), onlyWhereThereIsTime: true);

    [Test]
    public Task A_standby_whose_directory_is_deleted_is_whole_within_30_s() =>
        RunAsync(13, cluster => Task.FromResult(cluster.Nodes.First(n => n.IsStandby)), (_, victim) => DeleteAsync(victim), onlyWhereThereIsTime: true);

    /// <summary>Copied while the member was stopped: its number of starts gives it away.</summary>
    [Test]
    public Task An_old_copy_of_a_directory_never_votes_and_is_whole_within_30_s() => RunAsync(14, FollowerAsync, async (cluster, victim) =>
    {
        await victim.TerminateAsync();
        CopyDirectory(victim.DataDirectory, victim.DataDirectory + ".copy");
        cluster.Start(victim);
        await cluster.WaitUntilServingAsync();
        await Task.Delay(TimeSpan.FromSeconds(1));
        Restore(victim);
    }, onlyWhereThereIsTime: true);

    /// <summary>Copied while the member led and wrote: it was started no more often than its copy will be, but the others know how far it had come.</summary>
    [Test]
    public Task A_copy_of_a_running_leader_never_votes_and_is_whole_within_30_s() => RunAsync(15, cluster => cluster.LeaderAsync(), async (_, victim) =>
    {
        CopyDirectory(victim.DataDirectory, victim.DataDirectory + ".copy");
        await Task.Delay(TimeSpan.FromSeconds(2));
        Restore(victim);
    }, onlyWhereThereIsTime: true);

    [Test]
    public Task A_flipped_bit_in_the_log_is_put_aside_and_the_member_is_whole_within_30_s() => RunAsync(16, FollowerAsync, (_, victim) =>
    {
        victim.Kill();
        string segment = Directory.GetFiles(Path.Combine(victim.DataDirectory, "raft"), "*.log").Order(StringComparer.Ordinal).First();
        byte[] bytes = File.ReadAllBytes(segment);
        bytes[bytes.AsSpan().LastIndexOfAnyExcept((byte)0) / 2] ^= 8;
        File.WriteAllBytes(segment, bytes);
        return Task.CompletedTask;
    }, onlyWhereThereIsTime: true);

    private static async Task RunAsync(int seed, Func<LoomCluster, Task<LoomProcess>> choose, Func<LoomCluster, LoomProcess, Task> lose, bool onlyWhereThereIsTime = false)
    {
        if (onlyWhereThereIsTime)
        {
            TestRun.RequireTime();
        }

        using LoomCluster cluster = await LoomCluster.StartAsync();
        using ScenarioWorkload workload = new(cluster, seed);
        workload.Start();
        await Task.Delay(TimeSpan.FromSeconds(1.5));
        LoomProcess victim = await choose(cluster);
        ulong old = (await cluster.StatusAsync(victim))!.MemberId;
        await lose(cluster, victim);
        bool emptied = !Directory.Exists(victim.DataDirectory);
        Stopwatch watch = Stopwatch.StartNew();
        cluster.Start(victim);
        while (!await IsWholeAsync(cluster, victim, old))
        {
            Assert.That(watch.Elapsed, Is.LessThan(Limit), $"{victim.Name} is not whole\n{cluster.Outputs()}");
            await Task.Delay(50);
        }

        TestContext.Out.WriteLine($"{victim.Name} whole {watch.Elapsed.TotalSeconds:F1} s after its start");
        Assert.That(Directory.Exists(victim.DataDirectory + ".damaged-1"), Is.EqualTo(!emptied), "what was there is put aside");
        await Task.Delay(TimeSpan.FromSeconds(1));
        await workload.StopAsync();
        Assert.That(workload.Acknowledged, Is.GreaterThan(50), "too little was written for the round to prove anything\n" + cluster.Outputs());
        await Judgement.CheckAsync(cluster, workload);
    }

    /// <summary>Everybody's configuration holds it under a new id in its role, and it serves what the others have.</summary>
    private static async Task<bool> IsWholeAsync(LoomCluster cluster, LoomProcess victim, ulong old)
    {
        ClusterStatusResponse?[] all = await Task.WhenAll(cluster.Nodes.Select(cluster.StatusAsync));
        ClusterStatusResponse? self = all[cluster.Nodes.TakeWhile(n => n != victim).Count()];
        string role = victim.IsStandby ? "standby" : "voter";
        return self is { LeaderId: not 0, NoQuorum: false } && self.MemberId != old && self.AppliedIndex + 100 >= all.Max(s => s?.AppliedIndex ?? 0)
            && all.All(s => s is not null && s.Members.Count == cluster.Nodes.Count && s.Members.Single(m => m.Name == victim.Name) is { } member && member.Id == self.MemberId && member.Role == role);
    }

    private static async Task<LoomProcess> FollowerAsync(LoomCluster cluster)
    {
        LoomProcess leader = await cluster.LeaderAsync();
        return cluster.Nodes.First(n => !n.IsStandby && n != leader);
    }

    private static Task DeleteAsync(LoomProcess victim)
    {
        victim.Kill();
        Directory.Delete(victim.DataDirectory, recursive: true);
        return Task.CompletedTask;
    }

    private static void Restore(LoomProcess victim)
    {
        victim.Kill();
        Directory.Delete(victim.DataDirectory, recursive: true);
        Directory.Move(victim.DataDirectory + ".copy", victim.DataDirectory);
    }

    private static void CopyDirectory(string from, string to)
    {
        using Process copy = Process.Start("cp", ["-r", from, to]);
        copy.WaitForExit();
        Assert.That(copy.ExitCode, Is.Zero);
    }
}
