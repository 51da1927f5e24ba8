using Loom.Raft.Consensus;

namespace Loom.Raft.Proposals;

/// <summary>
/// What travels on the forward lane (N2): proposals to the leader, receipts back. No result travels (D4).
/// The lane delivers each message at most once, as a TCP connection does that nobody re-sends on: a refusal proves that its attempt was not appended (P3),
/// which a second copy, delivered to a leader elected meanwhile, would make untrue.
/// </summary>
internal abstract record ForwardMessage(MemberId From, MemberId To);

/// <summary>Please append these; tags are the sender's and come back in the receipts.</summary>
internal sealed record ForwardProposals(MemberId From, MemberId To, IReadOnlyList<ProposalItem> Items) : ForwardMessage(From, To);

/// <summary>Where each went, or why it was refused before append (P3).</summary>
internal sealed record ForwardReceipts(MemberId From, MemberId To, IReadOnlyList<ProposalAnswer> Answers) : ForwardMessage(From, To);
