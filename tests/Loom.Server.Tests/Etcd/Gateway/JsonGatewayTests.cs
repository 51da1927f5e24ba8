using System.Net;
using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Loom.Server.Etcd.Gateway;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Microsoft.AspNetCore.Http;

namespace Loom.Server.Tests.Etcd.Gateway;

/// <summary>What the recorded transcript cannot show: time, connections that break, a node that stops, limits.</summary>
[TestFixture]
internal sealed class JsonGatewayTests
{
    private const string Watch = """{"create_request":{"key":"YQ=="}}""";

    [Test]
    public async Task Every_route_reaches_a_method_or_says_unimplemented()
    {
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        Assert.That(GatewayRoutes.All, Has.Count.EqualTo(51));
        foreach (string path in GatewayRoutes.All.Keys.Where(path => GatewayRoutes.All[path] is { IsServerStreaming: false }))
        {
            // A name of its own: a lock and an election of one name wait for each other.
            string body = $$"""{"name":"{{Convert.ToBase64String(Encoding.UTF8.GetBytes(path))}}"}""";
            using HttpResponseMessage response = await http.PostAsync(new Uri("/v3/" + path, UriKind.Relative), new StringContent(body));
            Assert.That(await response.Content.ReadAsStringAsync(), Does.StartWith("{"), $"{path}: {response.StatusCode}");
        }
    }

