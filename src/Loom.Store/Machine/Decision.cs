using Loom.Raft.Sessions;

namespace Loom.Store.Machine;

/// <summary>What an entry did, beside the batch it staged: the outcome that every replica computes alike, and the full answer for a caller here.</summary>
/// <param name="Outcome">Replicated. Code: 0 or a <see cref="LoomErrorCode"/>; Branch: 1 = the compares of a transaction held; Extra: keys deleted.</param>
/// <param name="Result">The answer, when one was wanted.</param>
internal readonly record struct Decision(Outcome Outcome, object? Result)
{
    public static Decision Refuse(LoomErrorCode code, long revision) => new(new Outcome((int)code, 0, revision, 0), null);
}

/// <summary>Why a request can never work, found from the request alone.</summary>
internal readonly record struct Fault(LoomErrorCode Code, string Message);
