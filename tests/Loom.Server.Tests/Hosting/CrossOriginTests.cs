using System.Net;

namespace Loom.Server.Tests.Hosting;

[TestFixture]
internal sealed class CrossOriginTests
{
    [TestCase("/version")]
    [TestCase("/health")]
    [TestCase("/v3/kv/range")]
    [TestCase("/nothing")]
    public async Task Every_answer_lets_pages_of_other_origins_read_it(string path)
    {
        await using TestNode node = await TestNode.StartAsync();
        using HttpResponseMessage response = await SendAsync(node, HttpMethod.Get, path, "http://page.example");
        Assert.That(response.Headers.GetValues("Access-Control-Allow-Origin"), Is.EqualTo((string[])["*"]));
        using HttpResponseMessage preflight = await SendAsync(node, HttpMethod.Options, path, "http://page.example");
        Assert.That(preflight.StatusCode, Is.EqualTo(HttpStatusCode.OK));
        Assert.That(preflight.Headers.GetValues("Access-Control-Allow-Methods"), Is.EqualTo((string[])["POST, GET, OPTIONS, PUT, DELETE"]));
        Assert.That(preflight.Headers.GetValues("Access-Control-Allow-Headers"), Is.EqualTo((string[])["accept, content-type, authorization"]));
    }

    [Test]
    public async Task A_list_of_origins_lets_only_those()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { Cors = ["http://page.example"] });
        using HttpResponseMessage one = await SendAsync(node, HttpMethod.Get, "/version", "http://page.example");
        Assert.That(one.Headers.GetValues("Access-Control-Allow-Origin"), Is.EqualTo((string[])["http://page.example"]));
        using HttpResponseMessage other = await SendAsync(node, HttpMethod.Get, "/version", "http://other.example");
        Assert.That(other.Headers.Contains("Access-Control-Allow-Origin"), Is.False);
    }

    [Test]
    public async Task A_list_of_host_names_refuses_others()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { HostWhitelist = ["db.example"] });
        using HttpResponseMessage other = await SendAsync(node, HttpMethod.Get, "/version", null);
        Assert.That(other.StatusCode, Is.EqualTo(HttpStatusCode.MisdirectedRequest));
        using HttpResponseMessage listed = await SendAsync(node, HttpMethod.Get, "/version", null, "db.example");
        Assert.That(listed.StatusCode, Is.EqualTo(HttpStatusCode.OK));
        Assert.That((await node.Kv.RangeAsync(new Loom.Server.Etcd.Protos.RangeRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("a") })).Count, Is.Zero, "gRPC is not asked");
    }

    /// <summary>The JSON gateway takes any content type, and a page that reaches the node by a name of its own may send any.</summary>
    [Test]
    public async Task A_request_that_calls_itself_gRPC_is_none_on_HTTP_1()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { HostWhitelist = ["db.example"] });
        using var http = new HttpClient();
        using var content = new StringContent("""{"key":"YQ=="}""", new System.Net.Http.Headers.MediaTypeHeaderValue("application/grpc"));
        using HttpResponseMessage response = await http.PostAsync(new Uri($"http://{node.Endpoint}/v3/kv/range"), content);
        Assert.That(response.StatusCode, Is.EqualTo(HttpStatusCode.MisdirectedRequest));
    }

    private static async Task<HttpResponseMessage> SendAsync(TestNode node, HttpMethod method, string path, string? origin, string? host = null)
    {
        using var http = new HttpClient();
        using var request = new HttpRequestMessage(method, new Uri($"http://{node.Endpoint}{path}"));
        request.Headers.Host = host;
        if (origin is not null)
        {
            request.Headers.Add("Origin", origin);
        }

        return await http.SendAsync(request);
    }
}
