namespace Loom.Raft.Sessions;

/// <summary>What an entry did: the small outcome that sessions keep and replicate (P2), at most 32 bytes, the same on every replica.</summary>
/// <param name="Code">0 = done; other values are refusals that the application defines.</param>
/// <param name="Branch">Application-defined detail, e.g. which branch of a transaction ran.</param>
/// <param name="Revision">Revision after the entry.</param>
/// <param name="Extra">Application-defined detail, e.g. number of keys deleted.</param>
public readonly record struct Outcome(int Code, int Branch, long Revision, long Extra);
