using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>Goal: Debian's etcdctl 3.4 works against the node as it does against etcd. It is Go's client: its balancer, its time-outs, its error texts.</summary>
[TestFixture]
internal sealed class EtcdctlTests
{
    private TestNode node = null!;

    [OneTimeSetUp]
    public async Task StartAsync()
    {
        Interop.Require("etcdctl");
        node = await TestNode.StartAsync();
        foreach (string[] pair in (string[][])[["a", "1"], ["a", "2"], ["r/1", "x"], ["r/2", "w"], ["r/3", "v"]])
        {
            Assert.That(Ctl("put", pair[0], pair[1]), Is.EqualTo("OK\n"));
        }
    }

    [OneTimeTearDown]
    public async Task StopAsync() => await (node?.DisposeAsync() ?? ValueTask.CompletedTask);

    [TestCase("get a", "a\n2\n")]
    [TestCase("get a --rev=2", "a\n1\n")]
    [TestCase("get a --print-value-only", "2\n")]
    [TestCase("get a --consistency=s", "a\n2\n")]
    [TestCase("get none", "")]
    [TestCase("get r/ --prefix --keys-only", "r/1\n\nr/2\n\nr/3\n\n")]
    [TestCase("get r/ --prefix --limit=1", "r/1\nx\n")]
    [TestCase("get r/2 --from-key", "r/2\nw\nr/3\nv\n")]
    [TestCase("get r/1 r/3", "r/1\nx\nr/2\nw\n")]
    [TestCase("get r/ --prefix --sort-by=VALUE --order=ASCEND", "r/3\nv\nr/2\nw\nr/1\nx\n")]
    [TestCase("get r/ --prefix --sort-by=CREATE --order=DESCEND --limit=1", "r/3\nv\n")]
    public void Get_has_all_its_flags(string arguments, string expected) => Assert.That(Ctl(arguments.Split(' ')), Is.EqualTo(expected));

    [Test]
    public void Get_writes_its_header_as_json() =>
        Assert.That(Ctl("get", "a", "-w", "json"), Does.Contain("\"kvs\":[{\"key\":\"YQ==\",\"create_revision\":2,\"mod_revision\":3,\"version\":2,\"value\":\"Mg==\"}],\"count\":1"));

