using System.Net;
using System.Net.Sockets;
using System.Text;
using Google.Protobuf;
using Loom.Server.Configuration;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Tests.Hosting;

/// <summary>Goal: gRPC over h2c and HTTP/1.1 live on one port, and a connection that says nothing costs only its time-out.</summary>
[TestFixture]
internal sealed class OnePortTests
{
    [Test]
    public async Task Both_protocols_are_served_beside_silent_connections()
    {
        await using TestNode node = await TestNode.StartAsync();
        IPEndPoint address = IPEndPoint.Parse(node.Endpoint);
        var silent = new List<TcpClient>();
        for (int i = 0; i < 200; i++)
        {
            var client = new TcpClient();
            await client.ConnectAsync(address);
            silent.Add(client);
        }

        using var http = new HttpClient { BaseAddress = new Uri("http://" + node.Endpoint) };
        for (int i = 0; i < 20; i++)
        {
            PutResponse put = await node.Kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8("k"), Value = ByteString.CopyFromUtf8($"{i}") });
            Assert.That(put.Header.Revision, Is.EqualTo(i + 2));
            Assert.That(await http.GetStringAsync("/version"), Does.Contain("\"etcdserver\":\"3.5."));
        }

        foreach (TcpClient client in silent)
        {
            client.Dispose();
        }
    }

    /// <summary>POST and PUT begin with the same byte as the preface, and a slow sender may give one byte at a time.</summary>
    [Test]
    public async Task A_request_may_come_byte_by_byte([Values("GET", "PUT", "POST")] string method)
    {
        await using TestNode node = await TestNode.StartAsync();
        using var client = new TcpClient { NoDelay = true };
        await client.ConnectAsync(IPEndPoint.Parse(node.Endpoint));
        NetworkStream stream = client.GetStream();
        foreach (byte b in Encoding.ASCII.GetBytes($"{method} /version HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
        {
            await stream.WriteAsync(new[] { b });
        }

        string answer = await new StreamReader(stream).ReadToEndAsync();
        Assert.That(answer, Does.StartWith(method == "GET" ? "HTTP/1.1 200" : "HTTP/1.1 405"));
    }

    [Test]
    public async Task A_silent_connection_is_closed_after_its_time_out()
    {
        var port = new Loom.Server.Hosting.OnePort(TimeSpan.FromMilliseconds(100));
        var pipe = new System.IO.Pipelines.Pipe();
        await using var connection = new Microsoft.AspNetCore.Connections.DefaultConnectionContext("x") { Transport = new Duplex(pipe.Reader, pipe.Writer) };
        bool served = false;
        await port.RunAsync(_ => { served = true; return Task.CompletedTask; }, connection).WaitAsync(TimeSpan.FromSeconds(10));
        Assert.That((served, port.Undecided), Is.EqualTo((false, 0)));
    }

    [Test]
    public async Task More_streams_than_Kestrel_s_default_fit_into_a_connection()
    {
        await using TestNode node = await TestNode.StartAsync();
        Task<RangeResponse>[] calls = [.. Enumerable.Range(0, 500).Select(_ => node.Kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("k") }).ResponseAsync)];
        await Task.WhenAll(calls).WaitAsync(TimeSpan.FromSeconds(20));
    }

    [Test]
    public async Task A_port_in_use_is_an_error_with_its_fix()
    {
        await using TestNode node = await TestNode.StartAsync();
        ConfigurationException exception = (await Assert.ThrowsAsync<ConfigurationException>(
            async () => await TestNode.StartAsync(s => s with { ListenClientUrls = ["http://" + node.Endpoint] })))!;
        Assert.That(exception.Message, Does.Contain("the port is in use"));
        Assert.That(exception.Fix, Does.Contain("--listen-client-urls"));
    }

    private sealed record Duplex(System.IO.Pipelines.PipeReader Input, System.IO.Pipelines.PipeWriter Output) : System.IO.Pipelines.IDuplexPipe;
}
