using System.Security.Cryptography.X509Certificates;
using Loom.Server.Certificates;
using Loom.Server.Configuration;
using Loom.Server.Hosting;
using Loom.Server.Tests.Configuration;

namespace Loom.Server.Tests.Tls;

/// <summary>Goal: what the flags say is what a node opens; a pair is made by <c>--auto-tls</c> only, and kept.</summary>
[TestFixture]
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
internal sealed class NodeCertificatesTests
{
    private CertificateFolder folder = null!;

    [SetUp]
    public void MakeCertificates() => folder = new CertificateFolder();

    [TearDown]
    public void RemoveCertificates() => folder.Dispose();

    [Test]
    public void Auto_tls_makes_a_pair_once_for_this_user_alone()
    {
        ServeSettings settings = Settings("--listen-client-urls=https://127.0.0.1:2379", "--auto-tls", "--data-dir", folder["data"]);
        Open(settings);
        string certificate = Path.Combine(folder["data"], "fixtures", "client", "cert.pem");
        string key = Path.Combine(folder["data"], "fixtures", "client", "key.pem");
        Assert.That(File.GetUnixFileMode(key), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite));
        using X509Certificate2 made = X509CertificateLoader.LoadCertificateFromFile(certificate);
        Assert.That(made.MatchesHostname("127.0.0.1"), Is.True);
        Assert.That(made.NotAfter, Is.EqualTo(DateTime.Now.AddDays(365)).Within(TimeSpan.FromHours(1)));
        Open(settings);
        Assert.That(File.ReadAllText(certificate).ReplaceLineEndings(), Is.EqualTo(made.ExportCertificatePem() + "\n"), "clients may know it");
    }

    [Test]
    public void A_pair_that_was_given_is_used_and_never_touched()
    {
        string before = File.ReadAllText(folder["server.key"]);
        ServeSettings settings = Settings("--listen-client-urls=https://127.0.0.1:2379", "--auto-tls", "--cert-file", folder["server.crt"], "--key-file", folder["server.key"]);
        Assert.That(settings.Warnings, Has.One.Contains("--auto-tls is ignored"));
        Open(settings);
        Assert.That(File.ReadAllText(folder["server.key"]), Is.EqualTo(before));
    }

    /// <summary>etcd's answer: it serves, and warns.</summary>
    [Test]
    public void A_certificate_without_an_https_url_is_left_out_with_a_warning()
    {
        ServeSettings settings = Settings("--cert-file", folder["server.crt"], "--key-file", folder["server.key"], "--client-cert-auth");
        Assert.That(settings.ClientTls, Is.Null);
        Assert.That(settings.Warnings, Has.One.Contains("--key-file are not used").And.One.Contains("--client-cert-auth is not in force"));
    }

    [Test]
    public void Urls_with_and_without_tls_may_stand_side_by_side()
    {
        ServeSettings settings = Settings(
            "--listen-client-urls=https://0.0.0.0:2379,http://127.0.0.1:2381", "--cert-file", folder["server.crt"], "--key-file", folder["server.key"], "--trusted-ca-file", folder["ca.crt"],
            "--advertise-client-urls=https://db.example:443");
        Assert.That(settings.ClientTls, Is.Not.Null);
        Assert.That(settings.AdvertiseClientUrls, Is.EqualTo(new[] { "https://db.example:443" }));
        Open(settings);
    }

    [Test]
    public void An_expired_certificate_is_a_warning()
    {
        using var key = System.Security.Cryptography.ECDsa.Create();
        using X509Certificate2 expired = new CertificateRequest("CN=late", key, System.Security.Cryptography.HashAlgorithmName.SHA256)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-2), DateTimeOffset.UtcNow.AddDays(-1));
        folder.Write("server", new IssuedPair(expired.ExportCertificatePem(), key.ExportPkcs8PrivateKeyPem()));
        Assert.That(Open(Settings("--listen-client-urls=https://127.0.0.1:2379", "--cert-file", folder["server.crt"], "--key-file", folder["server.key"])), Has.One.Contains("expired at"));
    }

    [Test]
    public void A_file_that_cannot_be_used_ends_the_start()
    {
        ServeSettings settings = Settings("--listen-client-urls=https://127.0.0.1:2379", "--cert-file", folder["server.crt"], "--key-file", folder["client.key"]);
        Assert.That(() => Open(settings), Throws.TypeOf<ConfigurationException>().With.Message.Contains("does not belong").And.Property("Fix").Contains("made together"));
    }

    private static ServeSettings Settings(params string[] arguments) => ServeSettings.From(SettingSourcesTests.Read(arguments));

    private static List<string> Open(ServeSettings settings)
    {
        var said = new List<string>();
        using var loggers = new Microsoft.Extensions.Logging.LoggerFactory();
        Assert.That(NodeCertificates.OpenClients(settings, loggers, said.Add), Is.Not.Null);
        return said;
    }
}
