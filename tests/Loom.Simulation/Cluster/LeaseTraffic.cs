using System.Text;
using Loom.Simulation.Engine;
using Loom.Store.Commands;
using Loom.Store.Model;

namespace Loom.Simulation.Cluster;

/// <summary>
/// Leases of a few ids, through any member: granted, renewed, revoked, and keys put with them. And anybody says at any time that they shall end: a leader that was deposed, one that believes in another time.
/// Nobody waits for answers: what the entries do is judged where they are applied.
/// </summary>
internal sealed class LeaseTraffic(SimCluster cluster, SimRandom random)
{
    private const int Leases = 3;
    private const int Keys = 4;

    public void Start()
    {
        if (cluster.Swarm.LeaseEvery > 0)
        {
            cluster.Scheduler.After(Pause(), Next);
        }
    }

    private void Next()
    {
        if (cluster.WorkloadEnded)
        {
            return;
        }

        SimMember member = random.Pick(cluster.Members);
        if (member.IsUp)
        {
            member.Propose(CommandWriter.Encode(Draw(member)), random.Between(2, 60) * cluster.Swarm.Heartbeat, static _ => { }).OnProcessEnd = static () => { };
        }

        cluster.Scheduler.After(Pause(), Next);
    }

    /// <summary>In the second phase what is asked for must be less than what can be done.</summary>
    private long Pause() => random.Tail(cluster.Network.Calm ? 4 * cluster.Swarm.ElectionTimeout : cluster.Swarm.LeaseEvery);

    private Command Draw(SimMember member) => random.Below(20) switch
    {
        < 5 => new LeaseGrantCommand(Id(), 1),
        < 6 => new LeaseRevokeCommand(Id()),
        < 7 => new LeaseRenewCommand(Ids()),
        < 13 => new PutCommand(new PutOperation(Encoding.ASCII.GetBytes($"L{random.Below(Keys)}"), default) { Lease = Id() }),
        _ => new LeaseExpireCommand(member.Process.Core.Term, Ids()),
    };

    private long Id() => random.Between(1, Leases);

    private long[] Ids() => [.. Enumerable.Range(1, Leases).Where(_ => random.Chance(0.6)).Select(id => (long)id)];
}
