using System.Globalization;
using Loom.Server.Certificates;
using Loom.Server.Cli;
using Loom.Server.Hosting;
using Loom.Server.Tests.Cli;
using Loom.Server.Tests.Hosting;
using Loom.Testing;

namespace Loom.Server.Tests.Tls;

/// <summary>
/// Goal: three datacenters as <c>loom certs dev</c> sets them up, mutual TLS for clients and members: Go's client sees https URLs and uses them, all certificates and the CA of the members are renewed
/// while writes flow and a member restarts, and nothing acknowledged is lost.
/// </summary>
[TestFixture]
internal sealed class PeerTlsClusterTests
{
    private static readonly string[] Members = ["east1@east", "west1@west", "south1@south"];

    private readonly CancellationTokenSource?[] stops = new CancellationTokenSource?[3];
    private readonly Task<int>?[] nodes = new Task<int>?[3];
    private readonly SharedText[] errors = [new(), new(), new()];
    private string directory = null!;
    private int[] ports = null!;

    [SetUp]
    public void MakeDirectory() => directory = Directory.CreateTempSubdirectory("loom-peer-tls-").FullName;

    [TearDown]
    public async Task StopAsync()
    {
        for (int i = 0; i < 3; i++)
        {
            await StopAsync(i);
        }

        Directory.Delete(directory, recursive: true);
    }

    [Test]
    public async Task Certificates_from_loom_certs_dev_serve_a_cluster_and_are_renewed_while_it_is_written_to()
    {
        Interop.Require("etcdctl");
        CommandRun made = await CommandRun.OfAsync("certs", "dev", "--dir", At("certs"));
        Assert.That(made.Code, Is.Zero, made.Error);
        Start("certs");
        await ReadyAsync();
        await UseEtcdctlAsync();
        using var stop = new CancellationTokenSource();
        Task<int> writes = WriteAsync(stop.Token);

        // Members of the old and the new CA meet while one after the other is renewed: both are trusted first.
        using Issuer next = Issuer.New("next CA of members", TimeSpan.FromDays(1));
        File.AppendAllText(At("certs/peer-ca.crt"), next.Pair.Certificate);
        await Task.Delay(1100);
        for (int i = 0; i < 3; i++)
        {
            string own = At("certs/" + Name(i));
            Replace(next.Issue(Name(i), ["127.0.0.1", "localhost"], CertificateUse.Server | CertificateUse.Client), Path.Combine(own, "peer"));
            await StopAsync(i);
            Start(i, "certs");
            await ReadyAsync();
        }

        await stop.CancelAsync();
        int written = await writes;
        Assert.That(written, Is.GreaterThan(10));
        string[] read = Ctl(0, "get", "w/", "--prefix", "--keys-only", "--limit=0").Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.That(read, Has.Length.GreaterThanOrEqualTo(written), "what was acknowledged is there");
        Assert.That(string.Join('\n', errors.Select(e => e.Read())), Does.Not.Contain("is not trusted"));
    }

    [Test]
    public async Task A_member_with_a_certificate_of_another_ca_stays_outside_and_status_says_why()
    {
        Assert.That((await CommandRun.OfAsync("certs", "dev", "--dir", At("certs"))).Code, Is.Zero);
        Assert.That((await CommandRun.OfAsync("certs", "dev", "--dir", At("others"))).Code, Is.Zero);
        Start(0, "certs");
        Start(1, "certs");
        Start(2, "certs");
        await ReadyAsync();
        await StopAsync(2);
        Start(2, "others");
        CommandRun status = await UntilAsync(
            () => CommandRun.OfAsync(["status", "--endpoints", Endpoint(0), .. Client("certs")]), run => run.Output.Contains("east1 has no connection with south1: its certificate", StringComparison.Ordinal));
        Assert.That(status.Output, Does.Contain("does not come from the CA in"));
        Assert.That(status.Code, Is.Zero, "two of three serve");
    }

    [Test]
    public async Task Members_with_automatic_certificates_find_each_other()
    {
        for (int i = 0; i < 3; i++)
        {
            Start(i, null, "--peer-auto-tls");
        }

        await ReadyAsync();
        Assert.That((await CommandRun.OfAsync("put", "k", "v", "--endpoints", Endpoint(1))).Code, Is.Zero);
        Assert.That((await CommandRun.OfAsync("get", "k", "--endpoints", Endpoint(2))).Output, Is.EqualTo("k\tv\n"));
    }

