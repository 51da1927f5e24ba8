using Google.Protobuf;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Testing;

namespace Loom.Server.Tests.Hosting;

/// <summary>Goal: the process behaves as an operator's unit expects: variables, ready line, signals, exit codes, one sentence for each fault.</summary>
[TestFixture]
internal sealed class ServeProcessTests
{
    private static readonly ByteString Key = ByteString.CopyFromUtf8("k");
    private string directory = "";

    [SetUp]
    public void MakeDirectory() => directory = Directory.CreateTempSubdirectory("loom-serve-").FullName;

    [TearDown]
    public void RemoveDirectory() => Directory.Delete(directory, recursive: true);

    /// <summary>The variables of Debian's etcd.service and of a usual /etc/default/etcd.</summary>
    [Test]
    public async Task A_unit_written_for_etcd_starts_and_keeps_its_data()
    {
        string url = $"http://127.0.0.1:{FreePorts.Take()}";
        var environment = new Dictionary<string, string>
        {
            ["DAEMON_ARGS"] = "",
            ["ETCD_NAME"] = "db1",
            ["ETCD_DATA_DIR"] = Path.Combine(directory, "default"),
            ["ETCD_LISTEN_CLIENT_URLS"] = url,
            ["ETCD_ADVERTISE_CLIENT_URLS"] = url,
            ["ETCD_LISTEN_PEER_URLS"] = "http://127.0.0.1:2380",
            ["ETCD_INITIAL_ADVERTISE_PEER_URLS"] = "http://127.0.0.1:2380",
            ["ETCD_INITIAL_CLUSTER"] = "db1=http://127.0.0.1:2380",
            ["ETCD_INITIAL_CLUSTER_STATE"] = "new",
            ["ETCD_INITIAL_CLUSTER_TOKEN"] = "etcd-cluster",
            ["ETCD_SNAPSHOT_COUNT"] = "10000",
            ["ETCD_HEARTBEAT_INTERVAL"] = "100",
            ["ETCD_ELECTION_TIMEOUT"] = "1000",
            ["ETCD_MAX_WALS"] = "5",
            ["ETCD_ENABLE_V2"] = "true",
            ["ETCD_LOG_OUTPUT"] = "stderr",
        };
        long revision;
        using (var serve = new ServeProcess(directory, [], environment))
        {
            await serve.WaitUntilReadyAsync();
            Assert.That(serve.Error, Does.Contain("warning: ETCD_MAX_WALS has no meaning in Loom and is ignored").And.Contains("ready: db1 (voter in db1) serves " + url));
            using GrpcChannel channel = GrpcChannel.ForAddress(url);
            revision = (await new KV.KVClient(channel).PutAsync(new PutRequest { Key = Key, Value = ByteString.CopyFromUtf8("v") })).Header.Revision;
            serve.Signal("TERM");
            Assert.That(await serve.WaitForExitAsync(TimeSpan.FromSeconds(15)), Is.Zero);
            Assert.That(serve.Error, Does.EndWith("loom: stopped\n"));
        }

        using (var again = new ServeProcess(directory, [], environment))
        {
            await again.WaitUntilReadyAsync();
            using GrpcChannel channel = GrpcChannel.ForAddress(url);
            RangeResponse range = await new KV.KVClient(channel).RangeAsync(new RangeRequest { Key = Key });
            Assert.That((range.Kvs.Single().Value.ToStringUtf8(), range.Header.Revision), Is.EqualTo(("v", revision)));
            again.Signal(ServeProcess.InterruptIsIgnored ? "TERM" : "INT");
            Assert.That(await again.WaitForExitAsync(TimeSpan.FromSeconds(15)), Is.Zero);
        }
    }

    [Test]
    public async Task A_port_or_directory_in_use_is_one_sentence_with_its_fix()
    {
        string url = $"http://127.0.0.1:{FreePorts.Take()}";
        using var first = new ServeProcess(directory, ["--listen-client-urls", url]);
        await first.WaitUntilReadyAsync();
        using (var port = new ServeProcess(directory, ["--listen-client-urls", url, "--data-dir", "other"]))
        {
            Assert.That(await port.WaitForExitAsync(TimeSpan.FromSeconds(40)), Is.EqualTo(1));
            Assert.That(port.Error, Does.StartWith($"error: cannot listen on {url}: the port is in use\nhint: "));
            Assert.That(Directory.Exists(Path.Combine(directory, "other")), Is.False, "a wrong port must not form a cluster");
        }

        using (var data = new ServeProcess(directory, ["--listen-client-urls", "http://127.0.0.1:0"]))
        {
            Assert.That(await data.WaitForExitAsync(TimeSpan.FromSeconds(40)), Is.EqualTo(1));
            Assert.That(data.Error, Does.StartWith("error LOOM1019: ").And.Contains("already in use"));
        }

        first.Signal("KILL");
    }

    [Test]
    public async Task A_node_ends_with_its_standard_input_where_asked_to()
    {
        using var serve = new ServeProcess(directory, ["--listen-client-urls", "http://127.0.0.1:0", "--exit-with-stdin"]);
        await serve.WaitUntilReadyAsync();
        serve.CloseInput();
        Assert.That(await serve.WaitForExitAsync(TimeSpan.FromSeconds(15)), Is.Zero);
    }

    [TestCase("--nmae x", 2, "error: unknown setting --nmae\nhint: did you mean --name?\n")]
    [TestCase("--initial-cluster-state existing --initial-cluster default=http://127.0.0.1:1", 1, "error: --initial-cluster-state is existing, but loom-data is empty")]
    public async Task Settings_that_cannot_work_end_the_process(string line, int code, string error)
    {
        using var serve = new ServeProcess(directory, line.Split(' '));
        Assert.That(await serve.WaitForExitAsync(TimeSpan.FromSeconds(40)), Is.EqualTo(code));
        Assert.That(serve.Error, Does.StartWith(error));
    }
}