    [Test]
    public void Put_and_del_show_what_was_there()
    {
        Assert.That(Ctl("put", "p", "1"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("put", "p", "2", "--prev-kv"), Is.EqualTo("OK\np\n1\n"));
        Assert.That(Ctl("put", "p", "--ignore-value"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("del", "p", "--prev-kv"), Is.EqualTo("1\np\n2\n"));
        Assert.That(Ctl("del", "p"), Is.EqualTo("0\n"));
    }

    [Test]
    public void Txn_takes_both_branches()
    {
        string text = "mod(\"t\") = \"0\"\n\nput t 1\n\nget t\n\n";
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "txn"], text), Does.StartWith("SUCCESS\n\nOK"));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "txn"], text), Does.StartWith("FAILURE\n\nt\n1"));
    }

    [Test]
    public void Compaction_has_etcd_s_words()
    {
        Assert.That(Ctl("put", "c", "1"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("compaction", "2"), Is.EqualTo("compacted revision 2\n"));
        Assert.That(
            Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "compaction", "2"], mayFail: true), Does.Contain("etcdserver: mvcc: required revision has been compacted"));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "get", "a", "--rev=1"], mayFail: true), Does.Contain("required revision has been compacted"));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "get", "a", "--rev=999"], mayFail: true), Does.Contain("required revision is a future revision"));
    }

    [Test]
    public void Leases_are_granted_kept_looked_at_and_revoked()
    {
        string granted = Ctl("lease", "grant", "60");
        Assert.That(granted, Does.Match(@"^lease [0-9a-f]+ granted with TTL\(60s\)\n$"));
        string id = granted.Split(' ')[1];
        Assert.That(Ctl("put", "l/2", "x", $"--lease={id}"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("put", "l/1", "x", $"--lease={id}"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("lease", "keep-alive", "--once", id), Is.EqualTo($"lease {id} keepalived with TTL(60)\n"));
        Assert.That(Ctl("lease", "timetolive", id, "--keys"), Does.Match($@"^lease {id} granted with TTL\(60s\), remaining\((59|60)s\), attached keys\(\[l/1 l/2\]\)\n$"));
        Assert.That(Ctl("lease", "list"), Is.EqualTo($"found 1 leases\n{id}\n"));
        Assert.That(Ctl("lease", "revoke", id), Is.EqualTo($"lease {id} revoked\n"));
        Assert.That(Ctl("get", "l/", "--prefix"), Is.Empty);
        Assert.That(Ctl("lease", "timetolive", id), Is.EqualTo($"lease {id} already expired\n"));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "lease", "keep-alive", "--once", id], mayFail: true), Does.Contain("etcdserver: requested lease not found"));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "lease", "revoke", id], mayFail: true), Does.Contain("etcdserver: requested lease not found"));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "put", "l/1", "x", $"--lease={id}"], mayFail: true), Does.Contain("etcdserver: requested lease not found"));
    }

    [Test]
    public void Alarms_are_listed_and_disarmed()
    {
        Assert.That(Ctl("alarm", "list"), Is.Empty);
        node.Store.RaiseAlarmAsync(Loom.Store.Model.AlarmKind.NoSpace, 7).AsTask().GetAwaiter().GetResult();
        node.Store.RaiseAlarmAsync(Loom.Store.Model.AlarmKind.LowDisk, 7).AsTask().GetAwaiter().GetResult();
        Assert.That(Ctl("alarm", "list"), Is.EqualTo("memberID:7 alarm:NOSPACE \n"), "both of ours are one of etcd's");
        Assert.That(Ctl("endpoint", "status"), Does.Contain("memberID:7 alarm:NOSPACE "));
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "put", "a", "3"], mayFail: true), Does.Contain("etcdserver: mvcc: database space exceeded"));
        Assert.That(Ctl("alarm", "disarm"), Is.EqualTo("memberID:7 alarm:NOSPACE \n"));
        Assert.That(Ctl("alarm", "list"), Is.Empty);
        Assert.That(Ctl("put", "alarmed", "1"), Is.EqualTo("OK\n"));
    }

    [Test]
    public void Endpoint_health_status_and_hashkv_answer()
    {
        Assert.That(Ctl("endpoint", "health"), Does.Contain("is healthy"));
        Assert.That(Ctl("endpoint", "status"), Does.StartWith($"{node.Endpoint}, 1001, 3.5."));
        Assert.That(Ctl("endpoint", "hashkv"), Does.Match(@"^127\.0\.0\.1:\d+, \d+\n"));
    }

    /// <summary>With a scheme, 3.4's per-endpoint calls send the whole URL as the request's authority.</summary>
    [TestCase("")]
    [TestCase("/")]
    public void An_endpoint_may_be_a_url(string path)
    {
        string url = $"http://{node.Endpoint}{path}";
        string CtlUrl(params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", url, .. arguments]);
        Assert.That(CtlUrl("endpoint", "health"), Does.Contain($"{url} is healthy"));
        Assert.That(CtlUrl("endpoint", "status"), Does.StartWith($"{url}, 1001, 3.5."));
        Assert.That(CtlUrl("endpoint", "hashkv"), Does.Match($@"^{url}, \d+\n"));
        Assert.That(CtlUrl("put", "b", "1"), Is.EqualTo("OK\n"));
        Assert.That(CtlUrl("get", "b"), Is.EqualTo("b\n1\n"));
        Assert.That(CtlUrl("member", "list"), Does.Contain("1001, started, default, "));
    }

    [Test]
    public void Snapshot_save_writes_an_archive_that_loom_verifies()
    {
        string file = Path.Combine(Path.GetTempPath(), Path.GetRandomFileName());
        try
        {
            Assert.That(Ctl("snapshot", "save", file), Does.Contain($"Snapshot saved at {file}"));
            Loom.Store.LoomBackupReport report = Loom.Store.LoomBackup.Verify(file);
            Assert.That(report.Revision, Is.EqualTo(node.Store.Status.Revision.Number));
            Assert.That(report.Keys, Is.EqualTo(node.Store.Status.Keys));
        }
        finally
        {
            File.Delete(file);
        }
    }

    [TestCase("watch a --rev=2", "PUT\na\n1\nPUT\na\n2\n")]
    [TestCase("watch r/ --prefix --rev=2 --prev-kv", "PUT\nr/1\nx\nPUT\nr/2\nw\nPUT\nr/3\nv\n")]
    [TestCase("watch r/2 r/9 --rev=2", "PUT\nr/2\nw\nPUT\nr/3\nv\n")]
    public async Task Watch_shows_the_history(string arguments, string expected)
    {
        using FollowedProgram watch = new("etcdctl", ["--endpoints", node.Endpoint, .. arguments.Split(' ')]);
        Assert.That(await watch.ReadAsync(expected.Length), Is.EqualTo(expected));
    }

    [Test]
    public async Task Watch_follows_what_is_written()
    {
        using FollowedProgram watch = new("etcdctl", ["--endpoints", node.Endpoint, "watch", "w/", "--prefix", "--prev-kv", "--rev=2"]);
        Assert.That(Ctl("put", "w/1", "x"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("put", "w/1", "y"), Is.EqualTo("OK\n"));
        Assert.That(Ctl("del", "w/1"), Is.EqualTo("1\n"));
        const string Expected = "PUT\nw/1\nx\nPUT\nw/1\nx\nw/1\ny\nDELETE\nw/1\ny\nw/1\n\n";
        Assert.That(await watch.ReadAsync(Expected.Length), Is.EqualTo(Expected));
    }

    [Test]
    public void Watch_of_a_compacted_revision_ends_with_etcd_s_words()
    {
        Assert.That(Ctl("put", "wc", "1"), Is.EqualTo("OK\n"));
        Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "compaction", "2"], mayFail: true);
        Assert.That(
            Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "watch", "a", "--rev=1"], mayFail: true), Does.Contain("watch was canceled (etcdserver: mvcc: required revision has been compacted)"));
    }

    [Test]
    public void Member_list_names_the_member()
    {
        Assert.That(Ctl("member", "list"), Does.Contain("1001, started, default, "));
    }

    [Test]
    public void Move_leader_says_why_not() =>
        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "move-leader", "beef"], mayFail: true), Does.Contain("etcdserver: bad leader transferee"));

    private string Ctl(params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", node.Endpoint, .. arguments]);
}
