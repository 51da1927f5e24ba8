using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Loom.Scenarios.Processes;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting.Protos;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// S6 with real processes, each on a file system of its own, under load of puts, each to a key of its own. One member's disk runs full: the others go on, it lives, leads no more, serves reads, and recovers by
/// itself. All disks run full: puts are refused with the code, deletes and compactions go on, nobody dies. In the end every acknowledged put is there, on every member.
/// </summary>
[NonParallelizable]
public sealed class FullDiskTests
{
    private const int DiskMebibytes = 400;
    private static readonly TimeSpan Resume = TimeSpan.FromSeconds(5);

    private readonly List<SmallDisk> disks = [];
    private string root = "";

    [SetUp]
    public void MountDisks()
    {
        root = Directory.CreateTempSubdirectory("loom-full-").FullName;
        foreach (string name in LoomCluster.NamesOfThree)
        {
            disks.Add(SmallDisk.Mount(Path.Combine(root, name), DiskMebibytes));
        }
    }

    [TearDown]
    public void UnmountDisks()
    {
        disks.ForEach(disk => disk.Dispose());
        disks.Clear();
        Directory.Delete(root, recursive: true);
    }

    [Test]
    public async Task A_member_whose_disk_is_full_stops_nobody_and_recovers_by_itself()
    {
        using LoomCluster cluster = await LoomCluster.StartThreeAsync(root);
        var load = new Load(cluster);
        LoomProcess full = await cluster.LeaderAsync();
        LoomProcess[] others = [.. cluster.Nodes.Where(node => node != full)];
        load.Start(others, valueBytes: 32 << 10);
        await Task.Delay(TimeSpan.FromSeconds(1));
        Stopwatch watch = Stopwatch.StartNew();
        DiskOf(cluster, full).Fill();
        await UntilAsync(cluster, async () => await cluster.StatusAsync(full) is { Role: not "leader" }, "the member with the full disk still leads");
        TestContext.Out.WriteLine($"{full.Name} leads no more {watch.Elapsed.TotalSeconds:F1} s after it began to be filled");
        await UntilAsync(cluster, async () => (await cluster.StatusAsync(others[0]))!.Alarms.Any(alarm => alarm.Kind == "LOWDISK"), "nobody says that the disk is low");
        AlarmResponse alarms = await cluster.Maintenance(others[0]).AlarmAsync(new AlarmRequest());
        Assert.That(alarms.Alarms.Select(alarm => (alarm.Alarm, alarm.MemberID)), Is.EqualTo(new[] { (AlarmType.Nospace, (await cluster.StatusAsync(full))!.MemberId) }));

        // Until its reserve is used up: then it takes nothing in, and says so to its own callers.
        await UntilAsync(cluster, async () => (await cluster.StatusAsync(full))!.SpaceRefusal.Length > 0, "its log does not pause", seconds: 60);
        long before = (await cluster.StatusAsync(full))!.AppliedIndex;
        long acknowledged = load.Acknowledged;
        await Task.Delay(TimeSpan.FromSeconds(2));
        ClusterStatusResponse paused = (await cluster.StatusAsync(full))!;
        Assert.That(load.Acknowledged, Is.GreaterThan(acknowledged + 20), "the others go on");
        Assert.That((paused.Failure, paused.AppliedIndex - before), Is.EqualTo(("", paused.AppliedIndex - before)));
        Assert.That(paused.AppliedIndex - before, Is.LessThan(20), paused.SpaceRefusal);
        RpcException refused = (await Assert.ThrowsAsync<RpcException>(async () => await cluster.Kv(full).PutAsync(new PutRequest { Key = Load.Key(0) }, deadline: DateTime.UtcNow.AddSeconds(5))))!;
        Assert.That((refused.StatusCode, refused.Status.Detail), Is.EqualTo((StatusCode.ResourceExhausted, "etcdserver: mvcc: database space exceeded")));
        RangeResponse local = await cluster.Kv(full).RangeAsync(new RangeRequest { Key = Load.Key(0), Serializable = true }, deadline: DateTime.UtcNow.AddSeconds(5));
        Assert.That(local.Count, Is.EqualTo(1), "it serves reads");

        watch.Restart();
        DiskOf(cluster, full).Free();
        await UntilAsync(cluster, async () => (await cluster.StatusAsync(full))!.SpaceRefusal.Length == 0, "it does not go on", Resume.TotalSeconds);
        await UntilAsync(cluster, async () => (await cluster.StatusAsync(others[0]))!.Alarms.Count == 0, "the alarm stays");
        TestContext.Out.WriteLine($"{full.Name} is well again {watch.Elapsed.TotalSeconds:F1} s after its disk was freed");
        await load.StopAsync();
        await JudgeAsync(cluster, load);
        Assert.That(load.Refused, Is.Zero, "nobody else was refused anything");
        TestContext.Out.WriteLine($"{load.Acknowledged} puts acknowledged, longest gap {load.LongestGap.TotalSeconds:F1} s");
        Assert.That(load.LongestGap, Is.LessThan(TimeSpan.FromSeconds(4)));
    }

