namespace Loom.Raft.Consensus;

/// <summary>
/// T5: cluster time is the stamp of the last entry plus the time that this leader can prove to have led, and what has passed since the last proof, at most E. It never runs faster than the clock
/// and never reads a wall clock, so a lease may outlive its time to live by fail-overs and pauses, but never ends early.
/// What has passed since the last proof counts, or an entry would be stamped with the time of the last round: a lease that it grants would be due that much too early.
/// Such an entry proves by its own commit that its leader led until then.
/// </summary>
internal sealed class ClusterTime(long lastStamp, long capNanoseconds)
{
    private long baseStamp;
    private long elapsed;
    private long confirmedAt;
#if LOOM_MUTATIONS
    private long ledSince;
#endif

    /// <summary>Stamp of the last entry in the log.</summary>
    public long Last { get; private set; } = lastStamp;

    /// <summary>The last entry of the log is now one with this stamp (also after a cut: then the stamp may go back).</summary>
    public void Appended(long stamp) => Last = stamp;

    public void StartLeading(long now)
    {
        baseStamp = Last;
        elapsed = 0;
        confirmedAt = now;
#if LOOM_MUTATIONS
        ledSince = now;
#endif
    }

    /// <summary>A round was confirmed by a CommitQuorum: the time since the last one counts, at most E of it (a paused leader's pause does not).</summary>
    public void Confirmed(long now)
    {
        long since = now - confirmedAt;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("T5-uncapped"))
        {
            elapsed += since;
            confirmedAt = now;
            return;
        }
#endif
        elapsed += Math.Clamp(since, 0, capNanoseconds);
        confirmedAt = now;
    }

    /// <summary>What an entry appended now is stamped with.</summary>
    public long StampAt(long now)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("T5-wall-clock"))
        {
            return Math.Max(Last, now);
        }

        if (Diagnostics.Mutations.On("T5-unconfirmed-time"))
        {
            return Math.Max(Last, baseStamp + (now - ledSince));
        }

        if (Diagnostics.Mutations.On("T5-stamp-of-last-round"))
        {
            return Math.Max(Last, baseStamp + elapsed);
        }
#endif
        return Math.Max(Last, baseStamp + elapsed + Math.Clamp(now - confirmedAt, 0, capNanoseconds));
    }
}
