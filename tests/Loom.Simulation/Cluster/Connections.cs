using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Simulation.Engine;

namespace Loom.Simulation.Cluster;

/// <summary>
/// Which pairs of members have a connection, and when each side learns of its rise and end. A killed process is noticed by its reset, a dead machine or a cut only by a time-out.
/// </summary>
internal sealed class Connections(SimCluster cluster, SimRandom random)
{
    private readonly bool[] up = new bool[cluster.Swarm.Places.Count * cluster.Swarm.Places.Count];

    private readonly int[] retries = new int[cluster.Swarm.Places.Count * cluster.Swarm.Places.Count];

    public bool IsUp(int a, int b) => up[Pair(a, b)];

    public void MemberStarted(int number)
    {
        for (int other = 0; other < cluster.Swarm.Places.Count; other++)
        {
            if (other != number)
            {
                // A machine that lost power is noticed at the latest when it is back.
                Break(number, other);
                RetrySoon(number, other);
            }
        }
    }

    public void MemberEnded(int number, MemberEnd how)
    {
        int life = cluster.Members[number].Life;
        for (int other = 0; other < cluster.Swarm.Places.Count; other++)
        {
            if (other == number || !IsUp(number, other))
            {
                continue;
            }

            if (how == MemberEnd.PowerCut)
            {
                // Nothing tells the peer; its time-out will.
                int peer = other;
                cluster.Scheduler.After(random.Between(1, 4) * cluster.Swarm.ElectionTimeout, () =>
                {
                    if (cluster.Members[number].Life == life)
                    {
                        Break(number, peer);
                    }
                });
                continue;
            }

            Break(number, other);
            if (!cluster.Network.IsCut(number, other) && !cluster.Network.IsCut(other, number))
            {
                int peer = other;
                MemberId died = cluster.Members[number].Id;
                cluster.Scheduler.After(random.Tail(5 * Ns.Millisecond), () =>
                {
                    if (!cluster.Members[number].IsUp && cluster.Members[number].Life == life)
                    {
                        cluster.Post(peer, new PeerDied(died));
                    }
                });
            }
        }
    }

    /// <summary>A link was cut: the connection ends when a side loses patience.</summary>
    public void LinkCut(int a, int b)
    {
        cluster.Scheduler.After(random.Between(1, 4) * cluster.Swarm.ElectionTimeout, () =>
        {
            if (cluster.Network.IsCut(a, b) || cluster.Network.IsCut(b, a))
            {
                Break(a, b);
            }
        });
    }

    /// <summary>Ends a connection, and brings it up again when it can.</summary>
    public void Break(int a, int b)
    {
        if (!IsUp(a, b))
        {
            return;
        }

        up[Pair(a, b)] = false;
        cluster.Trace.Add(a, "loses its connection to n{0}", b);
        cluster.Network.BreakStream(a, b);
        cluster.Network.BreakStream(b, a);
        (MemberId first, MemberId second) = (cluster.Members[a].Id, cluster.Members[b].Id);
        Tell(a, lane => new PeerDisconnected(second, lane));
        Tell(b, lane => new PeerDisconnected(first, lane));
        RetrySoon(a, b);
    }

    private void RetrySoon(int a, int b)
    {
        // One retry per pair: an older one would bring the connection up before its end was told.
        int retry = ++retries[Pair(a, b)];
        cluster.Scheduler.After(random.Between(10, 120) * Ns.Millisecond, () =>
        {
            if (retry == retries[Pair(a, b)])
            {
                Connect(a, b);
            }
        });
    }

    private void Connect(int a, int b)
    {
        if (IsUp(a, b) || !cluster.Members[a].IsUp || !cluster.Members[b].IsUp)
        {
            return;
        }

        if (cluster.Network.IsCut(a, b) || cluster.Network.IsCut(b, a))
        {
            RetrySoon(a, b);
            return;
        }

        up[Pair(a, b)] = true;
        cluster.Trace.Add(a, "is connected to n{0}", b);
        (MemberId first, MemberId second) = (cluster.Members[a].Id, cluster.Members[b].Id);
        cluster.Members[a].Meet(cluster.Members[b]);
        cluster.Members[b].Meet(cluster.Members[a]);
        Tell(a, lane => new PeerConnected(second, lane));
        Tell(b, lane => new PeerConnected(first, lane));
    }

    /// <summary>Within 5 ms, so always before the next connection of the pair can rise.</summary>
    private void Tell(int number, Func<PeerLane, ReplicaEvent> what)
    {
        SimMember member = cluster.Members[number];
        if (!member.IsUp)
        {
            return;
        }

        int life = member.Life;
        cluster.Scheduler.After(random.Between(0, 5 * Ns.Millisecond), () =>
        {
            if (member.IsUp && member.Life == life)
            {
                member.Process.Post(what(PeerLane.Control));
                member.Process.Post(what(PeerLane.Forward));
            }
        });
    }

    private int Pair(int a, int b) => (Math.Min(a, b) * cluster.Swarm.Places.Count) + Math.Max(a, b);
}
