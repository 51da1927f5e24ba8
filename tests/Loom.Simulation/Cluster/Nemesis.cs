using Loom.Raft.Consensus;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Simulation.Disk;
using Loom.Simulation.Engine;

namespace Loom.Simulation.Cluster;

/// <summary>What goes wrong in the first phase: each kind on its own clock, at the seed's rate.</summary>
internal sealed class Nemesis(SimCluster cluster, SimRandom random)
{
    private bool stopped;

    public void Start()
    {
        Swarm swarm = cluster.Swarm;
        Repeat("crash", swarm.CrashEvery, Crash);
        Repeat("partition", swarm.PartitionEvery, Partition);
        Repeat("pause", swarm.PauseEvery, Pause);
        Repeat("clog", swarm.ClogEvery, Clog);
        Repeat("flush error", swarm.FlushErrorEvery, FailDisk);
        Repeat("wipe", swarm.WipeEvery, Wipe);
        Repeat("damage", swarm.DamageEvery, Damage);
        Repeat("old copy", swarm.OldCopyEvery, RestoreOldCopy);
        Repeat("transfer", swarm.TransferEvery, Transfer);
        Repeat("reset", swarm.ResetEvery, own => cluster.ResetConnection(own.Below(cluster.Members.Count), own.Below(cluster.Members.Count)));
        Repeat("configure", swarm.ConfigureEvery, Configure);
        Repeat("full disk", swarm.FullDiskEvery, FillDisks);
    }

    public void Stop()
    {
        stopped = true;
        foreach (SimMember member in cluster.Members)
        {
            member.Disk.CapacityBytes = long.MaxValue;
        }
    }

    /// <summary>Starts a member; sometimes its machine stops again in the middle of the start (L5: what a scan read from the page cache was not durable).</summary>
    public void Restart(SimMember member)
    {
        if (member.IsUp)
        {
            return;
        }

        if (!stopped && !member.IsSpoiled && random.Chance(0.15))
        {
            member.Disk.CrashAfter(random.Below(24));
        }

        try
        {
            member.Start();
        }
        catch (NoSpaceException)
        {
            // What it had not proven to be flushed needs a segment, and there is no space for one: it starts when there is.
            cluster.Trace.Add(member.Number, "cannot start: its disk is full");
            cluster.Scheduler.After(random.Tail(cluster.Swarm.DownFor), () => Restart(member));
        }
        catch (SimulatedCrashException)
        {
            cluster.Coverage.CrashesInside++;
            member.CutPowerWhileDown();
            cluster.Trace.Add(member.Number, "loses power while it starts");
            cluster.Scheduler.After(random.Tail(cluster.Swarm.DownFor), () => Restart(member));
        }
    }

    private void Repeat(string purpose, long every, Action<SimRandom> act)
    {
        if (every > 0)
        {
            Again(random.Split(purpose), every, act);
        }
    }

    private void Again(SimRandom own, long every, Action<SimRandom> act) => cluster.Scheduler.After(own.Tail(every), () =>
    {
        if (!stopped)
        {
            act(own);
            Again(own, every, act);
        }
    });

    private void Crash(SimRandom own)
    {
        cluster.Coverage.Crashes++;
        bool power = own.Chance(cluster.Swarm.PowerCut);
        List<SimMember> victims;
        if (own.Chance(cluster.Swarm.CrashAll))
        {
            victims = [.. cluster.Members];
        }
        else if (own.Chance(cluster.Swarm.CrashDatacenter))
        {
            int datacenter = own.Pick(cluster.Members).Place.Datacenter;
            victims = [.. cluster.Members.Where(m => m.Place.Datacenter == datacenter)];
        }
        else if (own.Chance(0.3) && cluster.Members.FirstOrDefault(m => m.IsLeader) is { } leader)
        {
            victims = [leader];
        }
        else
        {
            victims = [own.Pick(cluster.Members)];
        }

        foreach (SimMember victim in victims)
        {
            if (power && victims.Count == 1 && victim.IsUp && own.Chance(0.4))
            {
                // The power goes inside of one of the next file operations; whatever runs into it ends the member.
                cluster.Coverage.CrashesInside++;
                victim.Disk.CrashAfter(own.Below(8));
            }
            else
            {
                victim.End(power ? MemberEnd.PowerCut : MemberEnd.Killed);
                cluster.Coverage.PowerCuts += power ? 1 : 0;
            }

            if (!power && own.Chance(0.2))
            {
                cluster.Scheduler.After(own.Tail(cluster.Swarm.DownFor / 2), () => CutPower(victim));
            }
        }
    }

