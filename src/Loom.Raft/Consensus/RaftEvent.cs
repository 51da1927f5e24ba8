using Loom.Raft.Membership;

namespace Loom.Raft.Consensus;

/// <summary>What can happen to a RaftCore. Time is the argument of Step, never an event of its own (T1): <see cref="Wake"/> only says "look at the clock".</summary>
internal abstract record RaftEvent;

/// <summary>The time of <see cref="Output.NextDeadline"/> has come (or any wake-up of the loop).</summary>
internal sealed record Wake : RaftEvent
{
    public static readonly Wake Instance = new();
}

/// <summary>A message arrived from a peer whose handshake was accepted.</summary>
internal sealed record MessageReceived(Message Message) : RaftEvent;

/// <summary>A chunk of a frame too large for one write arrived from the peer: it is alive, though no whole message is here yet (P5).</summary>
internal sealed record Heard(MemberId Peer) : RaftEvent;

/// <summary>The log's <see cref="IRaftLog.DurableIndex"/> moved.</summary>
internal sealed record LogFlushed : RaftEvent
{
    public static readonly LogFlushed Instance = new();
}

/// <summary>This replica applied up to an index (flow control of committed-unapplied, P5).</summary>
internal sealed record Applied(long Index) : RaftEvent;

/// <summary>Append these bodies here if this member leads; the answer is one <see cref="ProposalAnswer"/> per item in <see cref="Output.Proposals"/>.</summary>
internal sealed record Propose(IReadOnlyList<ProposalItem> Items) : RaftEvent;

/// <summary>One body to append. <paramref name="Tag"/> comes back in the answer.</summary>
internal readonly record struct ProposalItem(ulong Tag, EntryKind Kind, ReadOnlyMemory<byte> Body);

/// <summary>Ask for a linearizable read index; the answer carries the context in <see cref="Output.Reads"/>. Works on every role (R1).</summary>
internal sealed record ReadIndexRequested(ulong Context) : RaftEvent;

/// <summary>Hand leadership to a named voter (E6). Ignored elsewhere than on the leader.</summary>
internal sealed record TransferLeadership(MemberId Target) : RaftEvent;

/// <summary>Change the configuration (E4). Refused (false in <see cref="Output.ConfigurationAccepted"/>) unless this member leads and will vote on, an own-term entry committed and no other change is under way; a change of voters goes through a joint configuration, which the leader leaves by itself.</summary>
internal sealed record ProposeConfiguration(Configuration Configuration) : RaftEvent;

/// <summary>
/// A whole snapshot of the state is here, to take the place of the log up to its index (S3). Refused (false in <see cref="Output.SnapshotAccepted"/>) when the log's base is there already,
/// and by a leader whose commit index is below it.
/// </summary>
/// <param name="Index">Index of the last entry in it.</param>
/// <param name="Term">Term of that entry.</param>
/// <param name="Configuration">The configuration in force there (E4).</param>
/// <param name="ClusterTime">Cluster time of that entry (T5).</param>
/// <param name="SourceTerm">Term of the member that captured it, at the capture: everything in it was committed in this term or an earlier one.</param>
internal sealed record InstallSnapshot(long Index, long Term, ConfigurationAt Configuration, long ClusterTime, long SourceTerm) : RaftEvent;

/// <summary>Append an empty entry here if this member leads. Ignored elsewhere than on the leader.</summary>
internal sealed record AppendNoOp : RaftEvent
{
    public static readonly AppendNoOp Instance = new();
}

/// <summary>Entries up to an index, applied and in a durable checkpoint, leave the log (L9).</summary>
internal sealed record TruncateLog(long Index) : RaftEvent;

/// <summary>The peer's connection was reset and its port refuses: its process died (E2).</summary>
internal sealed record PeerProcessDied(MemberId Peer) : RaftEvent;
