using Grpc.Net.Client;
using Loom.Server.Cli;
using Loom.Server.Tests.Hosting;
using Loom.Server.Tests.Tls;

namespace Loom.Server.Tests.Clients;

/// <summary>Goal: Debian's Python clients work as they do on etcd. Method: a script of each does what its users do, and checks every answer.</summary>
[TestFixture]
internal sealed class PythonClientTests
{
    [TestCase(false)]
    [TestCase(true)]
    public async Task Python_etcd3_does_all_that_it_can(bool mutualTls)
    {
        string python = Interop.RequirePython("etcd3", "python3-etcd3");
        using var folder = new CertificateFolder();
        await using var cluster = new ServedCluster(clientTls: mutualTls);
        for (int i = 0; i < ServedCluster.Count; i++)
        {
            cluster.Start(i, mutualTls ? ["--cert-file", folder["server.crt"], "--key-file", folder["server.key"], "--client-cert-auth", "--trusted-ca-file", folder["ca.crt"]] : []);
        }

        await cluster.ReadyAsync();
        string[] secure = mutualTls ? [folder["ca.crt"], folder["client.crt"], folder["client.key"]] : [];
        Assert.That(Run(python, "python_etcd3.py", cluster.Endpoint(1), secure), Does.EndWith("done\n"));
    }

    [Test]
    public async Task Python_etcd3_logs_in()
    {
        string python = Interop.RequirePython("etcd3", "python3-etcd3");
        using var folder = new CertificateFolder();
        await using TestNode node = await TestNode.StartAsync(tls: folder.Port(mutual: false));
        using GrpcChannel channel = NodeClient.Open("https://" + node.Endpoint, ClientTls.Of(folder["ca.crt"], "", "", skipVerify: false));
        await KnownUsers.EnableAsync(channel);
        Assert.That(Run(python, "python_etcd3_user.py", node.Endpoint, KnownUsers.Name, KnownUsers.Password, folder["ca.crt"]), Does.EndWith("done\n"));
    }

    [Test]
    public async Task Tooz_coordinates_over_etcd3()
    {
        string python = Interop.RequirePython("tooz.drivers.etcd3", "python3-tooz");
        await using TestNode node = await TestNode.StartAsync();
        Assert.That(Run(python, "tooz_etcd3.py", node.Endpoint), Does.EndWith("done\n"));
    }

    private static string Run(string python, string script, string endpoint, params string[] more)
    {
        string[] parts = endpoint.Split(':');
        return Interop.Run(python, ["-W", "ignore", Path.Combine(AppContext.BaseDirectory, "Clients", script), parts[0], parts[1], .. more]);
    }
}