    private void CutPower(SimMember member)
    {
        if (!stopped && !member.IsUp)
        {
            cluster.Trace.Add(member.Number, "loses power while it is down");
            member.CutPowerWhileDown();
        }
    }

    /// <summary>However a member ended, somebody starts it again some time later; in the second phase only if it ended itself, by a fault of the first one that shows late.</summary>
    public void MemberEnded(SimMember member, MemberEnd how)
    {
        if (cluster.Swarm.OldCopyEvery > 0)
        {
            member.TakeCopy();
        }

        if (!stopped || how == MemberEnd.Failed)
        {
            cluster.Scheduler.After(random.Tail(cluster.Swarm.DownFor), () => Restart(member));
        }
    }

    private void Partition(SimRandom own)
    {
        cluster.Coverage.Partitions++;
        List<(int From, int To)> links = [];
        int n = cluster.Members.Count;
        bool[] side = new bool[n];
        int kind = own.Below(5);
        SimMember chosen = own.Chance(0.4) && cluster.Members.FirstOrDefault(m => m.IsLeader) is { } leader ? leader : own.Pick(cluster.Members);
        for (int i = 0; i < n; i++)
        {
            side[i] = kind switch
            {
                0 => i == chosen.Number,
                1 => cluster.Members[i].Place.Datacenter == chosen.Place.Datacenter,
                _ => own.Chance(0.5),
            };
        }

        bool oneWay = own.Chance(0.3);
        for (int a = 0; a < n; a++)
        {
            for (int b = 0; b < n; b++)
            {
                // Kind 4: any links at all, each direction for itself.
                if (a != b && (kind == 4 ? own.Chance(0.3) : side[a] != side[b] && (!oneWay || side[a])))
                {
                    links.Add((a, b));
                }
            }
        }

        cluster.Trace.Add(-1, "cuts {0} links, kind {1}", links.Count, kind);

        // Swizzle: stop them one by one, restore them in another order.
        bool swizzle = own.Chance(0.3);
        long duration = own.Tail(cluster.Swarm.PartitionFor);
        own.Shuffle(links);
        foreach ((int from, int to) in links)
        {
            cluster.Scheduler.After(swizzle ? own.Between(0, duration / 2) : 0, () =>
            {
                if (!stopped)
                {
                    cluster.Network.Cut(from, to);
                }
            });
            HealLater(duration + (swizzle ? own.Between(0, duration / 2) : 0), from, to);
        }
    }

    /// <summary>Two members lead, each its term: the moment at which the older one must not answer reads (R1). Callers of its own are mostly stuck in writes.</summary>
    private void ProbeOldLeaders(SimMember newest)
    {
        foreach (SimMember old in cluster.Members.Where(m => m.IsLeader && m != newest))
        {
            cluster.Coverage.TwoLeaders++;
            for (int i = 0; i < 8; i++)
            {
                cluster.Scheduler.After(random.Between(0, cluster.Swarm.ElectionTimeout / 2), () =>
                {
                    if (old.IsLeader)
                    {
                        new SimClient(cluster, cluster.Workload, random, 3000 + old.Number, old.Number).ReadOnce(old);
                    }
                });
            }
        }
    }

    private void Pause(SimRandom own)
    {
        cluster.Coverage.Pauses++;
        SimMember member = own.Chance(0.5) && cluster.Members.FirstOrDefault(m => m.IsLeader) is { } leader ? leader : own.Pick(cluster.Members);
        if (member.IsUp)
        {
            member.Process.Pause(own.Tail(cluster.Swarm.PauseFor));
        }
    }

