using System.Globalization;
using Loom.Server.Certificates;
using Loom.Server.Cli;
using Loom.Server.Tests.Cli;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Tls;

/// <summary>
/// Goal: three datacenters as <c>loom certs dev</c> sets them up, mutual TLS for clients and members: Go's client sees https URLs and uses them, all certificates and the CA of the members are renewed
/// while writes flow and members restart, and nothing acknowledged is lost.
/// </summary>
[TestFixture]
internal sealed class PeerTlsClusterTests
{
    [Test]
    public async Task Certificates_from_loom_certs_dev_serve_a_cluster_and_are_renewed_while_it_is_written_to()
    {
        Interop.Require("etcdctl");
        await using var cluster = new ServedCluster(clientTls: true, peerTls: true);
        CommandRun made = await CommandRun.OfAsync("certs", "dev", "--dir", cluster.At("certs"));
        Assert.That(made.Code, Is.Zero, made.Error);
        Start(cluster, "certs");
        await cluster.ReadyAsync();
        await UseEtcdctlAsync(cluster);
        using var stop = new CancellationTokenSource();
        Task<int> writes = WriteAsync(cluster, stop.Token);

        // Members of the old and the new CA meet while one after the other is renewed: both are trusted first.
        using Issuer next = Issuer.New("next CA of members", TimeSpan.FromDays(1));
        File.AppendAllText(cluster.At("certs/peer-ca.crt"), next.Pair.Certificate);
        await Task.Delay(1100);
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            Replace(
                next.Issue(ServedCluster.Name(i), ["127.0.0.1", "localhost"], CertificateUse.Server | CertificateUse.Client), cluster.At($"certs/{ServedCluster.Name(i)}/peer"));
            await cluster.StopAsync(i);
            Start(cluster, i, "certs");
            await cluster.ReadyAsync();
        }

        await stop.CancelAsync();
        int written = await writes;
        Assert.That(written, Is.GreaterThan(10));
        string[] read = Ctl(cluster, 0, "get", "w/", "--prefix", "--keys-only", "--limit=0").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.That(read, Has.Length.GreaterThanOrEqualTo(written), "what was acknowledged is there");
        Assert.That(cluster.Errors, Does.Not.Contain("is not trusted"));
    }

    [Test]
    public async Task A_member_with_a_certificate_of_another_ca_stays_outside_and_status_says_why()
    {
        await using var cluster = new ServedCluster(clientTls: true, peerTls: true);
        Assert.That((await CommandRun.OfAsync("certs", "dev", "--dir", cluster.At("certs"))).Code, Is.Zero);
        Assert.That((await CommandRun.OfAsync("certs", "dev", "--dir", cluster.At("others"))).Code, Is.Zero);
        Start(cluster, "certs");
        await cluster.ReadyAsync();
        await cluster.StopAsync(2);
        Start(cluster, 2, "others");
        CommandRun status = await ServedCluster.UntilAsync(
            () => CommandRun.OfAsync(["status", "--endpoints", cluster.Endpoint(0), .. Client(cluster)]),
            run => run.Output.Contains("east1 has no connection with south1: its certificate", StringComparison.Ordinal));
        Assert.That(status.Output, Does.Contain("does not come from the CA in"));
        Assert.That(status.Code, Is.Zero, "two of three serve");
    }

    [Test]
    public async Task Members_with_automatic_certificates_find_each_other()
    {
        await using var cluster = new ServedCluster(peerTls: true);
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            cluster.Start(i, "--peer-auto-tls");
        }

        await cluster.ReadyAsync();
        Assert.That((await CommandRun.OfAsync("put", "k", "v", "--endpoints", cluster.Endpoint(1))).Code, Is.Zero);
        Assert.That((await CommandRun.OfAsync("get", "k", "--endpoints", cluster.Endpoint(2))).Output, Is.EqualTo("k\tv\n"));
    }

    private static async Task UseEtcdctlAsync(ServedCluster cluster)
    {
        Assert.That(Ctl(cluster, 0, "put", "a", "1"), Is.EqualTo("OK\n"));

        // Members tell each other their client URLs once the cluster is formed.
        string list = await ServedCluster.UntilAsync(
            () => Task.FromResult(Ctl(cluster, 1, "member", "list")), text => Enumerable.Range(0, ServedCluster.Count).All(i => text.Contains(cluster.ClientUrl(i), StringComparison.Ordinal)));
        string status = Ctl(cluster, 1, "endpoint", "status", "--cluster");
        string health = Ctl(cluster, 2, "endpoint", "health", "--cluster");
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            Assert.That(status, Does.Contain($"{cluster.ClientUrl(i)}, "));
            Assert.That(health, Does.Contain($"{cluster.ClientUrl(i)} is healthy"));
            Assert.That(list, Does.Contain($"started, {ServedCluster.Name(i)}, {cluster.PeerUrl(i)}, {cluster.ClientUrl(i)}, false"));
        }
    }

    private static async Task<int> WriteAsync(ServedCluster cluster, CancellationToken stop)
    {
        int written = 0;
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            string key = string.Create(CultureInfo.InvariantCulture, $"w/{i}");
            string[] endpoints = [.. Enumerable.Range(0, ServedCluster.Count).Select(n => cluster.Endpoint((i + n) % ServedCluster.Count))];
            written += (await CommandRun.OfAsync(["put", key, "v", "--endpoints", string.Join(',', endpoints), .. Client(cluster)])).Code == ExitCode.Ok ? 1 : 0;
        }

        return written;
    }

    private static void Start(ServedCluster cluster, string certificates)
    {
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            Start(cluster, i, certificates);
        }
    }

    private static void Start(ServedCluster cluster, int i, string certificates)
    {
        string own = cluster.At($"{certificates}/{ServedCluster.Name(i)}");
        cluster.Start(
            i, "--cert-file", own + "/server.crt", "--key-file", own + "/server.key", "--client-cert-auth", "--trusted-ca-file", cluster.At(certificates + "/ca.crt"),
            "--peer-cert-file", own + "/peer.crt", "--peer-key-file", own + "/peer.key", "--peer-client-cert-auth", "--peer-trusted-ca-file", cluster.At(certificates + "/peer-ca.crt"));
    }

    private static void Replace(IssuedPair pair, string path)
    {
        File.Delete(path + ".crt");
        File.Delete(path + ".key");
        PairFiles.Write(pair, path + ".crt", path + ".key");
    }

    private static string[] Client(ServedCluster cluster) =>
        ["--cacert", cluster.At("certs/ca.crt"), "--cert", cluster.At("certs/client.crt"), "--key", cluster.At("certs/client.key")];

    private static string Ctl(ServedCluster cluster, int member, params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", cluster.Endpoint(member), .. Client(cluster), .. arguments]);
}
