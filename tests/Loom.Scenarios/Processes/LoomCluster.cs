using System.Collections.Concurrent;
using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting.Protos;
using Loom.Testing;

namespace Loom.Scenarios.Processes;

/// <summary>Real processes on loopback, on a real disk: three datacenters, a voter and a hot standby in each, unless it is started otherwise.</summary>
internal sealed class LoomCluster : IDisposable
{
    private static readonly string[] Datacenters = ["east", "west", "south"];
    private readonly string root;
    private readonly Dictionary<string, GrpcChannel> channels = [];
    private readonly ConcurrentDictionary<string, string> rootTokens = new();
    private bool leavesRoot;
    private string? rootPassword;

    private LoomCluster(string root, IReadOnlyList<LoomProcess> nodes)
    {
        this.root = root;
        Nodes = nodes;
        foreach (LoomProcess node in nodes)
        {
            channels[node.Name] = GrpcChannel.ForAddress(node.Endpoint, new GrpcChannelOptions
            {
                HttpHandler = new SocketsHttpHandler { UseProxy = false, ConnectTimeout = TimeSpan.FromSeconds(1) },
                MaxReceiveMessageSize = null,
                InitialReconnectBackoff = TimeSpan.FromMilliseconds(100),
                MaxReconnectBackoff = TimeSpan.FromMilliseconds(300),
            });
        }
    }

    public IReadOnlyList<LoomProcess> Nodes { get; }

    public static Task<LoomCluster> StartAsync()
    {
        string root = Directory.CreateTempSubdirectory("loom-scenario-").FullName;
        int[] ports = FreePorts.Take(12);
        return StartAsync(root, leavesRoot: false, [.. Enumerable.Range(0, 6).Select(i =>
            new LoomProcess(Datacenters[i / 2] + (i % 2 + 1).ToString(CultureInfo.InvariantCulture), Datacenters[i / 2], i % 2 == 1, ports[i], ports[6 + i], root))]);
    }

    /// <summary>Voters only, one in each datacenter, with directories in a root that the caller has made.</summary>
    public static Task<LoomCluster> StartThreeAsync(string root)
    {
        int[] ports = FreePorts.Take(6);
        return StartAsync(root, leavesRoot: true, [.. Enumerable.Range(0, 3).Select(i => new LoomProcess(Datacenters[i], Datacenters[i], false, ports[i], ports[3 + i], root))]);
    }

    /// <summary>One member, alone.</summary>
    public static Task<LoomCluster> StartOneAsync(params string[] options)
    {
        string root = Directory.CreateTempSubdirectory("loom-scenario-").FullName;
        int[] ports = FreePorts.Take(2);
        return StartAsync(root, leavesRoot: false, [new LoomProcess(Datacenters[0], Datacenters[0], false, ports[0], ports[1], root) { Options = options }]);
    }

    public static IReadOnlyList<string> NamesOfThree => Datacenters;

    private static async Task<LoomCluster> StartAsync(string root, bool leavesRoot, LoomProcess[] nodes)
    {
        LoomCluster cluster = new(root, nodes) { leavesRoot = leavesRoot };
        foreach (LoomProcess node in nodes)
        {
            cluster.Start(node);
        }

        await cluster.WaitUntilServingAsync();
        return cluster;
    }

    public void Start(LoomProcess node) => node.Start(string.Join(',', Nodes.Select(n => n.ClusterEntry)));

    public IEnumerable<LoomProcess> In(string datacenter) => Nodes.Where(n => n.Datacenter == datacenter);

    public KV.KVClient Kv(LoomProcess node) => new(channels[node.Name]);

    public Lease.LeaseClient Leases(LoomProcess node) => new(channels[node.Name]);

    public Maintenance.MaintenanceClient Maintenance(LoomProcess node) => new(channels[node.Name]);

