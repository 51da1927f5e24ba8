using System.Net;
using Grpc.Core;
using Loom.Raft;
using Loom.Server.Health.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Store.Model;

namespace Loom.Server.Tests.Health;

[TestFixture]
internal sealed class HealthEndpointsTests
{
    [TestCase("/health", 200, "{\"health\":\"true\",\"reason\":\"\"}")]
    [TestCase("/health?serializable=true", 200, "{\"health\":\"true\",\"reason\":\"\"}")]
    [TestCase("/livez", 200, "ok\n")]
    [TestCase("/readyz", 200, "ok\n")]
    [TestCase("/readyz/linearizable_read", 200, "ok\n")]
    [TestCase("/livez?verbose", 200, "[+]serializable_read ok\nok\n")]
    [TestCase("/readyz?verbose&exclude=non_learner", 200, "[+]data_corruption ok\n[+]serializable_read ok\n[+]linearizable_read ok\n[+]non_learner excluded: ok\nok\n")]
    [TestCase("/v3alpha/kv/range", 404, "")]
    public async Task A_well_node_answers_as_etcd(string path, int status, string body)
    {
        await using TestNode node = await TestNode.StartAsync();
        Assert.That(await GetAsync(node, path), Is.EqualTo((status, body)));
    }

    [Test]
    public async Task A_node_without_a_quorum_is_alive_and_not_ready()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Node.Fault = write => write ? null : new RaftException(RaftErrorCode.NoQuorum, "1 of 3 datacenters is reachable");
        Assert.That((await GetAsync(node, "/livez")).Status, Is.EqualTo(200));
        (int status, string body) = await GetAsync(node, "/readyz");
        Assert.That(status, Is.EqualTo(503));
        Assert.That(body, Does.Contain("[-]linearizable_read failed: LOOM1007"));
        Assert.That((await GetAsync(node, "/readyz?exclude=linearizable_read")).Status, Is.EqualTo(200));
        Assert.That((await GetAsync(node, "/health")).Body, Does.Contain("\"health\":\"false\",\"reason\":\"RANGE ERROR:"));
    }

    [Test]
    public async Task An_alarm_makes_the_node_unwell_in_etcd_s_words()
    {
        await using TestNode node = await TestNode.StartAsync();
        await node.Store.RaiseAlarmAsync(AlarmKind.NoSpace, 7);
        Assert.That(await GetAsync(node, "/health"), Is.EqualTo((503, "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}")));
        Assert.That((await GetAsync(node, "/health?exclude=NOSPACE")).Status, Is.EqualTo(200));
        Assert.That((await GetAsync(node, "/readyz")).Status, Is.EqualTo(200), "it serves reads and deletes");
        await node.Store.DisarmAlarmAsync(AlarmKind.NoSpace, 7);
        await node.Store.RaiseAlarmAsync(AlarmKind.LowDisk, 7);
        Assert.That((await GetAsync(node, "/health")).Status, Is.EqualTo(200), "the disk of another member stops nothing here");
        await node.Store.RaiseAlarmAsync(AlarmKind.Corrupt, 7);
        Assert.That((await GetAsync(node, "/health")).Body, Does.Contain("ALARM CORRUPT"));
        Assert.That((await GetAsync(node, "/readyz")).Body, Does.Contain("[-]data_corruption failed: alarm activated: CORRUPT"));
        await node.Store.DisarmAlarmAsync(AlarmKind.Corrupt, 7);
        Assert.That((await GetAsync(node, "/readyz")).Status, Is.EqualTo(200));
    }

    [Test]
    public async Task A_node_that_stops_is_not_ready_before_its_port_closes()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Server.Health.Stopping = true;
        Assert.That((await GetAsync(node, "/readyz")).Status, Is.EqualTo(503));
    }

    [Test]
    public async Task Only_GET_asks_for_health()
    {
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient();
        HttpResponseMessage response = await http.PostAsync(new Uri($"http://{node.Endpoint}/health"), null);
        Assert.That(response.StatusCode, Is.EqualTo(HttpStatusCode.MethodNotAllowed));
    }

    [Test]
    public async Task Grpc_health_knows_the_whole_server_only()
    {
        await using TestNode node = await TestNode.StartAsync();
        var client = new Loom.Server.Health.Protos.Health.HealthClient(node.Channel);
        Assert.That((await client.CheckAsync(new HealthCheckRequest())).Status, Is.EqualTo(HealthCheckResponse.Types.ServingStatus.Serving));
        RpcException exception = (await Assert.ThrowsAsync<RpcException>(async () => await client.CheckAsync(new HealthCheckRequest { Service = "x" })))!;
        Assert.That(exception.StatusCode, Is.EqualTo(StatusCode.NotFound));
    }

    private static async Task<(int Status, string Body)> GetAsync(TestNode node, string path)
    {
        using var http = new HttpClient();
        using HttpResponseMessage response = await http.GetAsync(new Uri($"http://{node.Endpoint}{path}"));
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }
}
