using System.Text;
using Loom.Server.Hosting;

namespace Loom.Server.Tests.Hosting;

/// <summary>Goal: a request whose authority holds a scheme, as Go's clientv3 3.4 sends it, is served; every other wrong authority is still refused.</summary>
[TestFixture]
internal sealed class AuthorityTests
{
    private const string Served = "200";
    private const string ProtocolError = "reset 1";
    private TestNode node = null!;

    [OneTimeSetUp]
    public async Task StartAsync() => node = await TestNode.StartAsync();

    [OneTimeTearDown]
    public async Task StopAsync() => await node.DisposeAsync();

    [TestCase("127.0.0.1:2379", "127.0.0.1:2379")]
    [TestCase("http://127.0.0.1:2379", "127.0.0.1:2379")]
    [TestCase("https://db.example/", "db.example")]
    [TestCase("http://[::1]:2379/a://b", "[::1]:2379")]
    [TestCase("http://", "http://")]
    [TestCase("http:///path", "http:///path")]
    [TestCase("http:/x", "http:/x")]
    [TestCase("", "")]
    public void The_encoding_reads_host_and_port(string value, string expected) =>
        Assert.That(AuthorityEncoding.Instance.GetString(Encoding.Latin1.GetBytes(value).AsSpan()), Is.EqualTo(expected));

    [Test]
    public void Other_headers_keep_their_encoding() => Assert.That(new[] { "Host", "authority", "grpc-timeout" }.Select(AuthorityEncoding.Select), Is.All.Null);

    [TestCase("127.0.0.1:2379", Served)]
    [TestCase("http://127.0.0.1:2379", Served)]
    [TestCase("http://127.0.0.1:2379/", Served)]
    [TestCase("https://db.example", Served)]
    [TestCase("http://", ProtocolError)]
    [TestCase("http://a b", ProtocolError)]
    [TestCase("http://\u00e9", ProtocolError)]
    [TestCase("http://user@host", ProtocolError)]
    [TestCase("http://a,http://b", ProtocolError)]
    [TestCase("a/b", ProtocolError)]
    public async Task A_stream_is_reset_for_a_wrong_host_only(string authority, string expected)
    {
        using RawHttp2 http = await RawHttp2.ConnectAsync(node.Endpoint);
        int byIndex = await http.GetVersionAsync(authority);
        int spelled = await http.GetVersionAsync(authority, spelledName: true);
        Assert.That(await http.AnswersAsync(2), Is.EquivalentTo(new Dictionary<int, string> { [byIndex] = expected, [spelled] = expected }));
    }

    [TestCase("http://a\0")]
    [TestCase("http://a\r\nb")]
    public async Task A_control_character_ends_the_connection(string authority)
    {
        using RawHttp2 http = await RawHttp2.ConnectAsync(node.Endpoint);
        await http.GetVersionAsync(authority);
        Assert.That(async () => await http.AnswersAsync(1), Throws.TypeOf<IOException>().With.Message.EqualTo("goaway 1"));
    }

    /// <summary>Kestrel keeps streams with the texts of their headers and uses both again: an authority must not be taken for the one before it.</summary>
    [Test]
    public async Task Streams_used_again_take_their_own_authority()
    {
        string[] authorities = ["127.0.0.1:2379", "http://127.0.0.1:2379", "http://127.0.0.1:2379/x", "bad host", "http://"];
        using RawHttp2 http = await RawHttp2.ConnectAsync(node.Endpoint);
        for (int round = 0; round < 50; round++)
        {
            var expected = new Dictionary<int, string>();
            for (int i = 0; i < 20; i++)
            {
                int which = ((round * 7) + i) % authorities.Length;
                expected.Add(await http.GetVersionAsync(authorities[which]), which < 3 ? Served : ProtocolError);
            }

            Assert.That(await http.AnswersAsync(expected.Count), Is.EquivalentTo(expected));
        }
    }
}
