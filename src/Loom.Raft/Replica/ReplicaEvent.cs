using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Proposals;
using Loom.Raft.Reads;
using Loom.Raft.Snapshots;

namespace Loom.Raft.Replica;

/// <summary>
/// What can happen to a <see cref="ReplicaCore"/>. A driver (ReplicaHost's loop thread, or the simulator's heap) collects events and hands them over
/// in batches: one Step over many events makes one proposal batch, one read round and one set of effects of them.
/// </summary>
internal abstract record ReplicaEvent;

/// <summary>The time of <see cref="ReplicaEffects.NextWake"/> has come, or the loop woke for another reason (T1: the clock is Step's argument).</summary>
internal sealed record Awake : ReplicaEvent
{
    public static readonly Awake Instance = new();
}

/// <summary>A consensus message arrived on a peer's control lane.</summary>
internal sealed record PeerMessage(Message Message) : ReplicaEvent;

/// <summary>A message arrived on a peer's forward lane.</summary>
internal sealed record PeerForward(ForwardMessage Message) : ReplicaEvent;

/// <summary>A chunk of a large frame arrived: the peer lives (P5).</summary>
internal sealed record PeerHeard(MemberId Peer) : ReplicaEvent;

/// <summary>The peer's connection was reset and its port refuses: its process died (E2).</summary>
internal sealed record PeerDied(MemberId Peer) : ReplicaEvent;

/// <summary>A lane to a peer came up (both directions are usable).</summary>
internal sealed record PeerConnected(MemberId Peer, PeerLane Lane) : ReplicaEvent;

/// <summary>A lane to a peer went down: what was in flight on it may or may not have arrived.</summary>
internal sealed record PeerDisconnected(MemberId Peer, PeerLane Lane) : ReplicaEvent;

/// <summary>The log batch with this sequence was written and flushed, or the disk failed (L1: then the member's life ends).</summary>
internal sealed record LogBatchCompleted(long Sequence, Exception? Error) : ReplicaEvent;

/// <summary>The disk is full: the batch that is out waits, unwritten, and so does everything behind it (S6). Null: it was written, the log goes on.</summary>
internal sealed record LogPaused(string? Reason) : ReplicaEvent;

/// <summary>There is no space to apply what was handed out: it waits (S6). Null: there is, and it goes on.</summary>
internal sealed record ApplyPaused(string? Reason) : ReplicaEvent;

/// <summary>The applier finished an <see cref="ApplyWork"/>; works complete in the order in which they were handed out.</summary>
internal sealed record BatchApplied(AppliedBatch Batch) : ReplicaEvent;

/// <summary>A checkpoint of the state at <paramref name="Index"/> is durable; the one at <paramref name="PreviousIndex"/> (0: none) is still usable, and nothing older is needed (L9).</summary>
internal sealed record CheckpointTaken(long Index, long PreviousIndex) : ReplicaEvent;

/// <summary>
/// A snapshot is here, whole, verified and durable beside the present state (S4). It is the replica's: it comes back in <see cref="ReplicaEffects.Discarded"/>, or in
/// <see cref="ReplicaEffects.Install"/> once its place in the log is flushed.
/// </summary>
internal sealed record SnapshotCollected(SnapshotManifest Manifest, IStateInstallation Installation) : ReplicaEvent;

/// <summary>The applier switched to the state of an <see cref="InstallWork"/>; comes after the works handed out before it.</summary>
internal sealed record SnapshotInstalled(OpenedState Opened, SessionAnswers Answers) : ReplicaEvent;

/// <summary>
/// Another member needs a state from this index on, and this one's ends below it. A member whose state is wrong (S5) needs one that reaches further than its own, which no member of an idle
/// cluster has: the leader then makes an entry.
/// </summary>
internal sealed record LaterStateNeeded(long Index) : ReplicaEvent;

/// <summary>Someone wants the state, to send it or to keep it. Answered once by <paramref name="Done"/>, which must be quick: null when there is nothing to capture, or no replica any more.</summary>
internal sealed record CaptureRequested(Action<CapturedSnapshot?> Done) : ReplicaEvent;

/// <summary>The applier has captured the state between two works; null: nothing is applied yet.</summary>
internal sealed record StateCaptured(IStateSnapshot? State, Action<CapturedSnapshot?> Done) : ReplicaEvent;

/// <summary>The applier threw: this replica is broken and stops (D8).</summary>
internal sealed record ApplyFailed(Exception Error) : ReplicaEvent;

/// <summary>Something else that this replica cannot live without failed (a thread, a watchdog).</summary>
internal sealed record HostFailed(Exception Error) : ReplicaEvent;

/// <summary>A caller on this member proposes. Completed exactly once in <see cref="ReplicaEffects.Proposals"/>.</summary>
internal sealed record ProposalRequested(ProposalRequest Request) : ReplicaEvent;

/// <summary>The caller no longer waits: completes it now with what is known (P3); the write itself goes on (P1).</summary>
internal sealed record ProposalAbandoned(ProposalRequest Request) : ReplicaEvent;

/// <summary>A caller on this member wants a linearizable barrier. Completed exactly once in <see cref="ReplicaEffects.Reads"/>.</summary>
internal sealed record ReadRequested(ReadRequest Request) : ReplicaEvent;

/// <summary>The reader no longer waits.</summary>
internal sealed record ReadAbandoned(ReadRequest Request) : ReplicaEvent;

/// <summary>Hand leadership over. Completed exactly once in <see cref="ReplicaEffects.Transfers"/>.</summary>
internal sealed record TransferRequested(TransferRequest Request) : ReplicaEvent;

/// <summary>Append a configuration (pins a standby's incarnation, tells client URLs), if this member leads and no other change is pending. Nobody is told: who wants it asks again.</summary>
internal sealed record ConfigurationRequested(Configuration Configuration) : ReplicaEvent;

/// <summary>The member is closing: new calls are refused with Stopped, running ones go on.</summary>
internal sealed record IntakeStopped : ReplicaEvent
{
    public static readonly IntakeStopped Instance = new();
}

/// <summary>The member closes now: every caller still waiting is completed with Stopped and what is known of its write (P3).</summary>
internal sealed record Closing : ReplicaEvent
{
    public static readonly Closing Instance = new();
}

/// <summary>The connections to a peer that the replica distinguishes (N2).</summary>
internal enum PeerLane : byte
{
    Control = 1,
    Forward = 2,
}

/// <summary>A wish to hand leadership over.</summary>
/// <param name="Target">The voter to lead, or None for the best one.</param>
/// <param name="Deadline">Absolute, ns.</param>
/// <param name="Caller">The driver's own; comes back with the completion.</param>
internal sealed record TransferRequest(MemberId Target, long Deadline, object? Caller);
