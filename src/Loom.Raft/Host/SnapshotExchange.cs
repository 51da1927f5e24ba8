using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <summary>
/// Joins a replica with its snapshots (S4): gives its state to whoever dials a bulk lane, on the connections' threads, and fetches one, on a thread of its own, while the loop says that it is needed.
/// What it wants of the loop goes through the inbox.
/// </summary>
internal sealed class SnapshotExchange : ISnapshotOrigin, ISnapshotNeed
{
    private readonly string datacenter;
    private readonly PeerTransport transport;
    private readonly IReplicatedStateMachine machine;
    private readonly Inbox inbox;
    private readonly StatusBoard board;
    private readonly Func<long> now;
    private readonly SnapshotSource source;
    private readonly SnapshotFetcher fetcher;
    private readonly Thread thread;
    private volatile bool needed;

    public SnapshotExchange(
        MemberIdentity self, string datacenter, PeerTransport transport, IReplicatedStateMachine machine, Inbox inbox, StatusBoard board, SnapshotPace pace, Func<long> now, ILogger log,
        Func<string, Action, Thread> newThread)
    {
        (this.datacenter, this.transport, this.machine, this.inbox, this.board, this.now) = (datacenter, transport, machine, inbox, board, now);
        ClusterId = self.ClusterId;
        source = new SnapshotSource(this, pace, new SourceLimits(), now, log);
        fetcher = new SnapshotFetcher(self.Id, this, new FetchLimits(), now, log);
        thread = newThread("loom snapshot", fetcher.Run);
    }

    /// <summary>What is on its way in, or null.</summary>
    public SnapshotProgress? Progress => fetcher.Progress;

    public ulong ClusterId { get; }

    public void Start() => thread.Start();

    /// <summary>A connection's own thread.</summary>
    public void Serve(BulkConnection connection) => source.Serve(connection);

    /// <summary>Loop thread: the replica needs a state of this index or later; null: none.</summary>
    public void Want(long? minIndex)
    {
        needed = minIndex is not null;
        fetcher.Want(minIndex);
    }

    /// <summary>The replica is done with what was handed over: it was installed, or is of no use. The fetcher's thread disposes of it: deleting gigabytes is nothing for the loop.</summary>
    public void Settled(IStateInstallation installation) => fetcher.Settled(installation);

    /// <summary>Ends all transfers. True: nothing of the machine is in use any more.</summary>
    public bool Stop(TimeSpan limit)
    {
        long until = now() + limit.Ticks * 100;
        fetcher.Stop();
        bool givenBack = source.Close(until);
        bool ended = thread.ThreadState.HasFlag(ThreadState.Unstarted) || thread.Join((int)Math.Max(1, (until - now()) / 1_000_000));
        return givenBack && ended;
    }

    SnapshotRefusal? ISnapshotOrigin.Refuse(long minIndex)
    {
        RaftNodeStatus status = board.Status;
        if (status.Failure is { } failure) return new SnapshotRefusal(RefusalReason.Failed, 0, $"it has failed: {failure}");
        if (status.QuarantinedAt > 0) return new SnapshotRefusal(RefusalReason.Failed, 0, $"its state is wrong since entry {status.QuarantinedAt} at the latest (S5)");
        if (status.StatesDifferAt > 0) return new SnapshotRefusal(RefusalReason.Failed, 0, $"the members' states differ at entry {status.StatesDifferAt}, and nobody can say whose is right (S5)");
        if (needed) return new SnapshotRefusal(RefusalReason.Fetching, fetcher.Progress?.Bytes ?? 0, "it needs a snapshot itself");
        if (status.AppliedIndex >= minIndex) return null;
        inbox.Post(new LaterStateNeeded(minIndex));
        return new SnapshotRefusal(RefusalReason.TooOld, 0, $"it has applied entry {status.AppliedIndex}, entry {minIndex} or later is needed");
    }

    void ISnapshotOrigin.Capture(Action<CapturedSnapshot?> captured) => inbox.Post(new CaptureRequested(captured));

    IReadOnlyList<SourceCandidate> ISnapshotNeed.Candidates()
    {
        // Of the connections, not of the configuration here: who has an empty log knows only the members of long ago from it.
        MemberId leader = board.Status.Leader;
        return [.. transport.Targets.Select(Candidate)];

        SourceCandidate Candidate(PeerTarget peer)
        {
            (bool connected, double rtt, _) = transport.StatusOf(peer.Id);
            return new SourceCandidate(peer.Id, peer.Datacenter == datacenter, peer.Id == leader, connected, rtt);
        }
    }

    BulkConnection ISnapshotNeed.Dial(MemberId member) => transport.Bulk.Dial(member);

    void ISnapshotNeed.HangUp() => transport.Bulk.HangUp();

    IStateInstallation ISnapshotNeed.BeginInstall(SnapshotManifest manifest) => machine.BeginInstall(manifest.At, manifest.Header);

    void ISnapshotNeed.Collected(SnapshotManifest manifest, IStateInstallation installation) => inbox.Post(new SnapshotCollected(manifest, installation));
}
