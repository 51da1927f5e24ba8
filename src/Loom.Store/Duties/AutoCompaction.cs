namespace Loom.Store.Duties;

/// <summary>
/// Which revision to compact at, by age or by count, as etcd decides it. Every member keeps the samples, so that a new leader goes on where the old one stopped; only the leader proposes.
/// By age: the newest revision that is at least the period old, for the first time after one period, then every period or hour, whichever is less.
/// By count: every five minutes all but the newest so many revisions, and sooner when 100,000 more than these have come together: two million that are dropped at once every five minutes
/// hold up whoever writes meanwhile, and take disk and memory until then.
/// A pure function of the times handed in (T1): monotonic, in milliseconds.
/// </summary>
/// <param name="period">Keep this much history; zero: not by age.</param>
/// <param name="revisions">Keep so many revisions; 0: not by count.</param>
internal sealed class AutoCompaction(TimeSpan period, long revisions)
{
    private const long RevisionInterval = 5 * 60_000;
    private const long LongestInterval = 60 * 60_000;
    private const int SamplesPerInterval = 10;
    private const long MostBeyond = 100_000;

    private readonly long keep = (long)period.TotalMilliseconds;
    private readonly Queue<(long At, long Revision)> samples = new();
    private long sampledAt = long.MinValue;
    private long doneAt = long.MinValue;
    private long triedAt = long.MinValue;
    private bool compactedOnce;

    public bool IsOn => keep > 0 || revisions > 0;

    private long Interval => keep > 0 ? Math.Min(keep, LongestInterval) : RevisionInterval;

    /// <summary>Between two tries, and between two samples.</summary>
    private long Pause => Math.Max(1, Interval / SamplesPerInterval);

    /// <summary>The revision to compact at now, or 0. Say <see cref="Done"/> when it is; otherwise it is asked for again a tenth of the interval later.</summary>
    public long Look(long now, bool leads, long revision, long compacted)
    {
        if (!IsOn)
        {
            return 0;
        }

        if (doneAt == long.MinValue)
        {
            doneAt = now;
        }

        Sample(now, revision);
        long wait = keep > 0 && !compactedOnce ? keep : Interval;
        bool isDue = now - doneAt >= wait || (revisions > 0 && revision - revisions - Math.Max(0, compacted) >= MostBeyond);
        if (!leads || !isDue || (triedAt != long.MinValue && now - triedAt < Pause))
        {
            return 0;
        }

        long target = keep > 0 ? Oldest(now) : revision - revisions;
        if (target <= Math.Max(0, compacted))
        {
            return 0;
        }

        triedAt = now;
        return target;
    }

    /// <summary>It is compacted, by us or by somebody else.</summary>
    public void Done(long now)
    {
        doneAt = now;
        triedAt = long.MinValue;
        compactedOnce = true;
    }

    private void Sample(long now, long revision)
    {
        if (keep <= 0 || (sampledAt != long.MinValue && now - sampledAt < Pause))
        {
            return;
        }

        sampledAt = now;
        samples.Enqueue((now, revision));

        // The newest that is old enough is asked for: one such is kept in front.
        while (samples.Count > 1 && now - Second().At >= keep)
        {
            samples.Dequeue();
        }
    }

    private (long At, long Revision) Second()
    {
        using Queue<(long At, long Revision)>.Enumerator each = samples.GetEnumerator();
        each.MoveNext();
        each.MoveNext();
        return each.Current;
    }

    private long Oldest(long now) => samples.TryPeek(out (long At, long Revision) oldest) && now - oldest.At >= keep ? oldest.Revision : 0;
}
