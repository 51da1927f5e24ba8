namespace Loom.Raft.Proposals;

/// <summary>Names a proposal for ever: the session that made it and its number in it (P1).</summary>
internal readonly record struct ProposalId(long Session, long Sequence);