    /// <summary>Somebody else writes the disk full: of one member, or of all. What the log had taken before it may still use (S6).</summary>
    private void FillDisks(SimRandom own)
    {
        cluster.Coverage.FullDisks++;
        IReadOnlyList<SimMember> filled = own.Chance(0.3) ? cluster.Members : [own.Pick(cluster.Members)];
        long duration = own.Tail(cluster.Swarm.FullDiskFor);
        foreach (SimMember member in filled)
        {
            cluster.Trace.Add(member.Number, "has a full disk for {0} ms", duration / Ns.Millisecond);
            member.Disk.CapacityBytes = 0;
            cluster.Scheduler.After(duration, () => member.Disk.CapacityBytes = long.MaxValue);
        }
    }

    private void Clog(SimRandom own)
    {
        int from = own.Below(cluster.Members.Count), to = own.Below(cluster.Members.Count);
        if (from != to)
        {
            cluster.Network.Clog(from, to, cluster.Scheduler.Now + own.Tail(cluster.Swarm.ElectionTimeout));
        }
    }

    private void FailDisk(SimRandom own)
    {
        SimMember member = own.Pick(cluster.Members);
        if (member.IsUp)
        {
            cluster.Coverage.FlushErrors++;
            member.FailDisk(own.Chance(0.7) ? DiskOperation.Flush : DiskOperation.Write);
        }
    }

    private void Wipe(SimRandom own)
    {
        SimMember member = own.Pick(cluster.Members);
        if (MaySpoil(member))
        {
            cluster.Coverage.Wiped++;
            member.End(MemberEnd.Killed);
            member.Wipe(pastTheGate: own.Chance(0.6));
            SimMember other = own.Chance(0.5) && cluster.Members.FirstOrDefault(m => m.IsLeader) is { } leader ? leader : own.Pick(cluster.Members);
            if (other != member && own.Chance(0.8))
            {
                // The moment at which an emptied voter would be dangerous: another one is away, too, and the others must elect.
                other.End(MemberEnd.Killed);
            }
        }
    }

    /// <summary>Somebody has just begun to lead.</summary>
    public void LeaderSeen(SimMember leader, long term)
    {
        ProbeOldLeaders(leader);
        if (stopped || !random.Chance(cluster.Swarm.HuntLeaders))
        {
            return;
        }

        long election = cluster.Swarm.ElectionTimeout;

        // Left alone for long it may not know for a while that another one leads; cut off from some and stopped soon, its last entries are on few logs.
        bool alone = random.Chance(0.4);
        List<int> cut = [.. Enumerable.Range(0, cluster.Members.Count).Where(i => i != leader.Number && (alone || random.Chance(0.6)))];
        cluster.Trace.Add(leader.Number, "is hunted: cut off from {0} members", cut.Count);
        foreach (int other in cut)
        {
            cluster.Network.Cut(leader.Number, other);
            HealLater(alone ? 3 * election : random.Tail(2 * election), leader.Number, other);
        }

        if (alone)
        {
            return;
        }

        cluster.Scheduler.After(random.Tail(election / 2), () =>
        {
            if (!stopped && leader.IsLeader && leader.Process.Core.Term == term)
            {
                cluster.Coverage.Crashes++;
                leader.End(random.Chance(cluster.Swarm.PowerCut) ? MemberEnd.PowerCut : MemberEnd.Killed);
            }
        });
    }

    private void Damage(SimRandom own)
    {
        SimMember member = own.Pick(cluster.Members);
        if (MaySpoil(member) && member.IsUp)
        {
            member.End(MemberEnd.Killed);
            member.Damage();
        }
    }

