using Loom.Raft.Replica;

namespace Loom.Raft.Proposals;

/// <summary>Who may use the reserve when queues are full (S6).</summary>
internal enum ProposalPriority : byte
{
    Normal = 0,

    /// <summary>Deletes, compactions, revocations, membership: admitted into the reserve.</summary>
    Reserved = 1,
}

/// <summary>
/// A caller's wish to have a payload applied. The driver makes it, hands it over in <see cref="ProposalRequested"/> and never touches it until its completion.
/// </summary>
/// <param name="payload">The application's bytes; not changed by anyone from now on.</param>
/// <param name="deadline">Absolute, ns: then the caller learns NotApplied or Unknown (P3).</param>
/// <param name="priority">Whether the reserve is open to it.</param>
/// <param name="caller">The driver's own (a completion source); never read in here.</param>
internal sealed class ProposalRequest(
    ReadOnlyMemory<byte> payload, long deadline, ProposalPriority priority = ProposalPriority.Normal, object? caller = null)
{
    public ReadOnlyMemory<byte> Payload { get; } = payload;

    public long Deadline { get; } = deadline;

    public ProposalPriority Priority { get; } = priority;

    public object? Caller { get; } = caller;

    /// <summary>The proposer's record of it, so that abandoning needs no search.</summary>
    internal Pending? Pending { get; set; }
}

/// <summary>How a proposal ended for its caller.</summary>
/// <param name="Request">Which one.</param>
/// <param name="Id">Its id, if it got one; with <see cref="WriteOutcome.Unknown"/> it makes a retry safe.</param>
/// <param name="Error">0: applied here, and <paramref name="Result"/> holds.</param>
/// <param name="Known">With an error: what is known of the write (P3).</param>
/// <param name="Result">Index, outcome, the machine's answer.</param>
internal readonly record struct ProposalCompletion(
    ProposalRequest Request, ProposalId Id, RaftErrorCode Error, WriteOutcome Known, ProposalResult Result)
{
    public bool Succeeded => Error == 0;
}
