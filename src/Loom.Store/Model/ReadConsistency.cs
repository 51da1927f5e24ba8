namespace Loom.Store.Model;

/// <summary>How fresh a read must be.</summary>
public readonly record struct ReadConsistency
{
    private ReadConsistency(byte mode, long revision)
    {
        Mode = mode;
        MinimumRevision = revision;
    }

    internal byte Mode { get; }

    /// <summary>For AtLeast: the revision that must have been applied here; else 0.</summary>
    public long MinimumRevision { get; }

    /// <summary>
    /// What this replica has applied; may be stale; never waits. While the replica is open it never goes back; after a restart it may be some entries older
    /// than before, until a leader is heard: use <see cref="AtLeast"/> where that matters.
    /// </summary>
    public static ReadConsistency Local => new(0, 0);

    /// <summary>Sees every write acknowledged anywhere before the call (ReadIndex; one round trip to the leader).</summary>
    public static ReadConsistency Linearizable => new(2, 0);

    /// <summary>Waits until this replica has applied the revision: read your own writes with the token that a write returned.</summary>
    public static ReadConsistency AtLeast(Revision revision) => new(1, revision.Number);

    /// <summary>True for <see cref="Linearizable"/>.</summary>
    public bool IsLinearizable => Mode == 2;

    /// <summary>True for <see cref="Local"/>.</summary>
    public bool IsLocal => Mode == 0;
}
