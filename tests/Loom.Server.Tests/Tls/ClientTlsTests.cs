using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Loom.Server.Certificates;
using Loom.Server.Cli;
using Loom.Server.Hosting;
using Loom.Server.Tests.Cli;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Tls;

/// <summary>
/// Goal: the client port with TLS, one-sided and mutual, serves Go's client, curl and our own command line; whoever should not get in does not; certificates are renewed under way; handshakes that
/// nobody finishes keep nobody out.
/// </summary>
[TestFixture]
internal sealed class ClientTlsTests
{
    private CertificateFolder folder = null!;

    [SetUp]
    public void MakeCertificates() => folder = new CertificateFolder();

    [TearDown]
    public void RemoveCertificates() => folder.Dispose();

    [TestCase(false)]
    [TestCase(true)]
    public async Task Etcdctl_speaks_tls(bool mutual)
    {
        Interop.Require("etcdctl");
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual));
        string[] secure = mutual ? ["--cacert", folder["ca.crt"], "--cert", folder["client.crt"], "--key", folder["client.key"]] : ["--cacert", folder["ca.crt"]];
        foreach (string endpoint in (string[])[node.Endpoint, "https://" + node.Endpoint])
        {
            string Ctl(params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", endpoint, .. secure, .. arguments]);
            Assert.That(Ctl("put", "a", "1"), Is.EqualTo("OK\n"));
            Assert.That(Ctl("get", "a"), Is.EqualTo("a\n1\n"));
            Assert.That(Ctl("endpoint", "health"), Does.Contain($"{endpoint} is healthy"));
            Assert.That(Ctl("endpoint", "status"), Does.Contain($"{endpoint}, 1001, 3.5."));
            Assert.That(Ctl("member", "list"), Does.Contain("1001, started, default, "));
            string lease = Ctl("lease", "grant", "60").Split(' ')[1];
            Assert.That(Ctl("lease", "keep-alive", "--once", lease), Does.Contain("keepalived with TTL(60)"));
            using var watch = new FollowedProgram("etcdctl", ["--endpoints", endpoint, .. secure, "watch", "a", "--rev=2"]);
            Assert.That(await watch.ReadAsync("PUT\na\n1\n".Length), Is.EqualTo("PUT\na\n1\n"));
        }
    }

    [Test]
    public async Task A_lease_is_kept_alive_over_tls()
    {
        Interop.Require("etcdctl");
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: false));
        string[] to = ["--endpoints", node.Endpoint, "--cacert", folder["ca.crt"]];
        string lease = Interop.Run("etcdctl", [.. to, "lease", "grant", "6"]).Split(' ')[1];
        using var alive = new FollowedProgram("etcdctl", [.. to, "lease", "keep-alive", lease]);
        string line = $"lease {lease} keepalived with TTL(6)\n";
        Assert.That(await alive.ReadAsync(2 * line.Length), Is.EqualTo(line + line), "a second renewal on the same stream");
    }

    [Test]
    public async Task Who_should_not_get_in_does_not()
    {
        Interop.Require("etcdctl");
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: true));
        using Issuer stranger = Issuer.New("another CA", TimeSpan.FromDays(1));
        folder.Write("stranger", stranger.Issue("client", [], CertificateUse.Client));
        folder.Write("other-ca", stranger.Pair);
        Task<string> Ctl(params string[] options) => Task.Run(() => Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "--command-timeout=2s", "--dial-timeout=1s", .. options, "get", "a"], mayFail: true));
        Task<string> With(string ca, string pair) => Ctl("--cacert", folder[ca + ".crt"], "--cert", folder[pair + ".crt"], "--key", folder[pair + ".key"]);

        Assert.That(Interop.Run("etcdctl", ["--endpoints", node.Endpoint, "--cacert", folder["ca.crt"], "--cert", folder["client.crt"], "--key", folder["client.key"], "get", "a"]), Is.Empty, "who may, gets in");

        // Go's client tries until its time is over, so they do it side by side.
        Task<string> none = Ctl("--cacert", folder["ca.crt"]), another = With("ca", "stranger"), server = With("ca", "server"), mistrusts = With("other-ca", "client"), cleartext = Ctl();
        Assert.That(await none, Does.Contain("Error:"), "no certificate");
        Assert.That(await another, Does.Contain("Error:"), "of another CA");
        Assert.That(await server, Does.Contain("Error:"), "of a server, not for clients");
        Assert.That(await mistrusts, Does.Contain("Error:"), "the client trusts another CA");
        Assert.That(await cleartext, Does.Contain("Error:"), "cleartext");
        Assert.That(folder.Log.Lines, Has.Some.Contains("Refused a client at 127.0.0.1"));
        Assert.That(() => node.Tls!.Unfinished, Is.Zero.After(2000, 20));
    }

    [Test]
    public async Task Curl_speaks_both_protocols_and_is_told_when_it_should_have()
    {
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: false));
        string Curl(params string[] arguments) => Interop.Run("curl", ["-s", "--cacert", folder["ca.crt"], .. arguments]);
        Assert.That(Curl("--http1.1", "-w", " %{http_version}", $"https://{node.Endpoint}/version"), Does.Contain("etcdserver").And.EndWith(" 1.1"));
        Assert.That(Curl("--http2", "-w", " %{http_version}", $"https://{node.Endpoint}/version"), Does.Contain("etcdserver").And.EndWith(" 2"));
        Assert.That(Curl("-w", " %{http_code}", $"http://{node.Endpoint}/version"), Is.EqualTo("Client sent an HTTP request to an HTTPS server.\n 400"), "as Go's server says it");
        Assert.That(folder.Log.Lines, Has.Some.Contains("it speaks cleartext, and this port speaks TLS"));
    }

    [Test]
    public async Task An_address_without_tls_beside_one_with_it_serves_the_same()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { ListenClientUrls = [.. settings.ListenClientUrls, "http://127.0.0.1:0"] }, tls: folder.Port(mutual: false));
        Assert.That(Interop.Run("curl", ["-s", "--cacert", folder["ca.crt"], node.Server.Addresses.Bound[0] + "/version"]), Does.Contain("etcdserver"));
        Assert.That(Interop.Run("curl", ["-s", node.Server.Addresses.Bound[1] + "/version"]), Does.Contain("etcdserver"));
    }

    [Test]
    public async Task A_renewed_certificate_is_shown_to_the_next_connection_and_open_ones_go_on()
    {
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: false));
        using var before = new SecureConnection(node.Endpoint);
        Assert.That(before.Subject, Does.Contain("CN=server"));
        folder.Write("server", folder.Issuer.Issue("renewed", ["127.0.0.1"], CertificateUse.Server));
        folder.AMomentLater();
        using var after = new SecureConnection(node.Endpoint);
        Assert.That(after.Subject, Does.Contain("CN=renewed"));
        Assert.That(before.Ask("GET /version HTTP/1.1\r\nHost: x\r\n\r\n"), Does.StartWith("HTTP/1.1 200"));
    }

    /// <summary>Method: open more connections than may be in a handshake, of which each third sent half of a first record; then clients must get in at once.</summary>
    [Test]
    public async Task Handshakes_that_nobody_finishes_keep_nobody_out()
    {
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: false));
        int port = int.Parse(node.Endpoint.Split(':')[1], CultureInfo.InvariantCulture);
        var held = new List<TcpClient>();
        try
        {
            for (int i = 0; i < TlsPort.MaxUnfinished + 200; i++)
            {
                var client = new TcpClient("127.0.0.1", port);
                held.Add(client);
                if (i % 3 == 0)
                {
                    client.GetStream().Write([0x16, 0x03, 0x01, 0x02]);
                }
            }

            Assert.That(() => node.Tls!.Unfinished, Is.InRange(TlsPort.MaxUnfinished / 2, TlsPort.MaxUnfinished).After(3000, 20));
            var time = Stopwatch.StartNew();
            for (int i = 0; i < 5; i++)
            {
                using var honest = new SecureConnection(node.Endpoint);
                Assert.That(honest.Ask("GET /version HTTP/1.1\r\nHost: x\r\n\r\n"), Does.StartWith("HTTP/1.1 200"));
            }

            Assert.That(time.Elapsed, Is.LessThan(TimeSpan.FromSeconds(5)));
            Assert.That(node.Tls!.Unfinished, Is.LessThanOrEqualTo(TlsPort.MaxUnfinished));
        }
        finally
        {
            held.ForEach(client => client.Dispose());
        }

        Assert.That(() => node.Tls!.Unfinished, Is.Zero.After(5000, 20));
    }

    [Test]
    public async Task The_command_line_speaks_tls_and_says_what_is_wrong()
    {
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: true));
        string[] trusting = ["--endpoints", node.Endpoint, "--cacert", folder["ca.crt"]];
        string[] mutual = [.. trusting, "--cert", folder["client.crt"], "--key", folder["client.key"]];
        Assert.That((await CommandRun.OfAsync(["put", "k", "v", .. mutual])).Code, Is.Zero);
        CommandRun got = await CommandRun.OfAsync(["get", "k", "--endpoints", "https://" + node.Endpoint, "--insecure-skip-tls-verify", "--cert", folder["client.crt"], "--key", folder["client.key"]]);
        Assert.That((got.Code, got.Output), Is.EqualTo((0, "k\tv\n")), got.Error);
        Assert.That((await CommandRun.OfAsync(["status", .. mutual])).Code, Is.Zero);
        CommandRun stranger = await CommandRun.OfAsync(["put", "k", "w", .. trusting]);
        Assert.That(stranger.Error, Does.Contain("--cert and --key"));
        Assert.That(stranger.Code, Is.EqualTo(ExitCode.Unreachable), "nothing was written, so nothing is unknown");
        CommandRun unknown = await CommandRun.OfAsync(["get", "k", "--endpoints", "https://" + node.Endpoint]);
        Assert.That(unknown.Error, Does.Contain("does not come from the machine's CAs").And.Contain("--cacert"));
        CommandRun cleartext = await CommandRun.OfAsync(["get", "k", "--endpoints", "http://" + node.Endpoint]);
        Assert.That(cleartext.Error, Does.Contain("https://"));
        CommandRun write = await CommandRun.OfAsync(["put", "k", "w", "--endpoints", "http://" + node.Endpoint]);
        Assert.That(write.Code, Is.EqualTo(ExitCode.Unreachable), write.Error);
        CommandRun name = await CommandRun.OfAsync(["get", "k", .. mutual[2..], "--endpoints", node.Endpoint.Replace("127.0.0.1", "[::ffff:127.0.0.1]", StringComparison.Ordinal)]);
        Assert.That(name.Error, Does.Contain("not good for the host").And.Contain("name the member by a host"));
        CommandRun half = await CommandRun.OfAsync(["get", "k", "--endpoints", node.Endpoint, "--cert", folder["client.crt"]]);
        Assert.That((half.Code, half.Error), Is.EqualTo((ExitCode.Usage, "error: --cert is given without --key\nhint: name both: the certificate and its private key\n")));
    }

    [TestCase("LOOM_")]
    [TestCase("ETCDCTL_")]
    public async Task The_command_line_reads_its_certificates_from_variables(string prefix)
    {
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: true));
        var environment = new Dictionary<string, string>
        {
            [prefix + "ENDPOINTS"] = node.Endpoint, [prefix + "CACERT"] = folder["ca.crt"], [prefix + "CERT"] = folder["client.crt"], [prefix + "KEY"] = folder["client.key"],
        };
        Assert.That(await CommandRun.OfAsync(environment, "put", "k", "v"), Has.Property("Code").Zero);
    }

    [Test]
    public async Task The_command_line_says_when_the_node_has_no_tls()
    {
        await using TestNode node = await TestNode.StartAsync();
        Assert.That((await CommandRun.OfAsync("get", "k", "--endpoints", "https://" + node.Endpoint)).Error, Does.Contain("does not speak TLS").And.Contain("http://"));
    }
}
