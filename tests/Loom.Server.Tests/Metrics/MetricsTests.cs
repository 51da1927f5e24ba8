using System.Diagnostics.Metrics;
using System.Globalization;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting;
using Loom.Server.Configuration;
using Loom.Server.Metrics;
using Loom.Server.Tests.Hosting;
using Loom.Store;

namespace Loom.Server.Tests.Metrics;

/// <summary>What a Prometheus that was set up for etcd reads, and what ours adds.</summary>
[TestFixture]
internal sealed partial class MetricsTests
{
    /// <summary>Names that the alerts and dashboards of etcd's mixin use, but for three that this node does not have: see docs/etcd-compatibility.md.</summary>
    private static readonly string[] Mixin =
    [
        "etcd_server_has_leader", "etcd_server_is_leader", "etcd_server_leader_changes_seen_total", "etcd_server_proposals_committed_total", "etcd_server_proposals_applied_total",
        "etcd_server_proposals_pending", "etcd_server_proposals_failed_total", "etcd_server_quota_backend_bytes", "etcd_server_id", "etcd_disk_wal_fsync_duration_seconds",
        "etcd_disk_backend_commit_duration_seconds", "etcd_mvcc_db_total_size_in_bytes", "etcd_mvcc_db_total_size_in_use_in_bytes", "etcd_debugging_mvcc_keys_total",
        "etcd_network_peer_round_trip_time_seconds", "etcd_network_client_grpc_received_bytes_total", "etcd_network_client_grpc_sent_bytes_total", "grpc_server_started_total",
        "grpc_server_handled_total", "grpc_server_handling_seconds", "process_resident_memory_bytes", "process_open_fds", "process_max_fds", "process_cpu_seconds_total", "process_start_time_seconds",
    ];

    [Test]
    public async Task A_node_of_its_own_has_every_name_and_counts_right()
    {
        string directory = Directory.CreateTempSubdirectory("loom-metrics-").FullName;
        string name = "metrics-" + Path.GetFileName(directory);
        await using (LoomStore store = await LoomStore.OpenAsync(new LoomOptions { Name = name, DataDirectory = directory, InitialCluster = [] }))
        {
            await using NodeServer server = await NodeServer.StartAsync(store, new ServeSettings { Name = name, ListenClientUrls = ["http://127.0.0.1:0"], ExtensiveMetrics = true });
            using Grpc.Net.Client.GrpcChannel channel = Grpc.Net.Client.GrpcChannel.ForAddress(server.Addresses.Bound[0]);
            var kv = new KV.KVClient(channel);
            for (int i = 0; i < 5; i++)
            {
                await kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("a"), Value = ByteString.CopyFrom(new byte[1000]) });
            }