    private async Task UseEtcdctlAsync()
    {
        Assert.That(Ctl(0, "put", "a", "1"), Is.EqualTo("OK\n"));

        // Members tell each other their client URLs once the cluster is formed.
        await UntilAsync(() => Task.FromResult(Ctl(1, "member", "list")), text => Enumerable.Range(0, 3).All(i => text.Contains($"https://{Endpoint(i)}", StringComparison.Ordinal)));
        string status = Ctl(1, "endpoint", "status", "--cluster");
        string health = Ctl(2, "endpoint", "health", "--cluster");
        string list = Ctl(2, "member", "list");
        for (int i = 0; i < 3; i++)
        {
            Assert.That(status, Does.Contain($"https://{Endpoint(i)}, "));
            Assert.That(health, Does.Contain($"https://{Endpoint(i)} is healthy"));
            Assert.That(list, Does.Contain($"started, {Name(i)}, https://127.0.0.1:{Peer(i)}, https://{Endpoint(i)}, false"));
        }
    }

    private async Task<int> WriteAsync(CancellationToken stop)
    {
        int written = 0;
        for (int i = 0; !stop.IsCancellationRequested; i++)
        {
            string key = string.Create(CultureInfo.InvariantCulture, $"w/{i}");
            string[] endpoints = [.. Enumerable.Range(0, 3).Select(n => Endpoint((i + n) % 3))];
            written += (await CommandRun.OfAsync(["put", key, "v", "--endpoints", string.Join(',', endpoints), .. Client("certs")])).Code == ExitCode.Ok ? 1 : 0;
        }

        return written;
    }

    private void Start(string certificates)
    {
        for (int i = 0; i < 3; i++)
        {
            Start(i, certificates);
        }
    }

    private void Start(int i, string? certificates, params string[] more)
    {
        ports ??= FreePorts.Take(6);
        string cluster = string.Join(',', Members.Select((m, n) => $"{m}=https://127.0.0.1:{Peer(n)}"));
        string[] secure = certificates is null ? ["--listen-client-urls", "http://" + Endpoint(i)] :
        [
            "--listen-client-urls", "https://" + Endpoint(i),
            "--cert-file", At($"{certificates}/{Name(i)}/server.crt"), "--key-file", At($"{certificates}/{Name(i)}/server.key"), "--client-cert-auth", "--trusted-ca-file", At($"{certificates}/ca.crt"),
            "--peer-cert-file", At($"{certificates}/{Name(i)}/peer.crt"), "--peer-key-file", At($"{certificates}/{Name(i)}/peer.key"), "--peer-client-cert-auth",
            "--peer-trusted-ca-file", At($"{certificates}/peer-ca.crt"),
        ];
        var stop = new CancellationTokenSource();
        stops[i] = stop;
        errors[i] = new SharedText();
        nodes[i] = Task.Run(() => ServeCommand.RunAsync(
            ["--name", Name(i), "--initial-cluster", cluster, "--data-dir", At(Name(i)), .. secure, .. more],
            new Dictionary<string, string>(), TextWriter.Null, errors[i].Writer, StoreOpening.OpenAsync, stop.Token));
    }

    private async Task StopAsync(int i)
    {
        if (nodes[i] is not { } node)
        {
            return;
        }

        await stops[i]!.CancelAsync();
        await node.WaitAsync(TimeSpan.FromSeconds(30));
        stops[i]!.Dispose();
        nodes[i] = null;
    }

    private async Task ReadyAsync() =>
        await UntilAsync(() => Task.FromResult(errors.All(e => e.Read().Contains("ready:", StringComparison.Ordinal))), ready => ready, () => string.Join('\n', errors.Select(e => e.Read())));

    private static async Task<T> UntilAsync<T>(Func<Task<T>> get, Func<T, bool> good, Func<string>? told = null)
    {
        for (int i = 0; i < 600; i++)
        {
            T got = await get();
            if (good(got))
            {
                return got;
            }

            await Task.Delay(50);
        }

        Assert.Fail("it did not come to that. " + told?.Invoke());
        throw new InvalidOperationException();
    }

    private static void Replace(IssuedPair pair, string path)
    {
        File.Delete(path + ".crt");
        File.Delete(path + ".key");
        PairFiles.Write(pair, path + ".crt", path + ".key");
    }

    private string[] Client(string certificates) => ["--cacert", At(certificates + "/ca.crt"), "--cert", At(certificates + "/client.crt"), "--key", At(certificates + "/client.key")];

    private string Ctl(int member, params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", Endpoint(member), .. Client("certs"), .. arguments]);

    private string At(string file) => Path.Combine(directory, file);

    private static string Name(int i) => Members[i].Split('@')[0];

    private int Peer(int i) => ports[i];

    private string Endpoint(int i) => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{ports[3 + i]}");
}
