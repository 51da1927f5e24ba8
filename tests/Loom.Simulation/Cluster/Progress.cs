using Loom.Raft;
using Loom.Raft.Proposals;
using Loom.Simulation.History;

namespace Loom.Simulation.Cluster;

/// <summary>The demand of the second phase: a write through one member, tried with new values until one is acknowledged.</summary>
internal sealed class Progress(SimCluster cluster, SimMember member, int client)
{
    public bool IsDone { get; private set; }

    public ClientOperation? Last { get; private set; }

    public void Start()
    {
        if (IsDone)
        {
            return;
        }

        if (!member.IsUp)
        {
            cluster.Scheduler.After(cluster.Swarm.Heartbeat, Start);
            return;
        }

        ClientOperation operation = cluster.History.Add(cluster.Workload.Put(cluster.Workload.Keys - 1, client, member));
        Last = operation;
        SimMember.Ticket ticket = member.Propose(cluster.Workload.Encode(operation), 5 * cluster.Swarm.ElectionTimeout, completion => Completed(operation, completion));
        ticket.OnProcessEnd = () => Finish(operation, OperationStatus.Unknown);
    }

    private void Completed(ClientOperation operation, ProposalCompletion completion)
    {
        if (completion.Succeeded)
        {
            cluster.Workload.TakeResult(operation, completion.Result);
            IsDone = true;
        }

        operation.Error = completion.Error.ToString();
        Finish(operation, completion.Succeeded ? OperationStatus.Acknowledged
            : completion.Known == WriteOutcome.NotApplied ? OperationStatus.NotApplied : OperationStatus.Unknown);
    }

    private void Finish(ClientOperation operation, OperationStatus status)
    {
        (operation.Status, operation.Return) = (status, cluster.Scheduler.Now);
        cluster.ApplyLog.CheckOutcome(operation);
        cluster.Scheduler.After(cluster.Swarm.Heartbeat, Start);
    }
}
