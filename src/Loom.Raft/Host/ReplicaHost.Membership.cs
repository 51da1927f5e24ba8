using Loom.Raft.Consensus;
using Loom.Raft.Duties;
using Loom.Raft.Log;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <content>How this process becomes a member (E1, N5), and how members change while it runs (E4).</content>
internal sealed partial class ReplicaHost
{
    private const long ImproveInterval = 250_000_000;

    private const long LookInterval = 50_000_000;

    private readonly List<PeerView> views = [];
    private ConfigurationAt adopted;
    private bool adoptedIsCommitted;
    private long targetsVersion;
    private long improveAt;
    private long improvedVersion = -1;
    private volatile bool writingPeers;

    private bool IsUp(MemberId peer) => transport?.IsUp(peer, LaneKind.Control) ?? false;

    /// <summary>
    /// E1: a directory that the configuration pins for another life never votes. One that is in no configuration of its own log may: it cannot be a stranger, for the others let only members in,
    /// and it may have missed that it was made a voter (E4).
    /// </summary>
    private bool MayVote(Configuration configuration) => configuration.Find(directory.Identity.Id) is not { } self || self.Incarnation == directory.Identity.Incarnation;

    /// <summary>Makes what the peers see of the directory as it is now, in the place of what they saw before. Nothing runs before the transport is started. Returns the configuration that is known.</summary>
    private Configuration Introduce()
    {
        Configuration initial = recovered?.Configurations[0].Configuration ?? directory.ProposedList ?? InitialConfiguration.Of(options);
        Configuration current = recovered?.Configurations[^1].Configuration ?? initial;
        MemberIdentity identity = directory.Identity;
        Member self = current.Find(identity.Id) ?? SelfByFlags(identity);
        RequireDatacenter(self);
        transport?.Dispose();
        formation = new ClusterFormation(identity, directory.Process, initial, StandingOf(self), IsUp, wake, log);
        targetsVersion = formation.TargetsVersion;
        // Later a cluster of one may be told of others by its log, but today nobody would dial it.
        bool alone = current.Members.Count <= 1 && current.Find(identity.Id) is not null;
        transport = alone ? null : OpenTransport(self);
        return current;
    }

    private Standing StandingOf(Member self)
    {
        bool joinOnly = options.JoinOnly && !directory.Identity.IsFormed && directory.Proposal is null;
        var standing = new Standing(self, [.. options.AdvertiseClientUrls]) { Seeking = directory.Damage is not null || joinOnly, Proposal = directory.Proposal };
        if (recovered is null) return standing;
        PeerMemory memory = directory.ReadPeers(out string? trouble);
        if (trouble is not null) log.LogWarning("{Trouble}", trouble);
        return standing with
        {
            Configurations = recovered.Configurations, Commit = recovered.CommitHint, Starts = directory.Starts, LastIndex = recovered.Log.LastIndex, Memory = memory,
        };
    }

    /// <summary>A newcomer, and whoever was removed, is in no configuration: what its flags say of it is what it says of itself.</summary>
    private Member SelfByFlags(MemberIdentity identity) =>
        options.InitialCluster.FirstOrDefault(m => m.Name == identity.Name) is { } listed
            ? new Member(identity.Id, identity.Incarnation, identity.Name, listed.Datacenter, listed.Role, [.. listed.PeerUrls], [])
            : throw new RaftException(RaftErrorCode.CannotOpen,
                $"The configuration in {directory.Path} does not hold the member {identity.Name} ({identity.Id}) that the directory belongs to, and InitialCluster does not list it: start it with the list of the cluster.");

    private void RequireDatacenter(Member self)
    {
        if (options.Datacenter is { } datacenter && datacenter != self.Datacenter)
        {
            throw new RaftException(RaftErrorCode.CannotOpen,
                $"The datacenter '{datacenter}' differs from the one that the cluster knows for {self.Name}, '{self.Datacenter}'. Start it with that one, or leave the setting out.");
        }
    }

    private PeerTransport OpenTransport(Member self)
    {
        IReadOnlyList<string> listen = options.ListenPeerUrls.Count > 0 ? options.ListenPeerUrls : self.PeerUrls;
        return new PeerTransport(self.Id, formation.Targets, listen, options.TestPeerDelays, settings.Seed, new TransportContext(settings.Lanes, formation, this, now, log, settings.Tls));
    }

    /// <summary>
    /// Before a formed member takes part it has told every other voter what its directory holds, and nobody remembers more of it; whoever cannot be heard has an election timeout to speak. Only then the
    /// machine is opened: a directory that is given up is given up whole.
    /// </summary>
    private void TakePart(CancellationToken cancellationToken)
    {
        long until = now() + options.ElectionTimeout.Ticks * 100;
        while (directory.Damage is null && formation.Accusation is null && !formation.AnsweredByAll && now() < until) Look(cancellationToken);
        if (formation.Accusation is { } what)
        {
            recovered!.Log.Dispose();
            recovered = null;
            // Written down, for it may take many starts until the others can do without this directory, and each of them raises its counter: an old copy would soon be ahead of what they remember.
            directory.MarkForgotten(what);
            CorruptionException outOfDate = ForgottenMark.OutOfDate(directory.Path, what);
            if (!directory.MayRejoin) throw outOfDate;
            directory.Suspect(outOfDate);
            _ = Introduce();
            transport!.Start();
        }
        BuildReplica(directory.Damage is { } damage ? StartOver(damage, cancellationToken) : recovered!);
    }

