using System.Diagnostics;

namespace Loom.Server.Demo;

/// <summary>One acknowledged write: the revision that the answer named, and what was written there.</summary>
/// <param name="Key">The key.</param>
/// <param name="Revision">Revision of the answer.</param>
/// <param name="ValueHash">Hash of the value; 0 with <paramref name="Deleted"/>.</param>
/// <param name="Deleted">The key was deleted at that revision.</param>
internal readonly record struct AcknowledgedWrite(string Key, long Revision, ulong ValueHash, bool Deleted);

/// <summary>What the applications were promised, kept outside of every node: the audit holds the replicas to it. Safe from any thread.</summary>
internal sealed class DemoLedger
{
    private readonly Lock gate = new();
    private readonly List<AcknowledgedWrite> writes = [];
    private long lastAcknowledged;
    private double longestPause;
    private long unknown;
    private long localReads;

    /// <summary>Acknowledged transactions: one per answer, however many keys it wrote.</summary>
    public long Acknowledged { get; private set; }

    public long Unknown => Interlocked.Read(ref unknown);

    public long LocalReads => Interlocked.Read(ref localReads);

    public double LongestPauseMilliseconds
    {
        get
        {
            lock (gate)
            {
                return longestPause;
            }
        }
    }

    public void Acknowledge(IReadOnlyList<AcknowledgedWrite> batch)
    {
        lock (gate)
        {
            NotePause();
            Acknowledged++;
            writes.AddRange(batch);
        }
    }

    /// <summary>An error that does not say what happened to the write. It is neither acknowledged nor lost.</summary>
    public void CountUnknown() => Interlocked.Increment(ref unknown);

    public void CountRead() => Interlocked.Increment(ref localReads);

    /// <summary>Traffic stands still on purpose (start, pause key): the time until the next answer is not a pause of the cluster.</summary>
    public void ForgetPause()
    {
        lock (gate)
        {
            lastAcknowledged = 0;
        }
    }

    /// <summary>Counts the time since the last acknowledgement too: a cluster that never answers again must not look good.</summary>
    public void CloseLastPause()
    {
        lock (gate)
        {
            NotePause();
        }
    }

    public IReadOnlyList<AcknowledgedWrite> Writes()
    {
        lock (gate)
        {
            return [.. writes];
        }
    }

    private void NotePause()
    {
        long now = Stopwatch.GetTimestamp();
        if (lastAcknowledged != 0)
        {
            longestPause = Math.Max(longestPause, Stopwatch.GetElapsedTime(lastAcknowledged, now).TotalMilliseconds);
        }

        lastAcknowledged = now;
    }
}
