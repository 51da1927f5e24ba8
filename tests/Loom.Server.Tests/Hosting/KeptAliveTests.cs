using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Loom.Server.Tests.Hosting;

/// <summary>A client whose machine loses its power says nothing: only probes find that. The kernel's table shows whether a connection has their timer.</summary>
[TestFixture]
internal sealed class KeptAliveTests
{
    // The column "tr:tm->when" of /proc/net/tcp: 02 is the timer of keep-alive.
    private const string KeepAliveTimer = "02:";

    [Test]
    public async Task A_quiet_connection_of_a_client_is_probed()
    {
        if (!File.Exists("/proc/net/tcp"))
        {
            Assert.Ignore("/proc/net/tcp is Linux's");
        }

        await using TestNode node = await TestNode.StartAsync();
        IPEndPoint server = IPEndPoint.Parse(node.Endpoint);
        using var client = new TcpClient();
        await client.ConnectAsync(server);
        int port = ((IPEndPoint)client.Client.LocalEndPoint!).Port;
        await client.GetStream().WriteAsync("GET /version HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());
        Assert.That(await client.GetStream().ReadAsync(new byte[4096]), Is.Positive);
        string local = ":" + server.Port.ToString("X4", CultureInfo.InvariantCulture);
        string remote = ":" + port.ToString("X4", CultureInfo.InvariantCulture);
        string[] timers = [];
        for (int i = 0; i < 50 && !timers.Any(timer => timer.StartsWith(KeepAliveTimer, StringComparison.Ordinal)); i++)
        {
            // For a moment it is the timer of a retransmission: the answer is not acknowledged yet.
            await Task.Delay(50);
            timers = [.. (await File.ReadAllLinesAsync("/proc/net/tcp")).Select(line => line.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Where(row => row.Length > 5 && row[1].EndsWith(local, StringComparison.Ordinal) && row[2].EndsWith(remote, StringComparison.Ordinal)).Select(row => row[5])];
        }

        Assert.That(timers, Has.Length.EqualTo(1).And.Some.StartsWith(KeepAliveTimer));
    }
}
