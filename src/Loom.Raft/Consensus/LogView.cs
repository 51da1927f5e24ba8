namespace Loom.Raft.Consensus;

/// <summary>What the core asks of its log beyond <see cref="IRaftLog"/>: comparisons, the search for a conflict, and reads shared between peers.</summary>
internal sealed class LogView(IRaftLog log)
{
    private long readFrom;
    private long readLast;
    private LogSlice cached;

    public IRaftLog Log => log;

    public long LastIndex => log.LastIndex;

    public long LastTerm => log.TermAt(log.LastIndex);

    public long TermAt(long index) => log.TermAt(index);

    /// <summary>True if the entry at <paramref name="index"/> is here and has this term; the base counts as an entry.</summary>
    public bool Holds(long index, long term) => index >= log.BaseIndex && index <= log.LastIndex && log.TermAt(index) == term;

    /// <summary>Thesis 3.6.1: a candidate with this last entry is at least as complete as the log here, unflushed entries included (L8).</summary>
    public bool IsUpToDate(long lastIndex, long lastTerm)
    {
        long term = LastTerm;
        return lastTerm > term || (lastTerm == term && lastIndex >= LastIndex);
    }

    /// <summary>
    /// The largest index ≤ <paramref name="index"/> whose term is ≤ <paramref name="term"/>: the last place where a log that ends there in that term can agree
    /// with this one. Both sides use it, so a probe skips a whole term at a time (thesis 5.3). Terms never decrease along a log: binary search.
    /// </summary>
    public long LastWithTermAtMost(long index, long term)
    {
        long low = log.BaseIndex;
        long high = Math.Min(index, log.LastIndex);
        while (low < high)
        {
            long middle = low + ((high - low + 1) / 2);
            if (log.TermAt(middle) <= term)
            {
                low = middle;
            }
            else
            {
                high = middle - 1;
            }
        }

        return low;
    }

    /// <summary>Entries from <paramref name="from"/>, for an append. All peers that stand at the same place share one read, and the leader's own proposals none.</summary>
    public LogSlice Read(long from, long maxBytes)
    {
        long last = log.LastIndex;
        if (cached.Entries is null || readFrom != from || readLast != last)
        {
            IReadOnlyList<Entry> entries = log.Read(from, last, maxBytes);
            long bytes = 0;
            for (int i = 0; i < entries.Count; i++)
            {
                bytes += entries[i].Body.Length;
            }

            Remember(from, new LogSlice(entries, bytes));
        }

        return cached;
    }

    /// <summary>These entries, just appended, are the log's last ones: the next read from there needs no copy.</summary>
    public void Remember(long from, LogSlice slice)
    {
        readFrom = from;
        readLast = log.LastIndex;
        cached = slice;
    }

    /// <summary>The log was cut or stops being this leader's: forget the shared read.</summary>
    public void Forget() => cached = default;
}

/// <summary>Consecutive entries and the bytes of their bodies.</summary>
internal readonly record struct LogSlice(IReadOnlyList<Entry> Entries, long Bytes);
