using Loom.Server.Tests.Etcd;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Clients;

/// <summary>Goal: Python programs written for etcd work here unchanged. Method: every call of a client library of Debian's, against both servers; what the script prints must be the same.</summary>
[TestFixture]
internal sealed class PythonGatewayTests
{
    [Test]
    public async Task Python3_etcd3gw_cannot_tell_the_node_from_etcd()
    {
        string python = Interop.RequirePython("etcd3gw", "python3-etcd3gw");
        string script = Path.Combine(TestContext.CurrentContext.TestDirectory, "Clients/etcd3gw_calls.py");
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        string directory = Directory.CreateTempSubdirectory("loom-python-").FullName;
        int port = Testing.FreePorts.Take();
        using (var node = new ServeProcess(directory, ["--data-dir", "data", "--listen-client-urls", $"http://127.0.0.1:{port}"]))
        {
            await node.WaitUntilReadyAsync();
            Task<string> expected = Task.Run(() => Interop.Run(python, [script, etcd.Endpoint]));
            string actual = Interop.Run(python, [script, $"127.0.0.1:{port}"]);
            Assert.That(actual, Is.EqualTo(await expected));
            Assert.That(actual.Split('\n'), Has.Length.GreaterThan(40));
        }

        Directory.Delete(directory, recursive: true);
    }
}