    [Test]
    public async Task An_event_is_sent_when_it_happens()
    {
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v3/watch") { Content = new StringContent(Watch) };
        using HttpResponseMessage response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
        Assert.That(await lines.ReadLineAsync(), Does.Contain("\"created\":true"));
        for (int i = 0; i < 20; i++)
        {
            await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("a"), Value = ByteString.CopyFromUtf8($"{i}") });
            Assert.That(await lines.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(10)), Does.Contain($"\"version\":\"{i + 1}\""));
        }
    }

    /// <summary>python-etcd3gw parses each chunk for itself.</summary>
    [Test]
    public async Task An_event_is_one_chunk_however_large()
    {
        await using TestNode node = await TestNode.StartAsync();
        using TcpClient client = await OpenAsync(node, $"Content-Length: {Watch.Length}\r\n");
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Watch));
        await ReadUntilAsync(client, "\"created\":true}}\n\r\n");
        await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("a"), Value = ByteString.CopyFrom(new byte[100_000]) });
        string text = await ReadUntilAsync(client, "}}]}}\n\r\n");
        int length = int.Parse(text[..text.IndexOf('\r', StringComparison.Ordinal)], System.Globalization.NumberStyles.HexNumber, System.Globalization.CultureInfo.InvariantCulture);
        Assert.That(text, Has.Length.EqualTo(text.IndexOf('\n', StringComparison.Ordinal) + 1 + length + 2));
    }

    [Test]
    public async Task A_request_may_come_while_the_stream_is_open()
    {
        await using TestNode node = await TestNode.StartAsync();
        using TcpClient client = await OpenAsync(node, "Transfer-Encoding: chunked\r\n");
        await SendChunkAsync(client, """{"create_request":{"key":"YQ==","watch_id":"5"}}""");
        await ReadUntilAsync(client, "\"created\":true");
        await SendChunkAsync(client, """{"cancel_request":{"watch_id":"5"}}""");
        await ReadUntilAsync(client, "\"canceled\":true");
    }

    [Test]
    public async Task A_watch_ends_when_its_client_goes()
    {
        await using TestNode node = await TestNode.StartAsync();
        for (int i = 0; i < 50; i++)
        {
            using TcpClient client = await OpenAsync(node, $"Content-Length: {Watch.Length}\r\n");
            await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes(Watch));
            await ReadUntilAsync(client, "\"created\":true");
        }

        long until = Environment.TickCount64 + 10_000;
        while (node.Store.Status.Watches > 0 && Environment.TickCount64 < until)
        {
            await Task.Delay(20);
        }

        Assert.That(node.Store.Status.Watches, Is.Zero);
    }

    [Test]
    public async Task A_node_that_stops_says_so_in_the_stream()
    {
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        using var request = new HttpRequestMessage(HttpMethod.Post, "/v3/watch") { Content = new StringContent(Watch) };
        using HttpResponseMessage response = await http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead);
        using var lines = new StreamReader(await response.Content.ReadAsStreamAsync());
        await lines.ReadLineAsync();
        long began = Environment.TickCount64;
        await node.Server.StopAsync(CancellationToken.None);
        Assert.That(Environment.TickCount64 - began, Is.LessThan(1200));
        Assert.That(
            await lines.ReadToEndAsync(), Is.EqualTo("""{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: server stopped","http_status":"Service Unavailable"}}"""));
    }

    [Test]
    public async Task A_body_that_does_not_arrive_is_given_up()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { Limits = settings.Limits with { BodyPatience = TimeSpan.FromMilliseconds(200) } });
        using TcpClient client = await OpenAsync(node, "Content-Length: 100\r\n", "/v3/kv/range");
        await client.GetStream().WriteAsync("{\"key\":"u8.ToArray());
        Assert.That(await ReadUntilAsync(client, "\"code\":4"), Does.StartWith("HTTP/1.1 504"));
    }

    [Test]
    public async Task A_request_of_millions_of_empty_things_is_refused_before_they_are_made()
    {
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        using HttpResponseMessage response = await http.PostAsync(
            new Uri("/v3/kv/txn", UriKind.Relative), new StringContent($$"""{"compare":[{{string.Join(',', Enumerable.Repeat("{}", 100_000))}}]}"""));
        Assert.That((int)response.StatusCode, Is.EqualTo(429));
        Assert.That(await response.Content.ReadAsStringAsync(), Does.Contain("JSON values").And.Contain("\"code\":8"));
    }

    [TestCase(1_600_000, 400, 3)]
    [TestCase(2_200_000, 429, 8)]
    [TestCase(9_000_000, 429, 8)]
    public async Task A_request_too_large_has_etcd_s_codes(int bytes, int status, int code)
    {
        await using TestNode node = await TestNode.StartAsync();
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        using HttpResponseMessage response = await http.PostAsync(
            new Uri("/v3/kv/put", UriKind.Relative), new StringContent($$"""{"key":"YQ==","value":"{{Convert.ToBase64String(new byte[bytes])}}"}"""));
        Assert.That((int)response.StatusCode, Is.EqualTo(status));
        Assert.That(await response.Content.ReadAsStringAsync(), Does.Contain($"\"code\":{code}"));
    }

    [Test]
    public async Task It_can_be_turned_off()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { EnableGateway = false });
        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        using HttpResponseMessage response = await http.PostAsync(new Uri("/v3/kv/range", UriKind.Relative), new StringContent("{}"));
        Assert.That(response.StatusCode, Is.EqualTo(HttpStatusCode.NotFound));
    }

    /// <summary>Who calls is judged by the services, by these headers; what belongs to the protocol cannot be set through the prefix.</summary>
    [Test]
    public void The_headers_of_a_caller_reach_the_service()
    {
        var outer = new DefaultHttpContext();
        foreach ((string name, string value) in ((string, string)[])
        [
            ("Authorization", "Bearer abc"), ("Token", "t"), ("Grpc-Metadata-hasleader", "true"), ("Grpc-Timeout", "5S"), ("Grpc-Metadata-grpc-encoding", "gzip"),
            ("Grpc-Metadata-Content-Type", "text/plain"), ("User-Agent", "curl"), ("Cookie", "x"),
        ])
        {
            outer.Request.Headers[name] = value;
        }

        using var lifetime = new CancellationTokenSource();
        var pipe = new System.IO.Pipelines.Pipe();
        HttpContext inner = GatewayContext.Create(outer, "/x/y", pipe.Reader, pipe.Writer, new HeaderDictionary(), lifetime);
        Assert.That(
            inner.Request.Headers.Select(header => $"{header.Key.ToUpperInvariant()}={header.Value}").Order(StringComparer.Ordinal),
            Is.EqualTo((string[])["AUTHORIZATION=Bearer abc", "CONTENT-TYPE=application/grpc", "GRPC-TIMEOUT=5S", "HASLEADER=true", "TE=trailers", "TOKEN=t"]));
    }

    private static async Task<TcpClient> OpenAsync(TestNode node, string headers, string path = "/v3/watch")
    {
        var client = new TcpClient();
        await client.ConnectAsync(IPEndPoint.Parse(node.Endpoint));
        await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"POST {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"));
        return client;
    }

    private static async Task SendChunkAsync(TcpClient client, string text) => await client.GetStream().WriteAsync(Encoding.ASCII.GetBytes($"{text.Length:x}\r\n{text}\r\n"));

    private static async Task<string> ReadUntilAsync(TcpClient client, string part)
    {
        var text = new StringBuilder();
        byte[] buffer = new byte[4096];
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(10));
        while (!text.ToString().Contains(part, StringComparison.Ordinal))
        {
            int read = await client.GetStream().ReadAsync(buffer, limit.Token);
            Assert.That(read, Is.Positive, text.ToString());
            text.Append(Encoding.UTF8.GetString(buffer, 0, read));
        }

        return text.ToString();
    }
}
