namespace Loom.Raft.Proposals;

/// <summary>What the proposer knows of one proposal that is not settled.</summary>
internal sealed class Pending
{
    public ProposalRequest? Request { get; set; }
}
