using Grpc.Core;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Demo;

/// <summary>
/// Sends a datacenter's application to its local node, and to another datacenter while the local ones are dead: what a load balancer does with /readyz.
/// Order: the local voter, the local standby, then the other datacenters.
/// </summary>
internal sealed class DemoBalancer
{
    private readonly IReadOnlyList<DemoNode> order;
    private readonly DemoCluster cluster;
    private volatile DemoNode current;

    public DemoBalancer(DemoCluster cluster, string datacenter)
    {
        this.cluster = cluster;
        Datacenter = datacenter;
        order = [.. cluster.Nodes.OrderBy(n => n.Datacenter == datacenter ? 0 : 1).ThenBy(n => n.IsStandby)];
        current = order[0];
    }

    public string Datacenter { get; }

    /// <summary>Where this datacenter's application is sent now.</summary>
    public DemoNode Current => current;

    public DemoClients Clients => cluster.Endpoints.Of(current);

    /// <summary>Looks for the first node in order that is up, has a leader and has caught up; every quarter second until cancelled.</summary>
    public async Task RunAsync(CancellationToken token)
    {
        while (!token.IsCancellationRequested)
        {
            await CheckAsync(token);
            await Task.Delay(250, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>A call failed here: look again at once instead of at the next check.</summary>
    public async Task CheckAsync(CancellationToken token)
    {
        foreach (DemoNode node in order)
        {
            if (await IsReadyAsync(node, token))
            {
                current = node;
                return;
            }
        }
    }

    private async Task<bool> IsReadyAsync(DemoNode node, CancellationToken token)
    {
        if (!node.IsRunning)
        {
            return false;
        }

        try
        {
            ClusterStatusResponse status = await cluster.Endpoints.Of(node).Status.StatusAsync(new ClusterStatusRequest(), deadline: DateTime.UtcNow.AddMilliseconds(800), cancellationToken: token);
            return status.Failure.Length == 0 && status.Role != "forming" && status.AppliedIndex + 1000 >= status.CommitIndex && status.Revision > 0 && !status.NoQuorum;
        }
        catch (RpcException)
        {
            return false;
        }
    }
}