    /// <summary>From now on it asks who calls: a user who may read and write under a prefix, and root, as whom the looks of this class are made.</summary>
    public async Task AskWhoCallsAsync(string user, string password, string prefix)
    {
        var auth = new Auth.AuthClient(channels[Nodes[0].Name]);
        await auth.UserAddAsync(new AuthUserAddRequest { Name = "root", Password = password });
        await auth.UserGrantRoleAsync(new AuthUserGrantRoleRequest { User = "root", Role = "root" });
        await auth.UserAddAsync(new AuthUserAddRequest { Name = user, Password = password });
        await auth.RoleAddAsync(new AuthRoleAddRequest { Name = user });
        byte[] end = System.Text.Encoding.UTF8.GetBytes(prefix);
        end[^1]++;
        await auth.RoleGrantPermissionAsync(new AuthRoleGrantPermissionRequest
        {
            Name = user,
            Perm = new Permission { PermType = Permission.Types.Type.Readwrite, Key = ByteString.CopyFromUtf8(prefix), RangeEnd = ByteString.CopyFrom(end) },
        });
        await auth.UserGrantRoleAsync(new AuthUserGrantRoleRequest { User = user, Role = user });
        rootPassword = password;
        await auth.AuthEnableAsync(new AuthEnableRequest());
    }

    public async Task<LoomProcess> LeaderAsync()
    {
        DateTime until = DateTime.UtcNow.AddSeconds(30);
        while (DateTime.UtcNow < until)
        {
            foreach (LoomProcess node in Nodes.Where(n => n.IsRunning))
            {
                if (await StatusAsync(node) is { Role: "leader", NoQuorum: false })
                {
                    return node;
                }
            }

            await Task.Delay(50);
        }

        throw new TimeoutException("no leader for 30 s\n" + Outputs());
    }

    /// <summary>Every node runs, knows a leader, and has applied what the furthest one has.</summary>
    public async Task WaitUntilServingAsync()
    {
        DateTime until = DateTime.UtcNow.AddSeconds(60);
        while (true)
        {
            ClusterStatusResponse?[] all = await Task.WhenAll(Nodes.Select(StatusAsync));
            long target = all.Max(s => s?.AppliedIndex ?? 0);
            if (all.All(s => s is { LeaderId: not 0, NoQuorum: false } && s.AppliedIndex >= target))
            {
                return;
            }

            if (DateTime.UtcNow > until)
            {
                throw new TimeoutException("the cluster does not serve after 60 s\n" + Outputs());
            }

            await Task.Delay(100);
        }
    }

    public string Outputs() => string.Join('\n', Nodes.Select(n => $"== {n.Name} {(n.IsRunning ? "running" : "exit " + n.ExitCode)}\n{n.Output()}"));

    public void Dispose()
    {
        foreach (GrpcChannel channel in channels.Values)
        {
            channel.Dispose();
        }

        foreach (LoomProcess node in Nodes)
        {
            node.Dispose();
        }

        // What is mounted in there is its owner's to take away.
        if (!leavesRoot)
        {
            Directory.Delete(root, recursive: true);
        }
    }

    public async Task<ClusterStatusResponse?> StatusAsync(LoomProcess node)
    {
        try
        {
            return await new Server.Hosting.Protos.Cluster.ClusterClient(channels[node.Name]).StatusAsync(new ClusterStatusRequest(), await RootAsync(node), DateTime.UtcNow.AddSeconds(2));
        }
        catch (RpcException exception)
        {
            if (exception.StatusCode == StatusCode.Unauthenticated)
            {
                // It was restarted, and has forgotten it.
                rootTokens.TryRemove(node.Name, out _);
            }

            return null;
        }
    }

    private async Task<Metadata> RootAsync(LoomProcess node)
    {
        if (rootPassword is null)
        {
            return [];
        }

        if (!rootTokens.TryGetValue(node.Name, out string? token))
        {
            var login = new AuthenticateRequest { Name = "root", Password = rootPassword };
            token = (await new Auth.AuthClient(channels[node.Name]).AuthenticateAsync(login, deadline: DateTime.UtcNow.AddSeconds(5))).Token;
            rootTokens[node.Name] = token;
        }

        return new Metadata { { "token", token } };
    }
}
