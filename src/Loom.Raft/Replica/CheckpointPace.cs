namespace Loom.Raft.Replica;

/// <summary>
/// When a checkpoint of the applied state is due: after so many bytes or entries since the last one (they bound the replay at a restart, and what of the log must stay),
/// or when something was applied and the last one is long ago. Nothing applied: none, unless the machine wants one to give space back. Times in ns of the monotonic clock.
/// </summary>
internal sealed class CheckpointPace(long now, long maxEntries)
{
    /// <summary>Bodies applied since the last checkpoint.</summary>
    public const long MaxBytes = 32L << 20;

    /// <summary>Time since the last checkpoint, when anything was applied.</summary>
    public const long MaxAge = 10_000_000_000;

    /// <summary>Least time between checkpoints of which the machine wants the second.</summary>
    public const long MinAge = 2_000_000_000;

    private long begunAt = now;
    private long bytes;
    private long entries;

    /// <summary>Something was applied that no checkpoint begun so far holds.</summary>
    public bool IsBehind => entries > 0;

    public void Applied(long entryCount, long bodyBytes)
    {
        entries += entryCount;
        bytes += bodyBytes;
    }

    /// <summary>Whether a checkpoint that the machine wants may begin.</summary>
    public bool MayBegin(long now) => now - begunAt >= MinAge;

    public bool IsDue(long now) => entries >= maxEntries || bytes >= MaxBytes || (entries > 0 && now - begunAt >= MaxAge);

    /// <summary>A checkpoint of everything applied so far was begun.</summary>
    public void Begun(long now)
    {
        begunAt = now;
        entries = 0;
        bytes = 0;
    }
}