    [Test]
    public async Task When_all_disks_are_full_puts_are_refused_and_nothing_is_lost()
    {
        using LoomCluster cluster = await LoomCluster.StartThreeAsync(root);
        var load = new Load(cluster);
        load.Start(cluster.Nodes, valueBytes: 8 << 10);
        await Task.Delay(TimeSpan.FromSeconds(2));
        for (int round = 1; round <= 2; round++)
        {
            Parallel.ForEach(disks, disk => disk.Fill());
            await UntilAsync(cluster, async () => (await Task.WhenAll(cluster.Nodes.Select(cluster.StatusAsync))).All(status => status is { SpaceRefusal.Length: > 0 }), "puts are not refused everywhere");
            await Task.Delay(TimeSpan.FromSeconds(1));
            long acknowledged = load.Acknowledged, refusals = load.Refused;
            await Task.Delay(TimeSpan.FromSeconds(2));
            Assert.That((load.Acknowledged - acknowledged, load.Refused - refusals), Is.EqualTo((0L, load.Refused - refusals)), "puts are refused");
            Assert.That(load.Refused, Is.GreaterThan(refusals + 20));
            Assert.That(cluster.Nodes.All(node => node.IsRunning), cluster.Outputs());
            foreach (LoomProcess node in cluster.Nodes)
            {
                Assert.That((await cluster.StatusAsync(node))!.Failure, Is.Empty);
                RangeResponse read = await cluster.Kv(node).RangeAsync(new RangeRequest { Key = Load.Key(0) }, deadline: DateTime.UtcNow.AddSeconds(5));
                Assert.That(read.Count, Is.EqualTo(1), "linearizable reads go on");
            }

            // What makes space fits into the reserve.
            LoomProcess any = cluster.Nodes[round];
            DeleteRangeResponse deleted = await cluster.Kv(any).DeleteRangeAsync(new DeleteRangeRequest { Key = Load.Key(1 + round) }, deadline: DateTime.UtcNow.AddSeconds(5));
            load.Forget(1 + round);
            Assert.That(deleted.Deleted, Is.EqualTo(1));
            await cluster.Kv(any).CompactAsync(new CompactionRequest { Revision = deleted.Header.Revision }, deadline: DateTime.UtcNow.AddSeconds(5));

            Stopwatch watch = Stopwatch.StartNew();
            disks.ForEach(disk => disk.Free());
            await UntilAsync(cluster, () => Task.FromResult(load.Acknowledged > acknowledged + 20), "puts do not work again", Resume.TotalSeconds);
            TestContext.Out.WriteLine($"round {round}: puts work again {watch.Elapsed.TotalSeconds:F1} s after the disks were freed; {load.Acknowledged} acknowledged, {load.Refused} refused");
        }

        await UntilAsync(cluster, async () => (await cluster.StatusAsync(cluster.Nodes[0]))!.Alarms.Count == 0, "alarms stay");
        await load.StopAsync();
        await JudgeAsync(cluster, load);
        Assert.That(cluster.Nodes.Select(node => node.Life), Is.All.EqualTo(1), "nobody was started again");
    }

    /// <summary>What it finds in its directory is enough to come up and serve reads, again and again; it takes part as soon as there is space.</summary>
    [Test]
    public async Task A_member_that_is_killed_on_its_full_disk_comes_up_on_it()
    {
        using LoomCluster cluster = await LoomCluster.StartThreeAsync(root);
        var load = new Load(cluster);
        LoomProcess leader = await cluster.LeaderAsync();
        LoomProcess full = cluster.Nodes.First(node => node != leader);
        load.Start([.. cluster.Nodes.Where(node => node != full)], valueBytes: 1 << 10);
        await Task.Delay(TimeSpan.FromSeconds(2));
        DiskOf(cluster, full).Fill();
        for (int round = 0; round < 3; round++)
        {
            await Task.Delay(TimeSpan.FromSeconds(1));
            full.Kill();
            cluster.Start(full);
            await UntilAsync(cluster, async () => await cluster.StatusAsync(full) is { Failure.Length: 0 }, "it does not come up on a full disk", seconds: 30);
            RangeResponse local = await cluster.Kv(full).RangeAsync(new RangeRequest { Key = Load.Key(0), Serializable = true }, deadline: DateTime.UtcNow.AddSeconds(5));
            Assert.That(local.Count, Is.EqualTo(1), "it serves what it knew to be committed");
        }

        DiskOf(cluster, full).Free();
        await UntilAsync(cluster, async () => (await cluster.StatusAsync(leader))!.Alarms.Count == 0, "the alarm stays");
        await load.StopAsync();
        await JudgeAsync(cluster, load);
    }

