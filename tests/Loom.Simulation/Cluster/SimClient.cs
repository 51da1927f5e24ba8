using Loom.Raft;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Simulation.Engine;
using Loom.Simulation.History;
using Loom.Store;

namespace Loom.Simulation.Cluster;

/// <summary>
/// One caller with one call at a time, as an application beside a member: mostly it talks to its own member, elsewhere when that is down.
/// After NotApplied it tries the same thing again (as a new write, with new values: the old ones must never appear); after Unknown never.
/// </summary>
internal sealed class SimClient
{
    private readonly SimCluster cluster;
    private readonly Workload workload;
    private readonly SimRandom random;
    private readonly int number;
    private readonly int home;
    private bool once;
    private ClientOperation? running;
    private ClientOperation? refused;

    public SimClient(SimCluster cluster, Workload workload, SimRandom random, int number, int home)
    {
        this.cluster = cluster;
        this.workload = workload;
        this.random = random;
        this.number = number;
        this.home = home;
    }

    public bool IsIdle => running is null;

    public void Start() => cluster.Scheduler.After(random.Between(0, 200 * Ns.Millisecond), Next);

    /// <summary>One linearizable read, and no more.</summary>
    public void ReadOnce(SimMember member)
    {
        once = true;
        Run(member, workload.ReadOne(number, member));
    }

    private void Next()
    {
        if (once || cluster.WorkloadEnded)
        {
            return;
        }

        SimMember member = cluster.Members[random.Chance(0.1) ? random.Below(cluster.Members.Count) : home];
        if (!member.IsUp)
        {
            member = cluster.Members[random.Below(cluster.Members.Count)];
        }

        if (!member.IsUp)
        {
            cluster.Scheduler.After(Think() + (10 * Ns.Millisecond), Next);
            return;
        }

        ClientOperation operation = refused is not null && random.Chance(0.8)
            ? workload.Again(refused, number, member)
            : workload.Draw(random, number, member);
        refused = null;
        Run(member, operation);
    }

    /// <summary>
    /// In the second phase what is asked for must be less than what can be done: with a window of one append, which carries one entry, a member beyond the quorum that is behind stays behind
    /// while clients keep every round trip busy. So they take turns then.
    /// </summary>
    private long Think()
    {
        long time = random.Tail(cluster.Swarm.ThinkTime);
        return cluster.Network.Calm && cluster.Swarm.InflightMessages == 1 ? (time + cluster.Network.WideRoundTrip) * cluster.Clients.Count : time;
    }

    private void Run(SimMember member, ClientOperation operation)
    {
        cluster.History.Add(operation);
        running = operation;
        cluster.Trace.Add(member.Number, operation.IsWrite ? "client {0} writes #{1}" : "client {0} reads #{1}", number, operation.Id);
        if (operation.IsLocalRead)
        {
            Finish(operation, ReadHere(member, operation) ? OperationStatus.Acknowledged : OperationStatus.NotApplied);
            return;
        }

        long patience = random.Between(2, 60) * cluster.Swarm.Heartbeat;
        SimMember.Ticket ticket = operation.IsWrite
            ? member.Propose(workload.Encode(operation), patience, completion => Completed(operation, completion))
            : ReadBarrier(member, operation, patience);
        ticket.OnProcessEnd = () => Finish(operation, operation.IsWrite ? OperationStatus.Unknown : OperationStatus.NotApplied);
        if (random.Chance(0.03))
        {
            cluster.Scheduler.After(random.Tail(patience / 4), () => member.Abandon(ticket));
        }
    }

    /// <summary>False: the member has no state yet, and says so (S4).</summary>
    private bool ReadHere(SimMember member, ClientOperation operation)
    {
        try
        {
            workload.Read(member, operation);
            return true;
        }
        catch (LoomException refusal) when (refusal.Code == LoomErrorCode.StateAwaited)
        {
            return false;
        }
    }

    /// <summary>R1, seen from above: whatever anybody knew to be committed when the barrier was asked for is applied here when it holds.</summary>
    private SimMember.Ticket ReadBarrier(SimMember member, ClientOperation operation, long patience)
    {
        long committed = cluster.Checker.HighestCommit;
        return member.ReadBarrier(patience, completion =>
        {
            if (completion.Succeeded && member.Applied < committed)
            {
                throw new SimulationFailure("stale-barrier", $"a barrier holds on n{member.Number} at {member.Applied}, but {committed} was committed when it was asked for: {operation}");
            }

            Completed(member, operation, completion);
        });
    }

    private void Completed(ClientOperation operation, ProposalCompletion completion)
    {
        if (completion.Succeeded)
        {
            workload.TakeResult(operation, completion.Result);
            Finish(operation, OperationStatus.Acknowledged);
        }
        else
        {
            operation.Error = completion.Error.ToString();
            Finish(operation, completion.Known == WriteOutcome.NotApplied ? OperationStatus.NotApplied : OperationStatus.Unknown);
        }
    }

    private void Completed(SimMember member, ClientOperation operation, ReadCompletion completion)
    {
        if (completion.Succeeded)
        {
            workload.Read(member, operation);
            Finish(operation, OperationStatus.Acknowledged);
        }
        else
        {
            operation.Error = completion.Error.ToString();
            Finish(operation, OperationStatus.NotApplied);
        }
    }

    private void Finish(ClientOperation operation, OperationStatus status)
    {
        if (running != operation)
        {
            return;
        }

        running = null;
        operation.Return = cluster.Scheduler.Now;
        operation.Status = status;
        cluster.ApplyLog.CheckOutcome(operation);
        refused = status == OperationStatus.NotApplied && operation.IsWrite ? operation : null;
        cluster.Trace.Add(
            operation.Member,
            status switch
            {
                OperationStatus.Acknowledged => "client {0} #{1} acknowledged at revision {2}",
                OperationStatus.NotApplied => "client {0} #{1} not applied",
                _ => "client {0} #{1} unknown",
            },
            number, operation.Id, operation.Revision);
        cluster.Scheduler.After(Think(), Next);
    }
}