            await kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") });
            await Assert.ThrowsAsync<RpcException>(async () => await kv.RangeAsync(new RangeRequest()));
            string text = await ScrapeAsync(server);
            Dictionary<string, double> samples = Parse(text);
            Assert.That(Mixin.Where(one => !text.Contains($"# TYPE {one} ", StringComparison.Ordinal)), Is.Empty);
            Assert.That(samples["etcd_server_has_leader"], Is.EqualTo(1));
            Assert.That(samples["etcd_server_is_leader"], Is.EqualTo(1));
            Assert.That(samples["etcd_server_leader_changes_seen_total"], Is.EqualTo(1));
            Assert.That(samples["etcd_server_proposals_committed_total"], Is.GreaterThanOrEqualTo(5));
            Assert.That(samples["etcd_server_proposals_pending"], Is.Zero);
            Assert.That(samples["etcd_disk_wal_fsync_duration_seconds_count"], Is.GreaterThanOrEqualTo(5));
            Assert.That(samples["etcd_disk_wal_fsync_duration_seconds_sum"], Is.Positive);
            Assert.That(samples["etcd_disk_backend_commit_duration_seconds_count"], Is.GreaterThanOrEqualTo(5));
            Assert.That(samples["loom_store_write_duration_seconds_count"], Is.EqualTo(5));
            Assert.That(samples["loom_store_revision"], Is.EqualTo(6));
            Assert.That(samples["grpc_server_started_total{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}"], Is.EqualTo(5));
            Assert.That(samples["grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}"], Is.EqualTo(5));
            Assert.That(samples["grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}"], Is.EqualTo(1));
            Assert.That(samples["grpc_server_handled_total{grpc_code=\"InvalidArgument\",grpc_method=\"Range\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}"], Is.EqualTo(1));
            Assert.That(samples["grpc_server_handling_seconds_count{grpc_method=\"Put\",grpc_service=\"etcdserverpb.KV\",grpc_type=\"unary\"}"], Is.EqualTo(5));
            Assert.That(samples["etcd_network_client_grpc_received_bytes_total"], Is.InRange(5000, 6000));
            Assert.That(samples["process_open_fds"], Is.Positive);
            Assert.That(samples["process_max_fds"], Is.Positive);
        }

        Directory.Delete(directory, recursive: true);
    }

    [Test]
    public async Task The_text_is_prometheus_own_format()
    {
        await using TestNode node = await TestNode.StartAsync();
        await node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") });
        using var http = new HttpClient();
        using HttpResponseMessage response = await http.GetAsync(new Uri($"http://{node.Endpoint}/metrics"));
        Assert.That(response.Content.Headers.ContentType!.ToString(), Is.EqualTo("text/plain; version=0.0.4; charset=utf-8"));
        string text = await response.Content.ReadAsStringAsync();
        string[] bad = [.. text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => !Comment().IsMatch(line) && !Line().IsMatch(line))];
        Assert.That(bad, Is.Empty);
        string[] families = [.. text.Split('\n').Where(line => line.StartsWith("# TYPE ", StringComparison.Ordinal)).Select(line => line.Split(' ')[2])];
        Assert.That(families, Is.Unique);
    }

    [Test]
    public async Task Times_of_calls_are_asked_for()
    {
        await using TestNode node = await TestNode.StartAsync();
        await node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("a") });
        Assert.That(await ScrapeAsync(node.Server), Does.Not.Contain("grpc_server_handling_seconds").And.Contain("grpc_server_handled_total"));
    }

    [Test]
    public void Buckets_are_cumulative_and_labels_are_escaped()
    {
        var counts = new HistogramCounts([0.1, 1]);
        foreach (double seconds in (double[])[0.05, 0.1, 0.5, 7])
        {
            counts.Record(seconds);
        }

        var text = new PrometheusText();
        text.Histogram("h", counts, ("l", "a\"b\\c\nd"));
        Assert.That(text.ToString().Split('\n')[..5], Is.EqualTo((string[])
        [
            """h_bucket{l="a\"b\\c\nd",le="0.1"} 2""", """h_bucket{l="a\"b\\c\nd",le="1"} 3""", """h_bucket{l="a\"b\\c\nd",le="+Inf"} 4""", """h_sum{l="a\"b\\c\nd"} 7.65""", """h_count{l="a\"b\\c\nd"} 4""",
        ]));
    }

    [Test]
    public void An_instrument_with_too_many_series_gets_no_more_and_keeps_those_it_has()
    {
        const string Member = "readings-series";
        using var meter = new Meter(new MeterOptions("Loom.Series") { Tags = [new("loom.member", Member)] });
        Counter<long> counter = meter.CreateCounter<long>("loom.series");
        using var readings = new MeterReadings(Member);
        for (int round = 0; round < 2; round++)
        {
            for (int i = 0; i < 1000; i++)
            {
                counter.Add(1, new KeyValuePair<string, object?>("i", i));
            }
        }

        Assert.That(readings.Total("loom.series"), Is.EqualTo(2 * 256));
    }

    private static async Task<string> ScrapeAsync(NodeServer server)
    {
        using var http = new HttpClient();
        return await http.GetStringAsync(new Uri(server.Addresses.Bound[0] + "/metrics"));
    }

    private static Dictionary<string, double> Parse(string text) => text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line[0] != '#')
        .ToDictionary(line => line[..line.LastIndexOf(' ')], line => line[(line.LastIndexOf(' ') + 1)..] is "+Inf" ? double.PositiveInfinity : double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));

    [GeneratedRegex("^# (HELP|TYPE) [a-z_]+ .*$")]
    private static partial Regex Comment();

    [GeneratedRegex("^[a-z_]+(\\{([a-zA-Z_]+=\"([^\"\\\\]|\\\\.)*\",?)+\\})? [-+0-9.eE]+(Inf)?$")]
    private static partial Regex Line();
}
