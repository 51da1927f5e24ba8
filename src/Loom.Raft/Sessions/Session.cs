namespace Loom.Raft.Sessions;

/// <summary>One session: its owner, its window, and its place in the order of last use (the table's list).</summary>
internal sealed class Session(long id, SessionOwner owner)
{
    /// <summary>Index of the entry that opened it: never reused.</summary>
    public long Id { get; } = id;

    public SessionOwner Owner { get; } = owner;

    public OutcomeWindow Window { get; } = new();

    /// <summary>Cluster time of the last entry that named it.</summary>
    public long LastUsed { get; set; }

    public Session? Older { get; set; }

    public Session? Newer { get; set; }

#if LOOM_MUTATIONS
    public long LastSequence { get; set; } = -1;
#endif
}
