using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using NUnit.Framework;

namespace Loom.Raft.Tests.Host;

/// <summary>
/// E1 with real nodes in this process: a member whose directory is empty, damaged or out of date comes back whole, under a new id and in its role, with nobody's help. Never with what it had forgotten.
/// </summary>
[Parallelizable(ParallelScope.All)]
public sealed class RejoinTests
{
    private const int Limit = 30;

    [Test]
    public async Task An_emptied_voter_comes_back_under_a_new_id()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        await ComeBackAsync(cluster, victim, directory => Directory.Delete(directory, recursive: true));
        Assert.That(cluster.Machine(victim).Payloads, Has.Count.GreaterThanOrEqualTo(50));

        // It counts: with another one gone, the two that are left decide.
        string other = cluster.List.First(m => m.Name != victim && m.Name != cluster.LeaderName()).Name;
        await cluster.StopAsync(other);
        _ = await cluster[victim].ProposeAsync("counted"u8.ToArray(), RealCluster.Soon());
        await cluster.StopAsync(victim);
        await cluster.StartAsync(other);
        await cluster.StartAsync(victim);
        _ = await cluster[victim].ReadBarrierAsync(RealCluster.Soon());
        await cluster.AssertEqualAsync();
    }

    [Test]
    public async Task An_emptied_leader_comes_back_under_a_new_id()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await cluster.LeaderAsync();
        MemberId old = cluster[victim].Status.MemberId;
        await cluster.StopAsync(victim);
        Directory.Delete(cluster.DirectoryOf(victim), recursive: true);
        await cluster.StartAsync(victim, o => o.JoinOnly = true);
        await WholeAsync(cluster, victim, old, MemberRole.Voter);
    }

    [Test]
    public async Task Members_that_may_only_join_form_no_cluster()
    {
        await using RealCluster cluster = RealCluster.OfThree();
        foreach (string name in new[] { "east", "west", "south" }) await cluster.StartAsync(name, o => o.JoinOnly = true);
        await Task.Delay(1500);
        Assert.That(cluster.Nodes.Select(n => n.Status.ClusterId), Is.All.Zero);
        Assert.That(cluster["east"].Status.Obstacle, Does.Contain("no member of the cluster is heard"));
    }

    [Test]
    public async Task An_emptied_standby_comes_back_as_a_standby()
    {
        await using RealCluster cluster = await Written(new RealCluster(
            ("east", MemberRole.Voter), ("west", MemberRole.Voter), ("south", MemberRole.Voter), ("spare", MemberRole.Standby)));
        MemberId old = cluster["spare"].Status.MemberId;
        // Until the leader has written its incarnation down, an empty directory is as good as the first one: a standby promises nothing.
        CancellationToken limit = RealCluster.Soon();
        while (cluster["east"].Configuration.Find(old)!.Incarnation == 0) await Task.Delay(20, limit);
        await cluster.StopAsync("spare");
        Directory.Delete(cluster.DirectoryOf("spare"), recursive: true);
        await cluster.StartAsync("spare");
        await WholeAsync(cluster, "spare", old, MemberRole.Standby);
    }

    [Test]
    public async Task One_member_after_the_other_may_be_emptied_all_of_them_and_again()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        foreach (string victim in new[] { "east", "west", "south", "east" })
        {
            await ComeBackAsync(cluster, victim, directory => Directory.Delete(directory, recursive: true));
        }
        foreach (string name in new[] { "east", "west", "south" }) await cluster.StopAsync(name);
        await cluster.StartAllAsync();
        _ = await cluster["south"].ReadBarrierAsync(RealCluster.Soon());
        await cluster.AssertEqualAsync();
        Assert.That(cluster.Machine("east").Payloads, Has.Count.GreaterThanOrEqualTo(50));
    }

    /// <summary>Two of three are gone: the one that is left decides nothing with an empty one, and no second cluster forms.</summary>
    [Test]
    public async Task An_emptied_member_does_not_stand_in_for_a_lost_majority()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        string other = cluster.List.First(m => m.Name != victim && m.Name != cluster.LeaderName()).Name;
        string left = cluster.List.First(m => m.Name != victim && m.Name != other).Name;
        await cluster.StopAsync(victim);
        await cluster.StopAsync(other);
        Directory.Delete(cluster.DirectoryOf(victim), recursive: true);
        RaftNode emptied = await cluster.StartAsync(victim);
        CancellationToken limit = RealCluster.Soon();
        while (emptied.Status.Obstacle?.Contains("emptied or replaced", StringComparison.Ordinal) != true) await Task.Delay(20, limit);
        Assert.That(emptied.Status.Obstacle, Does.Contain($"silent: {other}"));
        await Task.Delay(1500);
        Assert.That((emptied.Status.Role, emptied.Status.ClusterId), Is.EqualTo(("forming", 0UL)));
        RaftException refused = await RealCluster.Thrown(async () => await emptied.ProposeAsync("y"u8.ToArray()));
        Assert.That((refused.Code, refused.Outcome), Is.EqualTo((RaftErrorCode.NoQuorum, WriteOutcome.NotApplied)));
        using var patience = new CancellationTokenSource(1500);
        Assert.That(async () => await cluster[left].ProposeAsync("x"u8.ToArray(), patience.Token), Throws.InstanceOf<RaftException>());
        await cluster.StartAsync(other);
        await WholeAsync(cluster, victim, InitialConfiguration.IdOf("loom-cluster", victim), MemberRole.Voter);
    }

    [Test]
    public async Task A_name_that_is_running_is_refused_to_another_directory()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string running = await FollowerAsync(cluster);
        int port = Loom.Testing.FreePorts.Take();
        RaftNodeOptions options = cluster.Options(running);
        options.DataDirectory = cluster.DirectoryOf("second");
        options.ListenPeerUrls = [$"http://127.0.0.1:{port}"];
        await using RaftNode second = await RaftNode.OpenAsync(options, new ListMachine());
        CancellationToken limit = RealCluster.Soon();
        while (second.Status.Obstacle?.Contains($"{running} is already running at http", StringComparison.Ordinal) != true) await Task.Delay(20, limit);
        await Task.Delay(1500);
        Assert.That(second.Status.ClusterId, Is.Zero);
        Assert.That(cluster[cluster.LeaderName()].Configuration.Members, Has.Count.EqualTo(3));
        _ = await cluster[running].ProposeAsync("undisturbed"u8.ToArray(), RealCluster.Soon());
    }

    [Test]
    public async Task An_old_copy_of_a_directory_is_put_aside([Values] bool ofLeader)
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = ofLeader ? await cluster.LeaderAsync() : await FollowerAsync(cluster);
        MemberId old = cluster[victim].Status.MemberId;
        string copy = cluster.DirectoryOf("copy");
        CopyDirectory(cluster.DirectoryOf(victim), copy);
        await WriteAsync(cluster, 50);
        await Task.Delay(300);
        await cluster.StopAsync(victim);
        Directory.Delete(cluster.DirectoryOf(victim), recursive: true);
        Directory.Move(copy, cluster.DirectoryOf(victim));
        await cluster.StartAsync(victim);
        await WholeAsync(cluster, victim, old, MemberRole.Voter);
        Assert.That(Directory.Exists(cluster.DirectoryOf(victim) + ".damaged-1"));
    }

    [TestCase("raft/synced")]
    [TestCase("cluster")]
    [TestCase("starts")]
    [TestCase("raft/0*")]
    public async Task A_damaged_directory_is_put_aside(string pattern)
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        await ComeBackAsync(cluster, victim, directory => Damage(directory, pattern));
        Assert.That(Directory.Exists(cluster.DirectoryOf(victim) + ".damaged-1"));
    }

    [Test]
    public async Task Of_damaged_directories_the_newest_is_kept()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        for (int time = 1; time <= 2; time++)
        {
            await ComeBackAsync(cluster, victim, directory => Damage(directory, "cluster"));
            for (int n = 1; n <= 2; n++) Assert.That(Directory.Exists(cluster.DirectoryOf(victim) + $".damaged-{n}"), Is.EqualTo(n == time));
        }
    }

    /// <summary>What a running member learned of itself, it acts on at its next start, whatever the others remember then.</summary>
    [Test]
    public async Task A_directory_that_was_marked_is_put_aside()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        await ComeBackAsync(cluster, victim, directory => ForgottenMark.Write(PosixFileSystem.Instance, directory, "told by another member"));
        Assert.That(Directory.Exists(cluster.DirectoryOf(victim) + ".damaged-1"));
    }

    /// <summary>Nobody could fill it: the file, the offset and the remedy are told, and everything stays where it is.</summary>
    [Test]
    public async Task A_damaged_directory_is_refused_without_a_quorum_of_the_others()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        string other = cluster.List.First(m => m.Name != victim && m.Name != cluster.LeaderName()).Name;
        await cluster.StopAsync(victim);
        await cluster.StopAsync(other);
        Damage(cluster.DirectoryOf(victim), "cluster");
        RaftException refused = await RealCluster.Thrown(() => cluster.StartAsync(victim, seekLimit: TimeSpan.FromSeconds(1)));
        Assert.That(refused, Is.InstanceOf<CorruptionException>());
        Assert.That(((CorruptionException)refused).File, Does.EndWith("cluster"));
        Assert.That(refused.Message, Does.Contain("at offset").And.Contain("cannot be filled from the others").And.Contain($"silent: {other}"));
        Assert.That((Directory.Exists(cluster.DirectoryOf(victim) + ".damaged-1"), File.Exists(cluster.DirectoryOf(victim) + "/cluster")), Is.EqualTo((false, true)));
        await cluster.StartAsync(other);
        await cluster.StartAsync(victim);
        await WholeAsync(cluster, victim, InitialConfiguration.IdOf("loom-cluster", victim), MemberRole.Voter);
    }

    /// <summary>Every start raises the counter of the copy, so after a few of them it would be ahead of what the others remember: the first accusation has to last.</summary>
    [Test]
    public async Task An_old_copy_is_refused_however_often_it_is_started()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        string other = cluster.List.First(m => m.Name != victim && m.Name != cluster.LeaderName()).Name;
        string left = cluster.List.First(m => m.Name != victim && m.Name != other).Name;
        MemberId old = cluster[victim].Status.MemberId;
        string copy = cluster.DirectoryOf("copy");
        CopyDirectory(cluster.DirectoryOf(victim), copy);
        await cluster.StopAsync(victim);
        await cluster.StartAsync(victim);
        await WriteAsync(cluster, 50);
        await cluster.AssertEqualAsync();
        foreach (string name in new[] { victim, other, left }) await cluster.StopAsync(name);
        Directory.Delete(cluster.DirectoryOf(victim), recursive: true);
        Directory.Move(copy, cluster.DirectoryOf(victim));

        // Whoever is left has been restarted too: it remembers what is in its file, the starts. And it is no quorum, so the copy is not given up either.
        await cluster.StartAsync(left);
        for (int start = 1; start <= 4; start++)
        {
            // It asks for an election timeout at most, and this test is not about a witness that is slow.
            RaftException refused = await RealCluster.Thrown(() => cluster.StartAsync(victim, o => o.ElectionTimeout = TimeSpan.FromSeconds(10), TimeSpan.FromMilliseconds(300)));
            Assert.That(refused, Is.InstanceOf<CorruptionException>(), $"start {start}");
        }
        await cluster.StartAsync(other);
        await cluster.StartAsync(victim);
        await WholeAsync(cluster, victim, old, MemberRole.Voter);
    }

    /// <summary>While everybody who knew better is away the copy is started until its counter is ahead of what they remember; what they remember is a start that it never was.</summary>
    [Test]
    public async Task An_old_copy_that_was_started_often_before_it_met_anybody_is_put_aside()
    {
        await using RealCluster cluster = await Written(RealCluster.OfThree());
        string victim = await FollowerAsync(cluster);
        MemberId old = cluster[victim].Status.MemberId;
        await cluster.StopAsync(victim);
        string copy = cluster.DirectoryOf("copy");
        CopyDirectory(cluster.DirectoryOf(victim), copy);
        await cluster.StartAsync(victim);
        await WriteAsync(cluster, 50);
        await cluster.AssertEqualAsync();
        foreach (string name in cluster.List.Select(m => m.Name)) await cluster.StopAsync(name);
        Directory.Delete(cluster.DirectoryOf(victim), recursive: true);
        Directory.Move(copy, cluster.DirectoryOf(victim));
        for (int start = 1; start <= 4; start++)
        {
            await cluster.StartAsync(victim);
            await cluster.StopAsync(victim);
        }

        // The others have been restarted since: of the victim's log they remember nothing, only its starts.
        string[] others = [.. cluster.List.Select(m => m.Name).Where(name => name != victim)];
        foreach (string other in others) await cluster.StartAsync(other);
        _ = await cluster.LeaderAsync();
        await cluster.StartAsync(victim);
        await WholeAsync(cluster, victim, old, MemberRole.Voter);
        Assert.That(Directory.Exists(cluster.DirectoryOf(victim) + ".damaged-1"));
    }

    private static async Task<RealCluster> Written(RealCluster cluster)
    {
        await cluster.StartAllAsync();
        await WriteAsync(cluster, 50);
        return cluster;
    }

    private static async Task WriteAsync(RealCluster cluster, int count)
    {
        RaftNode leader = cluster[await cluster.LeaderAsync()];
        for (int i = 0; i < count; i++) _ = await leader.ProposeAsync(BitConverter.GetBytes(i), RealCluster.Soon());
    }

    private static async Task<string> FollowerAsync(RealCluster cluster)
    {
        string leader = await cluster.LeaderAsync();
        return cluster.List.First(m => m.Name != leader && m.Role == MemberRole.Voter).Name;
    }

    /// <summary>A voter stops, loses its directory in some way, and comes back whole under another id.</summary>
    private static async Task ComeBackAsync(RealCluster cluster, string victim, Action<string> lose)
    {
        MemberId old = cluster[victim].Status.MemberId;
        await cluster.StopAsync(victim);
        lose(cluster.DirectoryOf(victim));
        await cluster.StartAsync(victim);
        await WholeAsync(cluster, victim, old, MemberRole.Voter);
    }

    /// <summary>In its role under another id everywhere, caught up, and equal.</summary>
    private static async Task WholeAsync(RealCluster cluster, string victim, MemberId old, MemberRole role)
    {
        long begun = Environment.TickCount64;
        CancellationToken limit = RealCluster.Soon(Limit);
        while (!cluster.Nodes.All(n => IsWhole(n.Configuration)))
        {
            if (limit.IsCancellationRequested) Assert.Fail($"{victim} is not whole after {Limit} s:\n" + string.Join('\n', cluster.Nodes.Select(Describe)));
            await Task.Delay(20, CancellationToken.None);
        }
        _ = await cluster[victim].ReadBarrierAsync(RealCluster.Soon());
        await cluster.AssertEqualAsync();
        Assert.That(cluster[victim].Status.Obstacle, Is.Null);
        TestContext.Out.WriteLine($"{victim} whole after {Environment.TickCount64 - begun} ms");

        bool IsWhole(Configuration configuration) => !configuration.IsJoint && configuration.Members.Count == cluster.List.Count
            && configuration.Members.Single(m => m.Name == victim) is { } member && member.Id != old && member.Role == role && member.Id == cluster[victim].Status.MemberId;
    }

    private static string Describe(RaftNode node) =>
        $"{node.Status.MemberId} {node.Status.Role} applied {node.Status.AppliedIndex} obstacle {node.Status.Obstacle}: {string.Join(", ", node.Configuration.Members.Select(m => $"{m.Name} {m.Id} {m.Role}"))}";

    private static void Damage(string directory, string pattern)
    {
        string[] files = Directory.GetFiles(Path.Combine(directory, Path.GetDirectoryName(pattern) ?? ""), Path.GetFileName(pattern));
        Assert.That(files, Is.Not.Empty);
        byte[] bytes = File.ReadAllBytes(files[0]);
        for (int at = 20; at < bytes.Length; at += 4096) bytes[at] ^= 4;
        File.WriteAllBytes(files[0], bytes);
    }

    private static void CopyDirectory(string from, string to)
    {
        _ = Directory.CreateDirectory(to);
        // The lock is the process's, not the directory's.
        foreach (string path in Directory.GetFiles(from).Where(f => Path.GetFileName(f) != "lock")) File.Copy(path, Path.Combine(to, Path.GetFileName(path)));
        foreach (string path in Directory.GetDirectories(from)) CopyDirectory(path, Path.Combine(to, Path.GetFileName(path)));
    }
}
