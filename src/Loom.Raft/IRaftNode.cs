using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Sessions;

namespace Loom.Raft;

/// <summary>
/// A replica of a replicated state machine: what Loom.Store builds on. Implemented by <c>RaftNode</c>; tests may put a simpler one in its place.
/// All members are safe from any thread; callers' continuations never run on the node's threads (N1).
/// </summary>
public interface IRaftNode : IAsyncDisposable
{
    /// <summary>
    /// Proposes a payload and completes when THIS replica has applied it (D4), so the caller reads its own write here. It is then flushed on a majority.
    /// Exactly once: retries across leader changes are deduplicated by the node's session (P1).
    /// Cancelling stops the waiting, not the write.
    /// </summary>
    /// <exception cref="RaftException">Outcome says NotApplied or Unknown (P3).</exception>
    ValueTask<ProposalResult> ProposeAsync(ReadOnlyMemory<byte> payload, CancellationToken cancellationToken = default);

    /// <summary>As <see cref="ProposeAsync(ReadOnlyMemory{byte}, CancellationToken)"/>.</summary>
    /// <param name="payload">The machine's bytes.</param>
    /// <param name="isReserved">Where queues are full it is admitted into their reserve (S6): for what gives space back, and for what must not starve.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="RaftException">Outcome says NotApplied or Unknown (P3).</exception>
    ValueTask<ProposalResult> ProposeAsync(ReadOnlyMemory<byte> payload, bool isReserved, CancellationToken cancellationToken = default);

    /// <summary>Linearizable barrier: completes once this replica has applied everything that was committed before the call (R1). Returns the read index.</summary>
    /// <exception cref="RaftException">NoQuorum, DeadlineExceeded, Stopped, Failed.</exception>
    ValueTask<long> ReadBarrierAsync(CancellationToken cancellationToken = default);

    /// <summary>Hands leadership to a voter: the named one, or the best one when none is named. Completes when another member leads.</summary>
    ValueTask TransferLeadershipAsync(MemberId target = default, CancellationToken cancellationToken = default);

    /// <summary>
    /// Captures the state of this replica as it stands, for a backup: cheap, and the replica goes on. The caller disposes of it.
    /// It holds what this replica has applied: ask for <see cref="ReadBarrierAsync"/> first to have everything in it that was acknowledged before.
    /// </summary>
    /// <exception cref="RaftException">Overloaded: two are held already. NoQuorum: the cluster has not formed, or nothing is applied yet. DeadlineExceeded, Stopped, Failed.</exception>
    ValueTask<RaftSnapshot> CaptureSnapshotAsync(CancellationToken cancellationToken = default);

    /// <summary>A consistent picture of this replica, cheap to read.</summary>
    RaftNodeStatus Status { get; }

    /// <summary>The configuration in force here.</summary>
    Configuration Configuration { get; }
}

/// <summary>Answer to a proposal.</summary>
/// <param name="Index">Index of its entry.</param>
/// <param name="Outcome">The replicated outcome.</param>
/// <param name="Result">The machine's full answer, or null when <paramref name="Deduplicated"/>.</param>
/// <param name="Deduplicated">A retry met its own first application: reads of the transaction are gone (P2).</param>
public readonly record struct ProposalResult(long Index, Outcome Outcome, object? Result, bool Deduplicated);

/// <summary>State of a replica.</summary>
public sealed record RaftNodeStatus
{
    /// <summary>Hash of the initial configuration and the token; zero before formation.</summary>
    public ulong ClusterId { get; init; }

    /// <summary>This member.</summary>
    public MemberId MemberId { get; init; }

    /// <summary>"leader", "follower", "candidate", "standby", "learner", "forming", "failed" or "stopped".</summary>
    public string Role { get; init; } = "forming";

    /// <summary>Current term.</summary>
    public long Term { get; init; }

    /// <summary>Known leader, or none.</summary>
    public MemberId Leader { get; init; }

    /// <summary>Last index in the log here.</summary>
    public long LastIndex { get; init; }

    /// <summary>Commit index known here.</summary>
    public long CommitIndex { get; init; }

    /// <summary>Applied index here.</summary>
    public long AppliedIndex { get; init; }

    /// <summary>Index of the newest durable checkpoint of the state here: a restart replays the log from there. 0: none yet.</summary>
    public long CheckpointIndex { get; init; }

    /// <summary>
    /// Index at which the state here was found to differ from that of a strict majority (S5): this member serves no reads and takes no writes until its state has been replaced by a healthy
    /// member's, which begins by itself. 0: it does not differ.
    /// </summary>
    public long QuarantinedAt { get; init; }

    /// <summary>Index at which the members' states differ without a strict majority that agrees (S5): an operator must decide which to keep. 0: no such thing was seen.</summary>
    public long StatesDifferAt { get; init; }

    /// <summary>Cluster time of the last applied entry, ns (T5).</summary>
    public long ClusterTime { get; init; }

    /// <summary>
    /// On the leader the cluster time (T5) that an entry appended now would be stamped with, as of this picture, which is at most a tenth of a second old while the node runs; elsewhere the stamp of the last entry
    /// of the log. Never behind <see cref="ClusterTime"/> on the leader.
    /// </summary>
    public long LogTime { get; init; }

    /// <summary>Rolling 128-bit hash over everything applied (S5): equal on all replicas at one applied index.</summary>
    public UInt128 ApplyHash { get; init; }

    /// <summary>No leader with a quorum was heard for three election timeouts (N5).</summary>
    public bool NoQuorum { get; init; }

    /// <summary>Why the replica failed, or null.</summary>
    public string? Failure { get; init; }

    /// <summary>One sentence on what the configuration in force may lose, e.g. "You can lose any one datacenter." (PlacementProof); empty before formation.</summary>
    public string Placement { get; init; } = "";

    /// <summary>What keeps this member from taking part: whom formation waits for, or who refuses it and why (wrong token, an emptied directory, …). Null: nothing.</summary>
    public string? Obstacle { get; init; }

    /// <summary>Why the log takes nothing now: the disk is full. The member acknowledges nothing meanwhile, serves local reads, and goes on by itself when there is space (S6). Null: it does not pause.</summary>
    public string? LogPause { get; init; }

    /// <summary>Why nothing is applied now: there is no space for it (S6). It goes on by itself when there is. Null: it does not pause.</summary>
    public string? ApplyPause { get; init; }

    /// <summary>Bytes of the log on disk.</summary>
    public long LogBytes { get; init; }

    /// <summary>The snapshot that is on its way to this member, or null.</summary>
    public SnapshotProgress? Snapshot { get; init; }

    /// <summary>One row per other member.</summary>
    public IReadOnlyList<PeerStatus> Peers { get; init; } = [];
}

/// <summary>What this replica knows of a peer.</summary>
/// <param name="Id">The peer.</param>
/// <param name="Connected">Its control lane is up.</param>
/// <param name="Match">On the leader: index known durable there; elsewhere 0.</param>
/// <param name="RttMilliseconds">Smoothed round-trip time, or NaN.</param>
/// <param name="Suspicion">Phi of the accrual failure detector; 0 when never heard.</param>
public sealed record PeerStatus(MemberId Id, bool Connected, long Match, double RttMilliseconds, double Suspicion)
{
    /// <summary>Why it is not connected, as last seen: an address that cannot be reached, a refusal, a certificate. Empty: it is, or nothing is known yet.</summary>
    public string Trouble { get; init; } = "";
}
