using Loom.Raft.Consensus;

namespace Loom.Raft.Sessions;

/// <summary>Who opened a session: the waiter of the opening entry is found by it (P2).</summary>
internal readonly record struct SessionOwner(MemberId Member, ulong Incarnation, ulong Nonce);

/// <summary>What to do with a proposal of a session.</summary>
internal enum SessionVerdict : byte
{
    /// <summary>First time here: apply it, then <see cref="SessionTable.Record"/> its outcome.</summary>
    Apply,

    /// <summary>Already applied: the outcome is in the decision; its reads are gone (P2).</summary>
    Repeat,

    /// <summary>Decided earlier, but its outcome was not recorded yet: it stands in the same batch. Apply and record what was gathered, then decide again.</summary>
    Wait,

    /// <summary>Below the floor: settled long ago. Never a success (P1).</summary>
    StaleSequence,

    /// <summary>No such session: it ended, or never was. Never created by use (P1).</summary>
    SessionExpired,

    /// <summary>Sequence ≥ floor + 1,024: the proposer broke its promise to wait (P1).</summary>
    BeyondWindow,
}

/// <summary>Verdict and, for a repeat, the outcome of the first application.</summary>
internal readonly record struct SessionDecision(SessionVerdict Verdict, Outcome Outcome = default);
