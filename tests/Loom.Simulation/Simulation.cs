using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Simulation.Checkers;
using Loom.Simulation.Cluster;
using Loom.Simulation.Engine;
using Loom.Simulation.History;
using Loom.Store.Model;

namespace Loom.Simulation;

/// <summary>
/// One seed, in two phases. Safety: anything fails, any number of members at once, and nothing wrong may be seen. Liveness: a core (a quorum, or everybody) is healed and
/// must converge and serve within a bounded time, or the seed fails: without this phase a cluster that does nothing would pass. Then the rest is healed and everything
/// that was acknowledged is read back from every member.
/// </summary>
internal sealed class Simulation
{
    private const int SearchSteps = 40_000;
    private readonly ulong seed;
    private readonly SimCluster cluster;
    private readonly SimRandom random;
    private (int Decided, int Undecided) search;

    private Simulation(ulong seed, TextWriter? verbose)
    {
        this.seed = seed;
        cluster = new SimCluster(seed, verbose);
        random = new SimRandom(seed).Split("phases");
    }

    public static SeedReport Run(ulong seed, TextWriter? verbose = null)
    {
        Simulation simulation = new(seed, verbose);
        SimulationFailure? failure = null;
        try
        {
            simulation.Run();
        }
        catch (SimulationFailure seen)
        {
            failure = seen;
        }
        catch (Exception unexpected)
        {
            // An assertion or exception of the product ends the seed as a checker's finding does.
            failure = new SimulationFailure("exception", unexpected.ToString());
        }

        return simulation.Report(failure);
    }

    private void Run()
    {
        Swarm swarm = cluster.Swarm;
        cluster.Form();
        foreach (SimMember member in cluster.Members)
        {
            cluster.Scheduler.After(random.Between(0, swarm.ElectionTimeout), member.Start);
        }

        foreach (SimClient client in cluster.Clients)
        {
            client.Start();
        }

        cluster.Leases.Start();
        cluster.Scheduler.After(3 * swarm.ElectionTimeout, cluster.Nemesis.Start);
        cluster.Scheduler.RunUntil(swarm.SafetyPhase);
        cluster.Nemesis.Stop();

        // Who has moved is in another configuration than the one that the seed began with, and who must be in a core is not known from outside: then everybody is healed at once.
        // And the state that a member lost may be with one outside of the core alone: its disk was one fault, who is cut off would be another.
        if (random.Chance(0.4) && AllAreComplete())
        {
            List<SimMember> core = DrawCore();
            cluster.Trace.Add(-1, "heals a core of {0}", core.Count);
            Heal(core);
            if (AllAreComplete())
            {
                CutOff([.. cluster.Members.Where(m => !core.Contains(m))], core);
                Demand(core, "the core");
            }
        }

        cluster.Trace.Add(-1, "heals everybody");
        Heal(cluster.Members);
        DemandWhole();
        Demand([.. cluster.Members], "everybody");
        CheckHistory();
    }

    /// <summary>A disk was replaced; its damage may show only when the member is started.</summary>
    private bool AnyMoved() => cluster.Members.Any(m => m.HasMoved);

    private bool AllAreComplete() => !AnyMoved() && !cluster.Members.Any(m => m.HasLostState);

    /// <summary>Whoever lost its disk has its old role under its new id, its old id is gone, and nobody helped (E1).</summary>
    private void DemandWhole()
    {
        long bound = (80 * cluster.Swarm.ElectionTimeout) + (10 * Ns.Second);
        bool Whole() => cluster.Members.FirstOrDefault(m => m.IsLeader) is { } leader && leader.Process.Core.Configuration is { IsJoint: false } now
            && now.Members.Count == cluster.Members.Count && cluster.Members.All(m => now.Find(m.Id)?.Role == m.Place.Role);
        if (AnyMoved() && !cluster.Scheduler.RunUntil(cluster.Scheduler.Now + bound, Whole))
        {
            throw new SimulationFailure("not-whole", $"{bound / Ns.Second} s after everybody was healed, not every member is back in its place");
        }
    }

    /// <summary>A random set of members that can commit, by voters alone; what refuses for good cannot be in it.</summary>
    private List<SimMember> DrawCore()
    {
        List<SimMember> voters = [.. cluster.Members.Where(m => m.IsVoter && m.MayVote)];
        random.Shuffle(voters);
        List<SimMember> core = [];
        foreach (SimMember voter in voters)
        {
            if (core.Count <= cluster.Swarm.Voters / 2
                || (cluster.Swarm.Goal == PlacementGoal.TwoDatacenters && core.Select(m => m.Place.Datacenter).Distinct().Count() < 2))
            {
                core.Add(voter);
            }
        }

        core.AddRange(cluster.Members.Where(m => !m.IsVoter && random.Chance(0.5)));
        return core;
    }

    private void CutOff(List<SimMember> others, List<SimMember> core)
    {
        if (others.Count > 0 && random.Chance(0.3) && cluster.Members.FirstOrDefault(m => m.IsLeader) is { } leader)
        {
            // A hand-over under way to somebody who will not take it must end by itself (E6).
            leader.Process.Post(new TransferRequested(new TransferRequest(random.Pick(others).Id, leader.Process.Clock.Now + cluster.Swarm.ElectionTimeout, null)));
            cluster.Scheduler.RunUntil(cluster.Scheduler.Now + Ns.Millisecond);
        }

        int kind = random.Below(3);
        foreach (SimMember other in others)
        {
            if (kind == 0)
            {
                other.End(MemberEnd.Killed);
                continue;
            }

            // Kind 2: it is still heard, but hears nothing; if it leads, it must notice that it leads nobody (E2).
            foreach (SimMember member in core)
            {
                cluster.Network.Cut(member.Number, other.Number);
                if (kind == 1)
                {
                    cluster.Network.Cut(other.Number, member.Number);
                }
            }
        }
    }

