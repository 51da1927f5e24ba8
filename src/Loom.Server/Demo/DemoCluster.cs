using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Grpc.Core;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Demo;

/// <summary>Six processes on loopback: datacenters east, west and south, one voter and one hot standby in each. Owns their ports and their directory.</summary>
internal sealed class DemoCluster : IAsyncDisposable
{
    public static readonly IReadOnlyList<string> Datacenters = ["east", "west", "south"];
    private const int DefaultBasePort = 23790;
    private const string DirectoryPrefix = "loom-demo-";
    private readonly IReadOnlyList<int> wan;
    private readonly string directory;
    private readonly DemoEndpoints endpoints;

    private DemoCluster(IReadOnlyList<DemoNode> nodes, IReadOnlyList<int> wan, string directory)
    {
        Nodes = nodes;
        this.wan = wan;
        this.directory = directory;
        endpoints = new DemoEndpoints(nodes);
    }

    public IReadOnlyList<DemoNode> Nodes { get; }

    public DemoEndpoints Endpoints => endpoints;

    public static DemoCluster Create(DemoOptions options)
    {
        RemoveLeftovers();
        int[] ports = ChoosePorts(options.BasePort);
        string directory = Path.Combine(Path.GetTempPath(), DirectoryPrefix + Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
        Directory.CreateDirectory(directory);
        DemoNode[] nodes = [.. Enumerable.Range(0, 6).Select(i =>
        {
            string datacenter = Datacenters[i / 2];
            bool standby = i % 2 == 1;
            return new DemoNode($"{datacenter}{(standby ? 2 : 1)}", datacenter, standby, ports[i], ports[6 + i], directory);
        })];
        return new DemoCluster(nodes, options.Wan, directory);
    }

    public void StartAll()
    {
        foreach (DemoNode node in Nodes)
        {
            StartNode(node);
        }
    }

    public void KillDatacenter(string datacenter)
    {
        foreach (DemoNode node in In(datacenter))
        {
            node.Kill();
        }
    }

    public void StartDatacenter(string datacenter)
    {
        foreach (DemoNode node in In(datacenter).Where(n => !n.IsRunning))
        {
            StartNode(node);
        }
    }

    public bool IsUp(string datacenter) => In(datacenter).All(n => n.IsRunning);

    /// <summary>What a node says of itself and its cluster, or null when it does not answer.</summary>
    public async Task<ClusterStatusResponse?> StatusAsync(DemoNode node, CancellationToken token)
    {
        if (!node.IsRunning)
        {
            return null;
        }

        try
        {
            return await endpoints.Of(node).Status.StatusAsync(new ClusterStatusRequest(), deadline: DateTime.UtcNow.AddSeconds(1), cancellationToken: token);
        }
        catch (RpcException)
        {
            return null;
        }
    }

    /// <summary>Waits until every node serves and knows a leader; names the one that does not.</summary>
    public async Task WaitUntilServingAsync(CancellationToken token)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(60);
        foreach (DemoNode node in Nodes)
        {
            while (await StatusAsync(node, token) is not { LeaderId: not 0, NoQuorum: false, Revision: > 0 })
            {
                if (!node.IsRunning || DateTime.UtcNow > until)
                {
                    throw new DemoException($"{node.Name} did not start: {node.LastOutput()}");
                }

                await Task.Delay(50, token);
            }
        }
    }

    /// <summary>The datacenter that holds the leader, as the running nodes say.</summary>
    public async Task<string> LeaderDatacenterAsync(CancellationToken token)
    {
        while (true)
        {
            foreach (DemoNode node in Nodes)
            {
                if (await StatusAsync(node, token) is { Role: "leader", NoQuorum: false })
                {
                    return node.Datacenter;
                }
            }

            await Task.Delay(50, token);
        }
    }

    public ValueTask DisposeAsync()
    {
        endpoints.Dispose();
        foreach (DemoNode node in Nodes)
        {
            node.Dispose();
        }

        if (Directory.Exists(directory))
        {
            Directory.Delete(directory, recursive: true);
        }

        return default;
    }

    private IEnumerable<DemoNode> In(string datacenter) => Nodes.Where(n => n.Datacenter == datacenter);

    private void StartNode(DemoNode node) => node.Start(string.Join(',', Nodes.Select(n => n.ClusterEntry)), PeerDelay(node.Datacenter));

    /// <summary>Round trips from this datacenter to the others, as serve's hidden option takes them.</summary>
    private string? PeerDelay(string datacenter)
    {
        if (wan.Count != 3)
        {
            return null;
        }

        Dictionary<string, int> roundTrips = new()
        {
            ["east-west"] = wan[0],
            ["west-south"] = wan[1],
            ["east-south"] = wan[2],
        };
        return string.Join(',', Datacenters.Where(d => d != datacenter).Select(d =>
            string.Create(CultureInfo.InvariantCulture, $"{d}={(roundTrips.TryGetValue($"{datacenter}-{d}", out int ms) ? ms : roundTrips[$"{d}-{datacenter}"])}")));
    }

    private static int[] ChoosePorts(int basePort)
    {
        int[] block = [.. Enumerable.Range(basePort == 0 ? DefaultBasePort : basePort, 12)];
        int[] taken = [.. block.Where(p => !IsFree(p))];
        if (taken.Length == 0)
        {
            return block;
        }

        if (basePort != 0)
        {
            throw new DemoException($"port {taken[0]} is in use; the demo needs {block[0]} to {block[^1]}. Choose another --base-port, or leave the option out.");
        }

        List<TcpListener> held = [.. block.Select(_ => new TcpListener(IPAddress.Loopback, 0))];
        held.ForEach(l => l.Start());
        int[] ports = [.. held.Select(l => ((IPEndPoint)l.LocalEndpoint).Port)];
        held.ForEach(l => l.Stop());
        return ports;
    }

    private static bool IsFree(int port)
    {
        using Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        try
        {
            socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    /// <summary>A demo that was itself killed with -9 cannot remove its files: the next one does.</summary>
    private static void RemoveLeftovers()
    {
        foreach (string leftover in Directory.EnumerateDirectories(Path.GetTempPath(), DirectoryPrefix + "*"))
        {
            if (int.TryParse(Path.GetFileName(leftover)[DirectoryPrefix.Length..], CultureInfo.InvariantCulture, out int id) && !Directory.Exists($"/proc/{id}"))
            {
                Directory.Delete(leftover, recursive: true);
            }
        }
    }
}

/// <summary>The demo cannot go on; the message says why and what to do.</summary>
internal sealed class DemoException(string message) : Exception(message);
