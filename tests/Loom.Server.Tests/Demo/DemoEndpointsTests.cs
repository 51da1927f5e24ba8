using System.Net;
using Loom.Server.Demo;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Demo;

[TestFixture, NonParallelizable]
internal sealed class DemoEndpointsTests
{
    /// <summary>Goal: an http_proxy variable does not send calls to this machine elsewhere. Method: a default proxy that nobody serves, as the variable would set it.</summary>
    [Test]
    public async Task Calls_to_nodes_pass_no_proxy()
    {
        await using TestNode node = await TestNode.StartAsync();
        IWebProxy before = HttpClient.DefaultProxy;
        HttpClient.DefaultProxy = new WebProxy("http://127.0.0.1:1") { BypassProxyOnLocal = false };
        try
        {
            using var demo = new DemoNode("a", "a", standby: false, int.Parse(node.Endpoint.Split(':')[1], System.Globalization.CultureInfo.InvariantCulture), 1, "");
            using var endpoints = new DemoEndpoints([demo]);
            StatusResponse status = await endpoints.Of(demo).Maintenance.StatusAsync(new StatusRequest(), deadline: DateTime.UtcNow.AddSeconds(10));
            Assert.That(status.Leader, Is.Not.Zero);
        }
        finally
        {
            HttpClient.DefaultProxy = before;
        }
    }
}
