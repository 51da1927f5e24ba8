using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Store;
using Loom.Testing;

namespace Loom.Server.Tests.Cli;

/// <summary>Backup and restore as an operator does them: real processes, the command line, and an old cluster that is gone.</summary>
[TestFixture]
internal sealed class RestoreCommandTests
{
    private const int Keys = 200;
    private string root = "";
    private string file = "";

    [SetUp]
    public void MakeRoot()
    {
        root = Directory.CreateTempSubdirectory("loom-restore-").FullName;
        file = Path.Combine(root, "backup");
    }

    [TearDown]
    public void RemoveRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task One_node_is_restored_and_serves_on()
    {
        long revision = await OldClusterAsync();
        string data = Path.Combine(root, "new");
        CommandRun dry = await CommandRun.OfAsync("restore", file, "--data-dir", data, "--name", "n1", "--dry-run", "-o", "json");
        Assert.That((dry.Code, dry.Error, Directory.Exists(data)), Is.EqualTo((0, "note: dry run, nothing was written\n", false)));
        CommandRun run = await CommandRun.OfAsync("restore", file, "--data-dir", data, "--name", "n1", "-o", "json");
        Assert.That((run.Code, run.Error), Is.EqualTo((0, "note: start it with: loom serve and the same options\n")));
        Assert.That(run.Output.Replace("\"dry_run\":false", "\"dry_run\":true", StringComparison.Ordinal), Is.EqualTo(dry.Output));
        using JsonDocument json = JsonDocument.Parse(run.Output);
        Assert.That(json.RootElement.GetProperty("revision").GetInt64(), Is.EqualTo(revision + 1_000_000_000));
        Assert.That((await CommandRun.OfAsync("verify", data)).Output, Does.Contain("starts\tyes: "));

        CommandRun twice = await CommandRun.OfAsync("restore", file, "--data-dir", data, "--name", "n1");
        Assert.That((twice.Code, twice.Error), Is.EqualTo((1, $"error LOOM1025: {data} exists already. Nothing was changed. Choose another name, or move it away.\n")));

        string url = $"http://127.0.0.1:{FreePorts.Take()}";
        using var serve = new ServeProcess(root, ["--data-dir", data, "--name", "n1", "--listen-client-urls", url]);
        await serve.WaitUntilReadyAsync();
        using GrpcChannel channel = GrpcChannel.ForAddress(url);
        var kv = new KV.KVClient(channel);
        RangeResponse all = await kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFrom(0), RangeEnd = ByteString.CopyFrom(0) });
        Assert.That((all.Count, all.Header.Revision), Is.EqualTo((Keys, revision + 1_000_000_000)));
        Assert.That(all.Kvs.Select(pair => (pair.Version, pair.Value.ToStringUtf8())), Is.All.EqualTo((2, "second")));
        using JsonDocument status = JsonDocument.Parse((await CommandRun.OfAsync("status", "--endpoints", url, "-o", "json")).Output);
        Assert.That(status.RootElement.GetProperty("members")[0].GetProperty("epoch").GetInt64(), Is.EqualTo(1));
        RpcException old = Assert.Throws<RpcException>(() => kv.Range(new RangeRequest { Key = ByteString.CopyFromUtf8("a"), Revision = revision }))!;
        Assert.That(old.Status.Detail, Is.EqualTo("etcdserver: mvcc: required revision has been compacted"));
    }

    [Test]
    public async Task Three_nodes_and_a_standby_are_restored_from_one_file()
    {
        long revision = await OldClusterAsync();
        NewCluster cluster = new(root, ["east1@east", "west1@west", "south1@south", "south2@south/standby"]);
        foreach (string name in cluster.Names)
        {
            CommandRun run = await cluster.RestoreAsync(file, name, "--bump-revision", "0");
            Assert.That(run.Code, Is.Zero, run.Error);
        }

        using (cluster)
        {
            foreach (string name in cluster.Names)
            {
                cluster.Serve(name);
            }

            await cluster.WaitUntilReadyAsync();
            HashKVResponse[] hashes = [.. cluster.Names.Select(name => new Maintenance.MaintenanceClient(cluster.Channel(name)).HashKV(new HashKVRequest { Revision = revision }))];
            Assert.That(hashes.Select(h => h.Hash).Distinct().Count(), Is.EqualTo(1));
            Assert.That(hashes[0].Hash, Is.EqualTo(oldHash));
            PutResponse put = await new KV.KVClient(cluster.Channel("south2")).PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("new"), Value = ByteString.CopyFromUtf8("v") });
            Assert.That(put.Header.Revision, Is.EqualTo(revision + 1));
            foreach (string name in cluster.Names)
            {
                RangeResponse range = await new KV.KVClient(cluster.Channel(name)).RangeAsync(new RangeRequest { Key = ByteString.CopyFrom(0), RangeEnd = ByteString.CopyFrom(0), CountOnly = true });
                Assert.That(range.Count, Is.EqualTo(Keys + 1), name);
            }
        }
    }

    /// <summary>E1, S8: it begins from the backup no longer, but from what the others hand it, with what was written since.</summary>
    [Test]
    public async Task A_member_of_a_restored_cluster_that_loses_its_disk_is_filled_again()
    {
        long revision = await OldClusterAsync();
        NewCluster cluster = new(root, ["east1@east", "west1@west", "south1@south"]);
        foreach (string name in cluster.Names)
        {
            Assert.That((await cluster.RestoreAsync(file, name, "--bump-revision", "0")).Code, Is.Zero);
            cluster.Serve(name);
        }

        using (cluster)
        {
            await cluster.WaitUntilReadyAsync();
            var kv = new KV.KVClient(cluster.Channel("east1"));
            await kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("since"), Value = ByteString.CopyFromUtf8("restored") });
            ulong[] old = await IdsAsync(cluster, "west1");

            await cluster.KillAsync("west1");
            Directory.Delete(cluster.DirectoryOf("west1"), recursive: true);
            var clock = Stopwatch.StartNew();
            cluster.Serve("west1");
            while (await IdsAsync(cluster, "west1") is not [var id] || id == old[0] || !cluster.Said("west1").Contains("ready:", StringComparison.Ordinal))
            {
                Assert.That(clock.Elapsed, Is.LessThan(TimeSpan.FromSeconds(30)), cluster.Said("west1"));
                await Task.Delay(100);
            }

            TestContext.Out.WriteLine($"whole after {clock.Elapsed.TotalSeconds:F1} s");
            var filled = new KV.KVClient(cluster.Channel("west1"));
            PutResponse put = await filled.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("after"), Value = ByteString.CopyFromUtf8("v") });
            Assert.That(put.Header.Revision, Is.EqualTo(revision + 2));
            Assert.That(await HashesAsync(cluster, revision + 2), Has.Exactly(1).Items);

            // And with it the cluster does without another: it counts again.
            await cluster.KillAsync("south1");
            put = await filled.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("after"), Value = ByteString.CopyFromUtf8("w") });
            Assert.That(put.Header.Revision, Is.EqualTo(revision + 3));
        }
    }

    /// <summary>One from a backup that was taken later, one not restored at all.</summary>
    [Test]
    public async Task Who_was_not_restored_from_the_same_file_is_refused_by_name()
    {
        await OldClusterAsync();
        string other = Path.Combine(root, "other");
        File.Move(file, other);
        await OldClusterAsync();
        NewCluster cluster = new(root, ["east1@east", "west1@west", "south1@south"]);
        Assert.That((await cluster.RestoreAsync(file, "east1")).Code, Is.Zero);
        Assert.That((await cluster.RestoreAsync(other, "west1")).Code, Is.Zero);
        using (cluster)
        {
            foreach (string name in cluster.Names)
            {
                cluster.Serve(name);
            }

            await cluster.WaitUntilSaidAsync("east1", "west1 and east1 were restored from different backups, or in different ways");
            await cluster.WaitUntilSaidAsync("west1", "east1 and west1 were restored from different backups, or in different ways");
            await cluster.WaitUntilSaidAsync("east1", "east1 was restored from a backup and south1 was not");
            await cluster.WaitUntilSaidAsync("south1", "east1 was restored from a backup and south1 was not; restore all members of one cluster from the same file, with the same options");
            await Task.Delay(2000);
            Assert.That(cluster.Names.Select(cluster.Said), Has.None.Contains("ready:"), "nobody serves");
        }
    }

    [Test]
    public async Task Another_bump_is_another_state()
    {
        await OldClusterAsync();
        NewCluster cluster = new(root, ["east1@east", "west1@west"]);
        Assert.That((await cluster.RestoreAsync(file, "east1")).Code, Is.Zero);
        Assert.That((await cluster.RestoreAsync(file, "west1", "--bump-revision", "5")).Code, Is.Zero);
        using (cluster)
        {
            cluster.Serve("east1");
            cluster.Serve("west1");
            await cluster.WaitUntilSaidAsync("east1", "were restored from different backups, or in different ways");
        }
    }

    /// <summary>The members are only named: whoever serves them needs the certificates.</summary>
    [Test]
    public async Task Members_with_tls_are_restored_without_certificates()
    {
        await OldClusterAsync();
        CommandRun run = await CommandRun.OfAsync(
            "restore", file, "--data-dir", Path.Combine(root, "a1"), "--name", "a1", "--initial-cluster", "a1@east=https://127.0.0.1:1,b1@west=https://127.0.0.1:2,c1@south=https://127.0.0.1:3");
        Assert.That(run.Code, Is.Zero, run.Error);
    }

    [TestCase("--name", "x1", "error: this member's name 'x1' is not in --initial-cluster (a1)")]
    [TestCase("--datacenter", "north", "error: --datacenter is north")]
    [TestCase("--bump-revision", "-1", "error LOOM1001: the revision 3 cannot be raised by -1.")]
    [TestCase("--mark-compacted", "--bump-revision=0", "error: --mark-compacted goes with a raised revision")]
    public async Task Options_that_cannot_be_are_refused(string option, string value, string expected)
    {
        await using (TestNode node = await TestNode.StartAsync())
        {
            await node.Store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
            await node.Store.PutAsync("a"u8.ToArray(), "2"u8.ToArray());
            Assert.That((await CommandRun.OfAsync("backup", file, "--endpoints", node.Endpoint)).Code, Is.Zero);
        }

        string data = Path.Combine(root, "data");
        string[] name = option == "--name" ? [] : ["--name", "a1"];
        CommandRun run = await CommandRun.OfAsync(["restore", file, "--data-dir", data, "--initial-cluster", "a1@east=http://127.0.0.1:1", .. name, option, value]);
        Assert.That(run.Code, Is.Not.Zero);
        Assert.That(run.Error, Does.StartWith(expected));
        Assert.That(Directory.Exists(data), Is.False);
    }

    /// <summary>Killed at points that are spread over the time of a whole one.</summary>
    [Test]
    public async Task A_restore_that_is_killed_leaves_what_is_refused_or_free_never_a_part_of_the_state()
    {
        const int Keys = 3000;
        await using (TestNode node = await TestNode.StartAsync())
        {
            for (int i = 0; i < Keys; i++)
            {
                await node.Store.PutAsync(BitConverter.GetBytes(i), new byte[8_000]);
            }

            Assert.That((await CommandRun.OfAsync("backup", file, "--endpoints", node.Endpoint)).Code, Is.Zero);
        }

        var clock = Stopwatch.StartNew();
        using (Process whole = StartRestore("whole"))
        {
            await whole.WaitForExitAsync();
            Assert.That(whole.ExitCode, Is.Zero);
        }

        TimeSpan time = clock.Elapsed;
        SortedDictionary<string, int> met = new(StringComparer.Ordinal);

        // On a machine that is busier than it was for the whole one, the middle of it comes later.
        for (int round = 0; round < 12 || (round < 40 && !met.ContainsKey("refused")); round++)
        {
            string name = $"killed-{round}", data = Path.Combine(root, name);
            using Process restore = StartRestore(name);
            await Task.Delay(time * (round + 4) / 16);
            restore.Kill();
            await restore.WaitForExitAsync();
            string found = await OpenAsync(data, Keys);
            met[found] = met.GetValueOrDefault(found) + 1;
            if (Directory.Exists(data))
            {
                Directory.Delete(data, recursive: true);
            }
        }

        TestContext.Out.WriteLine(string.Join(", ", met.Select(m => $"{m.Key} {m.Value}")));
        Assert.That(met.Keys, Is.SubsetOf((string[])["free", "refused", "whole"]));
        Assert.That(met, Does.ContainKey("refused"), "at least once it was killed in the middle");
    }

    private uint oldHash;

    /// <summary>Two, while one takes the place of the other.</summary>
    private static async Task<ulong[]> IdsAsync(NewCluster cluster, string name)
    {
        MemberListResponse list = await new Cluster.ClusterClient(cluster.Channel("east1")).MemberListAsync(new MemberListRequest());
        return [.. list.Members.Where(member => member.Name == name).Select(member => member.ID)];
    }

    /// <summary>The different ones.</summary>
    private static async Task<IEnumerable<uint>> HashesAsync(NewCluster cluster, long revision)
    {
        SortedSet<uint> hashes = [];
        foreach (string name in cluster.Names)
        {
            // A linearizable read first: HashKV answers from what is applied.
            _ = await new KV.KVClient(cluster.Channel(name)).RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("since") });
            hashes.Add((await new Maintenance.MaintenanceClient(cluster.Channel(name)).HashKVAsync(new HashKVRequest { Revision = revision })).Hash);
        }

        return hashes;
    }

    private Process StartRestore(string name) => Process.Start(new ProcessStartInfo("dotnet", [Path.Combine(AppContext.BaseDirectory, "loom.dll"), "restore", file, "--data-dir", Path.Combine(root, name)])
    {
        RedirectStandardOutput = true, RedirectStandardError = true,
    })!;

    private static async Task<string> OpenAsync(string data, int keys)
    {
        if (Raft.RaftRestoration.IsFree(data))
        {
            return "free";
        }

        try
        {
            await using LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = data });
            return store.Status.Keys == keys ? "whole" : $"{store.Status.Keys} keys";
        }
        catch (LoomException refusal) when (refusal.Message.Contains("did not finish", StringComparison.Ordinal))
        {
            return "refused";
        }
    }

    /// <summary>A cluster that is backed up and stopped; returns its revision.</summary>
    private async Task<long> OldClusterAsync()
    {
        string url = $"http://127.0.0.1:{FreePorts.Take()}", data = Path.Combine(root, Path.GetRandomFileName());
        using var serve = new ServeProcess(root, ["--data-dir", data, "--listen-client-urls", url]);
        await serve.WaitUntilReadyAsync();
        using GrpcChannel channel = GrpcChannel.ForAddress(url);
        var kv = new KV.KVClient(channel);
        foreach (string value in (string[])["first", "second"])
        {
            await Task.WhenAll(Enumerable.Range(0, Keys).Select(i =>
                kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8($"key-{i:d4}"), Value = ByteString.CopyFromUtf8(value) }).ResponseAsync));
        }

        HashKVResponse hash = await new Maintenance.MaintenanceClient(channel).HashKVAsync(new HashKVRequest());
        oldHash = hash.Hash;
        CommandRun run = await CommandRun.OfAsync("backup", file, "--endpoints", url["http://".Length..]);
        Assert.That(run.Code, Is.Zero, run.Error);
        serve.Signal("TERM");
        await serve.WaitForExitAsync(TimeSpan.FromSeconds(15));
        return hash.Header.Revision;
    }

    /// <summary>Processes of a cluster to be, each with the options with which it is restored and served.</summary>
    private sealed class NewCluster : IDisposable
    {
        private readonly string root;
        private readonly string list;
        private readonly SortedDictionary<string, string> endpoints = new(StringComparer.Ordinal);
        private readonly SortedDictionary<string, ServeProcess> processes = new(StringComparer.Ordinal);
        private readonly SortedDictionary<string, GrpcChannel> channels = new(StringComparer.Ordinal);

        public NewCluster(string root, string[] members)
        {
            this.root = root;
            int[] ports = FreePorts.Take(2 * members.Length);
            list = string.Join(',', members.Select((m, i) => string.Create(CultureInfo.InvariantCulture, $"{m}=http://127.0.0.1:{ports[i]}")));
            Names = [.. members.Select(m => m.Split('@')[0])];
            for (int i = 0; i < members.Length; i++)
            {
                endpoints[Names[i]] = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{ports[members.Length + i]}");
            }
        }

        public string[] Names { get; }

        public string DirectoryOf(string name) => Path.Combine(root, "data-" + name);

        public Task<CommandRun> RestoreAsync(string file, string name, params string[] more) => CommandRun.OfAsync(["restore", file, .. Options(name), .. more]);

        public void Serve(string name) => processes[name] = new ServeProcess(root, [.. Options(name), "--listen-client-urls", endpoints[name]]);

        public async Task KillAsync(string name)
        {
            processes.Remove(name, out ServeProcess? process);
            using (process)
            {
                process!.Signal("KILL");
                await process.WaitForExitAsync(TimeSpan.FromSeconds(10));
            }
        }

        public Task WaitUntilReadyAsync() => Task.WhenAll(processes.Values.Select(process => process.WaitUntilReadyAsync()));

        public string Said(string name) => processes[name].Error;

        public async Task WaitUntilSaidAsync(string name, string text)
        {
            for (int tries = 0; !Said(name).Contains(text, StringComparison.Ordinal); tries++)
            {
                Assert.That(tries, Is.LessThan(600), $"{name} has not said '{text}': {Said(name)}");
                await Task.Delay(50);
            }
        }

        public GrpcChannel Channel(string name)
        {
            if (!channels.TryGetValue(name, out GrpcChannel? channel))
            {
                channels.Add(name, channel = GrpcChannel.ForAddress(endpoints[name]));
            }

            return channel;
        }

        public void Dispose()
        {
            foreach (GrpcChannel channel in channels.Values)
            {
                channel.Dispose();
            }

            foreach (ServeProcess process in processes.Values)
            {
                process.Dispose();
            }
        }

        private string[] Options(string name) => ["--name", name, "--data-dir", DirectoryOf(name), "--initial-cluster", list, "--initial-cluster-token", "restored"];
    }
}