    private SmallDisk DiskOf(LoomCluster cluster, LoomProcess node) => disks[cluster.Nodes.ToList().IndexOf(node)];

    /// <summary>Every acknowledged put is on every member, and all members have the same state.</summary>
    private static async Task JudgeAsync(LoomCluster cluster, Load load)
    {
        await cluster.WaitUntilServingAsync();
        foreach (LoomProcess node in cluster.Nodes)
        {
            RangeResponse all = await cluster.Kv(node).RangeAsync(new RangeRequest { Key = Load.Prefix, RangeEnd = Load.PrefixEnd, KeysOnly = true }, deadline: DateTime.UtcNow.AddSeconds(30));
            SortedSet<string> present = new(all.Kvs.Select(pair => pair.Key.ToStringUtf8()), StringComparer.Ordinal);
            string[] lost = [.. load.AcknowledgedKeys.Where(key => !present.Contains(key))];
            Assert.That(lost, Is.Empty, $"{node.Name} lost {lost.Length} of {load.Acknowledged}");
        }

        long revision = (await cluster.Kv(cluster.Nodes[0]).RangeAsync(new RangeRequest { Key = Load.Prefix })).Header.Revision;
        HashKVResponse[] hashes = await Task.WhenAll(cluster.Nodes.Select(async node => await cluster.Maintenance(node).HashKVAsync(new HashKVRequest { Revision = revision }, deadline: DateTime.UtcNow.AddSeconds(60))));
        Assert.That(hashes.Select(hash => hash.Hash).Distinct().Count(), Is.EqualTo(1));
    }

    private static async Task UntilAsync(LoomCluster cluster, Func<Task<bool>> holds, string otherwise, double seconds = 10)
    {
        Stopwatch watch = Stopwatch.StartNew();
        while (!await holds())
        {
            Assert.That(watch.Elapsed.TotalSeconds, Is.LessThan(seconds), $"{otherwise}\n{cluster.Outputs()}");
            await Task.Delay(50);
        }
    }

    /// <summary>Puts of fresh keys, two clients at each member, as fast as they are answered; a refused client waits a moment.</summary>
    private sealed class Load(LoomCluster cluster)
    {
        public static readonly ByteString Prefix = ByteString.CopyFromUtf8("f");
        public static readonly ByteString PrefixEnd = ByteString.CopyFromUtf8("g");

        private readonly ConcurrentDictionary<string, bool> acknowledged = new();
        private readonly CancellationTokenSource stop = new();
        private Task running = Task.CompletedTask;
        private int next = -1;
        private long count;
        private long refused;
        private long lastAt = Stopwatch.GetTimestamp();
        private long longest;

        public long Acknowledged => Volatile.Read(ref count);

        public long Refused => Volatile.Read(ref refused);

        public TimeSpan LongestGap => TimeSpan.FromSeconds((double)Volatile.Read(ref longest) / Stopwatch.Frequency);

        public IEnumerable<string> AcknowledgedKeys => acknowledged.Keys;

        public static ByteString Key(int number) => ByteString.CopyFromUtf8(Name(number));

        public void Forget(int number) => acknowledged.TryRemove(Name(number), out _);

        public void Start(IReadOnlyList<LoomProcess> nodes, int valueBytes)
        {
            ByteString value = ByteString.CopyFrom(new byte[valueBytes]);
            lastAt = Stopwatch.GetTimestamp();
            running = Task.WhenAll(nodes.SelectMany(node => Enumerable.Range(0, 2).Select(_ => ClientAsync(node, value))));
        }

        public async Task StopAsync()
        {
            await stop.CancelAsync();
            await running;
            stop.Dispose();
        }

        private static string Name(int number) => string.Create(CultureInfo.InvariantCulture, $"f{number:d7}");

        private async Task ClientAsync(LoomProcess node, ByteString value)
        {
            while (!stop.IsCancellationRequested)
            {
                string key = Name(Interlocked.Increment(ref next));
                try
                {
                    await cluster.Kv(node).PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = value }, deadline: DateTime.UtcNow.AddSeconds(10));
                    acknowledged[key] = true;
                    Interlocked.Increment(ref count);
                    NoteGap();
                }
                catch (RpcException exception)
                {
                    if (exception.StatusCode == StatusCode.ResourceExhausted)
                    {
                        Interlocked.Increment(ref refused);
                    }

                    await Task.Delay(50);
                }
            }
        }

        private void NoteGap()
        {
            long now = Stopwatch.GetTimestamp();
            long gap = now - Interlocked.Exchange(ref lastAt, now);
            for (long seen = Volatile.Read(ref longest); gap > seen; seen = Volatile.Read(ref longest))
            {
                Interlocked.CompareExchange(ref longest, gap, seen);
            }
        }
    }
}
