using System.Security.Cryptography.X509Certificates;
using Loom.Server.Cli;

namespace Loom.Server.Tests.Cli;

/// <summary>Goal: what <c>loom certs dev</c> makes can be used as it says, keys are their user's alone, and nothing is ever replaced.</summary>
[TestFixture]
[System.Runtime.Versioning.UnsupportedOSPlatform("windows")]
internal sealed class CertsCommandTests
{
    private string directory = null!;

    [SetUp]
    public void MakeDirectory() => directory = Directory.CreateTempSubdirectory("loom-certs-").FullName;

    [TearDown]
    public void RemoveDirectory() => Directory.Delete(directory, recursive: true);

    [Test]
    public async Task Every_pair_comes_from_its_ca_and_is_good_for_the_hosts()
    {
        string to = Path.Combine(directory, "certs");
        CommandRun run = await CommandRun.OfAsync("certs", "dev", "--dir", to, "--host", "db.example,10.1.2.3");
        Assert.That(run.Code, Is.Zero, run.Error);
        Assert.That(run.Output, Does.Contain($"--cert-file {to}/west1/server.crt").And.Contain($"--cacert {to}/ca.crt"));
        string[] names = ["localhost", "127.0.0.1", "::1", "db.example", "10.1.2.3"];
        (string, string, string[])[] expected =
        [
            ("client", "ca", []), ("east1/server", "ca", names), ("west1/server", "ca", names), ("south1/server", "ca", names),
            ("east1/peer", "peer-ca", names), ("west1/peer", "peer-ca", names), ("south1/peer", "peer-ca", names),
        ];
        foreach ((string pair, string ca, string[] hosts) in expected)
        {
            using X509Certificate2 root = X509CertificateLoader.LoadCertificateFromFile(Path.Combine(to, ca + ".crt"));
            using X509Certificate2 leaf = X509Certificate2.CreateFromPemFile(Path.Combine(to, pair + ".crt"), Path.Combine(to, pair + ".key"));
            using var chain = new X509Chain();
            chain.ChainPolicy.TrustMode = X509ChainTrustMode.CustomRootTrust;
            chain.ChainPolicy.CustomTrustStore.Add(root);
            chain.ChainPolicy.RevocationMode = X509RevocationMode.NoCheck;
            Assert.That(chain.Build(leaf), Is.True, pair);
            Assert.That(hosts, Is.All.Matches<string>(host => leaf.MatchesHostname(host!)), pair);
        }

        foreach (string key in Directory.EnumerateFiles(to, "*.key", SearchOption.AllDirectories))
        {
            Assert.That(File.GetUnixFileMode(key), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite), key);
        }
    }

    [Test]
    public async Task What_is_there_is_not_replaced()
    {
        File.WriteAllText(Path.Combine(directory, "ca.crt"), "mine");
        CommandRun run = await CommandRun.OfAsync("certs", "dev", "--dir", directory);
        Assert.That(run.Code, Is.EqualTo(ExitCode.Failure));
        Assert.That(run.Error, Does.Contain("nothing in it is replaced"));
        Assert.That(Directory.EnumerateFileSystemEntries(directory), Has.Exactly(1).Items);
    }

    [TestCase("--host", "a b", "'a b'")]
    [TestCase("--host", "db.example:2379", "without a port")]
    [TestCase("--days", "0", "1 to 36500")]
    public async Task A_wrong_option_is_told(string option, string value, string told)
    {
        CommandRun run = await CommandRun.OfAsync("certs", "dev", "--dir", Path.Combine(directory, "x"), option, value);
        Assert.That(run.Code, Is.EqualTo(ExitCode.Usage));
        Assert.That(run.Error, Does.Contain(told));
    }
}
