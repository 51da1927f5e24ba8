namespace Loom.Store.Snapshots;

/// <summary>
/// The captures that are being read: while there is one, compaction trims nothing, so that each finds what it captured. Bounded: after ten minutes of cluster time (T5) a capture ends,
/// and its reader is told. No entries, no cluster time, but then there is nothing to trim either. Guarded by the machine's lock.
/// </summary>
internal sealed class OpenCaptures
{
    /// <summary>How long compaction waits for one, in ns of cluster time.</summary>
    public const long LimitNanoseconds = 600_000_000_000;

    private readonly List<(StateSnapshot Snapshot, long Since)> open = [];

    public bool Any => open.Count > 0;

    /// <summary>Captured at a cluster time; 0: none is known yet, so it counts from the next entry on.</summary>
    public void Add(StateSnapshot snapshot, long clusterTime) => open.Add((snapshot, clusterTime));

    /// <summary>True: it was the last one, so compaction goes on.</summary>
    public bool Remove(StateSnapshot snapshot) => open.RemoveAll(capture => capture.Snapshot == snapshot) > 0 && !Any;

    /// <summary>Ends those that are too old. True: it was the last one, so compaction goes on.</summary>
    public bool Expire(long clusterTime)
    {
        int before = open.Count;
        for (int i = open.Count - 1; i >= 0; i--)
        {
            (StateSnapshot snapshot, long since) = open[i];
            if (since == 0)
            {
                open[i] = (snapshot, clusterTime);
            }
            else if (clusterTime - since >= LimitNanoseconds)
            {
                snapshot.End("it is older than ten minutes, and compaction cannot wait longer");
                open.RemoveAt(i);
            }
        }

        return before > 0 && !Any;
    }

    /// <summary>Ends all: the state that they captured is replaced or closed.</summary>
    public void EndAll(string why)
    {
        foreach ((StateSnapshot snapshot, _) in open)
        {
            snapshot.End(why);
        }

        open.Clear();
    }
}