    /// <summary>The directory cannot be used: once the others have shown that they can do without it, it is put aside and an empty one joins under a new id (E1).</summary>
    private RecoveredLog StartOver(CorruptionException damage, CancellationToken cancellationToken)
    {
        log.LogCritical("The data directory must not be used any more: {Damage} Asking the other members to be filled from them", damage.Message);
        long until = now() + settings.SeekLimit.Ticks * 100;
        JoinDecision? decision;
        while ((decision = formation.Joining) is null)
        {
            if (now() >= until) throw new CorruptionException(damage, $"It cannot be filled from the others: {formation.Obstacle}.");
            Look(cancellationToken);
        }
        string aside = directory.SetAside();
        log.LogWarning("The damaged data directory is now {Aside}; {Directory} is a new one", aside, directory.Path);
        return Join(decision);
    }

    private void Look(CancellationToken cancellationToken)
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (inbox.Failure() is { } failure) throw CallErrors.Failed(failure, WriteOutcome.NotApplied);
        _ = wake.Wait(LookInterval);
    }

    private RecoveredLog Form(Configuration initial)
    {
        RecoveredLog made = directory.Form(initial);
        formation.Formed(directory.Identity.ClusterId, directory.Starts);
        log.LogInformation("The cluster {Cluster:x} is formed: {Members}", directory.Identity.ClusterId, string.Join(", ", initial.Members.Select(m => m.Name)));
        transport?.Redial();
        return made;
    }

    /// <summary>The cluster has formed without this directory (E1): from now on it has the id under which it will be taken in.</summary>
    private RecoveredLog Join(JoinDecision decision)
    {
        recovered = directory.Join(decision);
        log.LogWarning("The cluster {Cluster:x} has formed without this data directory: it joins as {Name} ({Id})", decision.ClusterId, directory.Identity.Name, directory.Identity.Id);
        _ = Introduce();
        transport!.Start();
        return recovered;
    }

    /// <summary>The state is ahead of the log: the log has lost what it had promised. The machine is open already, so it is the next start that starts over.</summary>
    private void CheckState(OpenedState opened, IRaftLog from)
    {
        try
        {
            opened.Check(from);
        }
        catch (CorruptionException damage) when (transport is not null)
        {
            directory.MarkForgotten(damage.Message);
            throw;
        }
    }

    /// <summary>Loop thread. Who may come in, what the next hello says, and what the others are known to hold.</summary>
    private void TellFormation(RaftCore core, Configuration configuration)
    {
        ConfigurationAt newest = core.Configurations[^1];
        bool committed = newest.Index <= core.Commit;
        if (newest != adopted || committed != adoptedIsCommitted)
        {
            (adopted, adoptedIsCommitted) = (newest, committed);
            formation.Adopt(core.Configurations, core.Commit);
            core.MayVote = MayVote(configuration);
        }
        formation.Report(core.NoQuorum(now()) ? MemberId.None : core.Leader, recovered!.Log.LastIndex);
        if (core.Role == RaftRole.Leader)
        {
            core.Peers(views);
            foreach (PeerView peer in views) Note(peer, core.Commit);
        }
        else if (!core.Leader.IsNone)
        {
            formation.Acknowledged(core.Leader, core.LeaderHolds);
        }
    }

    private void Note(PeerView peer, long commit)
    {
        formation.Acknowledged(peer.Id, Math.Min(peer.Match, commit));
        if (peer.Forgot && formation.Forgot(peer.Id))
        {
            log.LogError("Member {Peer} refuses entries that it had acknowledged: it has forgotten something, and is not let in any more (E1)", peer.Id);
            transport?.HangUp(peer.Id);
        }
    }

    /// <summary>Loop thread, every turn: what the transport's threads have noticed.</summary>
    private void LookAround()
    {
        if (formation.TargetsVersion is var version && version != targetsVersion)
        {
            targetsVersion = version;
            transport?.Reconcile(formation.Targets);
        }
        if (formation.Accusation is { } what && !failureSeen)
        {
            replica!.Core.MayVote = false;
            directory.MarkForgotten(what);
            inbox.Post(new HostFailed(ForgottenMark.OutOfDate(directory.Path, what)));
        }
        if (!writingPeers && formation.TakePeersToWrite() is { } peers)
        {
            writingPeers = true;
            NewThread("loom peers", () => WritePeers(peers)).Start();
        }
    }

    /// <summary>On a thread of its own: it flushes, and the loop must not wait for that.</summary>
    private void WritePeers(byte[] peers)
    {
        try
        {
            directory.WritePeers(peers);
        }
        catch (IOException e)
        {
            // What is not remembered is only not noticed; whether the disk still serves is for the log to find out (L1).
            log.LogWarning("What is known of the other members' starts could not be written: {Reason}", e.Message);
        }
        writingPeers = false;
        wake.Set();
    }

    /// <summary>The leader writes down what was heard of members (a standby's incarnation, changed client URLs: N5), takes newcomers in, and puts them in their predecessors' places (E1).</summary>
    private void Improve(long at)
    {
        improveAt = at + ImproveInterval;
        RaftCore core = replica!.Core;
        if (core.Role != RaftRole.Leader)
        {
            improvedVersion = -1;
            return;
        }
        core.Peers(views);
        if (Replacement.Next(core.Configuration, formation.Newcomers, views, directory.Identity.Id, recovered!.Log.LastIndex, settings.Silence.Ticks * 100, at) is { } replaced)
        {
            log.LogInformation("Proposing: {Change}", replaced.What);
            inbox.Post(new ConfigurationRequested(replaced.Configuration));
            return;
        }
        long version = formation.Version;
        if (version == improvedVersion) return;
        if (formation.Improved() is { } better) inbox.Post(new ConfigurationRequested(better));
        else improvedVersion = version;
    }
}
