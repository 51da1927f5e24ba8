using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Demo;

/// <summary>The clients of one node.</summary>
internal sealed record DemoClients(KV.KVClient Kv, Maintenance.MaintenanceClient Maintenance, Hosting.Protos.Cluster.ClusterClient Status);

/// <summary>One connection per node, shared by all that talk to it.</summary>
internal sealed class DemoEndpoints : IDisposable
{
    private readonly Dictionary<string, (GrpcChannel Channel, DemoClients Clients)> byName = [];

    public DemoEndpoints(IEnumerable<DemoNode> nodes)
    {
        foreach (DemoNode node in nodes)
        {
            GrpcChannel channel = GrpcChannel.ForAddress(node.Endpoint, new GrpcChannelOptions
            {
                HttpHandler = new SocketsHttpHandler { UseProxy = false, ConnectTimeout = TimeSpan.FromMilliseconds(500), EnableMultipleHttp2Connections = true },
                MaxReceiveMessageSize = null,
                // A killed node comes back within seconds: look again soon.
                InitialReconnectBackoff = TimeSpan.FromMilliseconds(100),
                MaxReconnectBackoff = TimeSpan.FromMilliseconds(500),
            });
            byName[node.Name] = (channel, new DemoClients(new KV.KVClient(channel), new Maintenance.MaintenanceClient(channel), new Hosting.Protos.Cluster.ClusterClient(channel)));
        }
    }

    public DemoClients Of(DemoNode node) => byName[node.Name].Clients;

    public void Dispose()
    {
        foreach (var (channel, _) in byName.Values)
        {
            channel.Dispose();
        }
    }
}