    private void Heal(IReadOnlyList<SimMember> members)
    {
        cluster.Network.Calm = true;
        cluster.Network.HealAll();
        foreach (SimMember member in members)
        {
            member.Disk.Fault = null;
            member.Disk.CrashAfter(long.MaxValue);
            member.Start();
        }
    }

    /// <summary>A write through each of them within a bounded time, then the same state everywhere among them.</summary>
    private void Demand(List<SimMember> members, string whom)
    {
        // Who got past the handshake with an empty disk is no member that anybody counts on.
        members.RemoveAll(m => !m.MayVote);
        long bound = (80 * cluster.Swarm.ElectionTimeout) + (10 * Ns.Second);
        foreach (SimMember member in members)
        {
            Progress progress = new(cluster, member, 1000 + member.Number);
            progress.Start();
            if (!cluster.Scheduler.RunUntil(cluster.Scheduler.Now + bound, () => progress.IsDone))
            {
                throw new SimulationFailure("no-liveness", $"no write through n{member.Number} was acknowledged within {bound / Ns.Second} s after {whom} was healed: {progress.Last}");
            }
        }

        if (whom == "everybody")
        {
            cluster.WorkloadEnded = true;
        }

        bool Converged() => (!cluster.WorkloadEnded || cluster.Clients.All(c => c.IsIdle))
            && members.All(m => m.IsUp && m.Applied == members[0].Applied && m.ApplyHash == members[0].ApplyHash && (!cluster.WorkloadEnded || m.Applied == cluster.Checker.HighestCommit));
        if (cluster.WorkloadEnded && !cluster.Scheduler.RunUntil(cluster.Scheduler.Now + bound, Converged))
        {
            throw new SimulationFailure("no-liveness",
                $"{whom} did not converge within {bound / Ns.Second} s: applied {string.Join(", ", members.Select(m => $"n{m.Number}:{(m.IsUp ? m.Applied : -1)}"))} of {cluster.Checker.HighestCommit}, "
                + $"{cluster.Clients.Count(c => !c.IsIdle)} clients wait");
        }
    }

    private void CheckHistory()
    {
        foreach (SimMember member in cluster.Members.Where(m => m.IsUp && m.MayVote))
        {
            // A final read of everything, which the checks below judge like any other.
            ClientOperation read = cluster.History.Add(cluster.Workload.ReadAll(2000 + member.Number, member));
            cluster.Workload.Read(member, read);
            (read.Status, read.Return) = (OperationStatus.Acknowledged, cluster.Scheduler.Now);
        }

        SimMember witness = cluster.Members.First(m => m.IsUp && m.MayVote);
        List<RevisionRecord> revisions = Revisions(witness);
        RevisionChecker.Check(cluster.History.Operations, revisions, cluster.ApplyLog.Leases.Revisions);
        foreach (SimMember member in cluster.Members.Where(m => m.IsUp && m.MayVote))
        {
            member.Process.Machine.FinishWatches();
        }

        cluster.Watches.CheckHistory(revisions);
        search = SearchChecker.Check(cluster.History.Operations, SearchSteps);
    }

    /// <summary>All revisions from 2 on, read back one by one from a member's history.</summary>
    private List<RevisionRecord> Revisions(SimMember member)
    {
        KeyRange all = new(Workload.KeyBytes(0), Workload.KeyBytes(cluster.Workload.Keys + 1));
        long last = member.Range(new RangeQuery(all) { CountOnly = true }).Revision.Number;
        List<RevisionRecord> revisions = [];
        Dictionary<int, long> alive = [];
        for (long revision = 2; revision <= last; revision++)
        {
            List<Effect> effects = [];
            Dictionary<int, long> now = [];
            foreach (KeyValue pair in member.Range(new RangeQuery(all) { Revision = revision }).Pairs)
            {
                int key = Workload.KeyOf(pair.Key.Span);
                now[key] = pair.ModRevision;
                if (pair.ModRevision == revision)
                {
                    effects.Add(new(key, Workload.ValueOf(pair.Value.Span)));
                }
            }

            effects.AddRange(alive.Keys.Where(k => !now.ContainsKey(k)).Select(k => new Effect(k, 0)));
            alive = now;
            revisions.Add(new(revision, effects));
        }

        return revisions;
    }

    private SeedReport Report(SimulationFailure? failure)
    {
        (cluster.Coverage.LeasesEnded, cluster.Coverage.LeasesSpared) = (cluster.ApplyLog.Leases.Ended, cluster.ApplyLog.Leases.TooEarly);
        return new()
        {
            Seed = seed,
            Failure = failure,
            TraceHash = cluster.Trace.Hash,
            SimulatedSeconds = cluster.Scheduler.Now / (double)Ns.Second,
            Steps = cluster.Scheduler.Steps,
            Operations = cluster.History.Operations.Count,
            Acknowledged = cluster.History.Operations.Count(o => o.Status == OperationStatus.Acknowledged),
            Unknown = cluster.History.Operations.Count(o => o.Status == OperationStatus.Unknown),
            NotApplied = cluster.History.Operations.Count(o => o.Status == OperationStatus.NotApplied),
            Elections = cluster.Checker.Elections,
            Conflicts = cluster.Checker.Conflicts,
            SearchDecided = search.Decided,
            SearchUndecided = search.Undecided,
            Coverage = cluster.Coverage,
            LastLines = failure is null ? [] : [.. cluster.Trace.LastLines(40)],
        };
    }
}