    /// <summary>
    /// The disk as it was before the last life began. Only while everybody else runs and hears it: whoever could have counted on what it promised since must be there to say so (decision 0011).
    /// </summary>
    private void RestoreOldCopy(SimRandom own)
    {
        SimMember member = own.Pick(cluster.Members);
        if (member.Copy is { } copy && copy.Id == member.Id && copy.Starts < member.Starts && member.IsUp && MaySpoil(member)
            && cluster.Members.All(m => m == member || cluster.AreTogether(m, member)))
        {
            member.End(MemberEnd.Killed);
            member.Restore(copy);
            member.Start();
        }
    }

    /// <summary>Never all copies: at most a minority of the voters, counting who was spoiled before; nobody once the second phase has begun.</summary>
    public bool MaySpoil(SimMember member)
    {
        if (stopped || member.IsSpoiled || member.HasLostState)
        {
            return false;
        }

        int spoiled = cluster.Members.Count(m => m.IsVoter && (m.IsSpoiled || m.HasLostState));
        return !member.IsVoter || spoiled + 1 <= (cluster.Swarm.Voters - 1) / 2;
    }

    private void Transfer(SimRandom own)
    {
        SimMember? leader = cluster.Members.FirstOrDefault(m => m.IsLeader);
        if (leader is not null)
        {
            cluster.Coverage.Transfers++;
            SimMember target = own.Pick([.. cluster.Members.Where(m => m.Place.Role == MemberRole.Voter)]);
            MemberId wanted = own.Chance(0.3) ? MemberId.None : target.Id;
            leader.Process.Post(new TransferRequested(new TransferRequest(wanted, leader.Process.Clock.Now + cluster.Swarm.ElectionTimeout, null)));
            if (target != leader && own.Chance(0.5))
            {
                DelayTransfer(own, leader, target);
            }
        }
    }

    /// <summary>The order to campaign arrives after the leader gave up on it, and the leader hears of nothing: only its own rounds can tell it.</summary>
    private void DelayTransfer(SimRandom own, SimMember leader, SimMember target)
    {
        long late = cluster.Scheduler.Now + (cluster.Swarm.ElectionTimeout * own.Between(11, 18) / 10);
        cluster.Network.Clog(leader.Number, target.Number, late);
        bool slowAnswers = own.Chance(0.6);
        cluster.Scheduler.At(late - own.Between(0, cluster.Swarm.ElectionTimeout / 10), () =>
        {
            for (int other = 0; other < cluster.Members.Count && !stopped; other++)
            {
                if (other != leader.Number && slowAnswers)
                {
                    // Answers to rounds from before the election arrive after the new leader's first commit: they confirm nothing that was asked since.
                    cluster.Network.Clog(other, leader.Number, late + (cluster.Swarm.ElectionTimeout / 2));
                }
                else if (other != leader.Number)
                {
                    CutFor(other, leader.Number, 2 * cluster.Swarm.ElectionTimeout);
                    if (other != target.Number)
                    {
                        CutFor(leader.Number, other, 2 * cluster.Swarm.ElectionTimeout);
                    }
                }
            }
        });
    }

    private void CutFor(int from, int to, long duration)
    {
        cluster.Network.Cut(from, to);
        HealLater(duration, from, to);
    }

    /// <summary>A configuration with the same voters and another client URL: it takes force at append and must go back with truncation (E4).</summary>
    private void Configure(SimRandom own)
    {
        SimMember? leader = cluster.Members.FirstOrDefault(m => m.IsLeader);
        if (leader is not null)
        {
            Configuration now = leader.Process.Core.Configuration;
            MemberId changed = own.Pick(cluster.Members).Id;
            leader.Process.Post(new ConfigurationRequested(
                now with { Members = [.. now.Members.Select(m => m.Id == changed ? m with { ClientUrls = [$"http://client:{own.Between(1, 60_000)}"] } : m)] }));
        }
    }

    /// <summary>Repairs a link after a time, unless the second phase has begun: what is cut then is cut on purpose, to keep the outsiders of the healed core out.</summary>
    private void HealLater(long duration, int from, int to) => cluster.Scheduler.After(duration, () =>
    {
        if (!cluster.Network.Calm)
        {
            cluster.Network.Heal(from, to);
        }
    });
}
