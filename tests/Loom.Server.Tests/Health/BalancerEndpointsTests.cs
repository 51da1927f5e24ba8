using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Server.Tests.Hosting;
using Loom.Store.Model;

namespace Loom.Server.Tests.Health;

/// <summary>What a load balancer asks: 200 or 503, and why.</summary>
[TestFixture]
internal sealed class BalancerEndpointsTests
{
    [Test]
    public async Task A_well_leader_takes_everything()
    {
        await using TestNode node = await TestNode.StartAsync();
        Assert.That((await GetAsync(node, "/lb/read")).Status, Is.EqualTo(200));
        Assert.That(await GetAsync(node, "/lb/write"), Is.EqualTo((200, "ok: writes go through default in default\n")));
        Assert.That(await GetAsync(node, "/lb/leader"), Is.EqualTo((200, "ok: leads\n")));
        Assert.That((await GetAsync(node, "/lb/read?age=soon")).Status, Is.EqualTo(400));
        using var http = new HttpClient();
        using var head = new HttpRequestMessage(HttpMethod.Head, new Uri($"http://{node.Endpoint}/lb/write"));
        using HttpResponseMessage response = await http.SendAsync(head);
        Assert.That((int)response.StatusCode, Is.EqualTo(200));
    }

    [Test]
    public async Task A_follower_takes_reads_and_writes_and_names_the_leader()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Node.Leader = new MemberId(7);
        Assert.That((await GetAsync(node, "/lb/read")).Status, Is.EqualTo(200));
        Assert.That((await GetAsync(node, "/lb/write")).Status, Is.EqualTo(200));
        Assert.That(await GetAsync(node, "/lb/leader"), Is.EqualTo((503, "no: nobody known leads\n")));
    }

    /// <summary>Reads go on for as long as they are fresh enough; writes and leadership need the quorum now.</summary>
    [Test]
    public async Task Without_a_quorum_only_reads_within_their_bound_go_on()
    {
        await using TestNode node = await TestNode.StartAsync();
        await GetAsync(node, "/lb/read");
        node.Node.Fault = write => write ? null : new RaftException(RaftErrorCode.NoQuorum, "1 of 3 datacenters is reachable");
        Assert.That((await GetAsync(node, "/lb/read?age=1h")).Status, Is.EqualTo(200), "confirmed a moment ago");
        await Task.Delay(60);
        (int status, string body) = await GetAsync(node, "/lb/read?age=50ms");
        Assert.That(status, Is.EqualTo(503));
        Assert.That(body, Does.StartWith("no: reads may be older than 50 ms: LOOM1007"));
        Assert.That((await GetAsync(node, "/lb/write")).Body, Does.StartWith("no: LOOM1007"));
        Assert.That((await GetAsync(node, "/lb/leader")).Status, Is.EqualTo(503));
        Assert.That((await GetAsync(node, "/lb/leader")).Body.Count(c => c == '\n'), Is.EqualTo(1), "one line");
        node.Node.Fault = null;
        Assert.That((await GetAsync(node, "/lb/read?age=50ms")).Status, Is.EqualTo(200));
    }

    /// <summary>It was confirmed a moment ago, and refuses every read now. It is alive: another state is on its way.</summary>
    [Test]
    public async Task A_member_whose_state_is_wrong_gets_no_traffic_and_no_restart()
    {
        await using TestNode node = await TestNode.StartAsync();
        Assert.That((await GetAsync(node, "/lb/read?age=1h")).Status, Is.EqualTo(200));
        node.Node.Condemn();
        Assert.That((await GetAsync(node, "/lb/read?age=1h")).Body, Does.StartWith("no: LOOM"));
        Assert.That((await GetAsync(node, "/lb/write")).Status, Is.EqualTo(503));
        Assert.That((await GetAsync(node, "/health?serializable=true")).Body, Does.Contain("\"health\":\"false\",\"reason\":\"RANGE ERROR:LOOM"));
        Assert.That((await GetAsync(node, "/readyz")).Status, Is.EqualTo(503));
        Assert.That((await GetAsync(node, "/livez")).Status, Is.EqualTo(200));
    }

    [Test]
    public async Task No_read_was_ever_confirmed()
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Node.Fault = write => write ? null : new RaftException(RaftErrorCode.NoQuorum, "alone");
        Assert.That((await GetAsync(node, "/lb/read?age=1h")).Status, Is.EqualTo(503));
    }

    [Test]
    public async Task Where_puts_are_refused_no_writes_are_sent()
    {
        await using TestNode node = await TestNode.StartAsync();
        await node.Store.RaiseAlarmAsync(AlarmKind.NoSpace, 7);
        Assert.That(await GetAsync(node, "/lb/write"), Is.EqualTo((503, "no: alarm NOSPACE: puts are refused\n")));
        Assert.That((await GetAsync(node, "/lb/read")).Status, Is.EqualTo(200));
        Assert.That((await GetAsync(node, "/lb/leader")).Status, Is.EqualTo(200));
    }

    [TestCase("/lb/read")]
    [TestCase("/lb/write")]
    [TestCase("/lb/leader")]
    public async Task A_node_that_stops_is_left_first(string path)
    {
        await using TestNode node = await TestNode.StartAsync();
        node.Server.Health.Stopping = true;
        Assert.That(await GetAsync(node, path), Is.EqualTo((503, "no: stopping\n")));
    }

    [Test]
    public async Task Asking_writes_nothing()
    {
        await using TestNode node = await TestNode.StartAsync();
        foreach (string path in (string[])["/lb/read", "/lb/write", "/lb/leader"])
        {
            await GetAsync(node, path);
        }

        Assert.That(node.Node.Proposals, Is.Zero);
    }

    private static async Task<(int Status, string Body)> GetAsync(TestNode node, string path)
    {
        using var http = new HttpClient();
        using HttpResponseMessage response = await http.GetAsync(new Uri($"http://{node.Endpoint}{path}"));
        return ((int)response.StatusCode, await response.Content.ReadAsStringAsync());
    }
}
