using Loom.Raft.Consensus;

namespace Loom.Raft.Tests.Consensus;

/// <summary>A log in memory whose flushes the test orders: what was not flushed is lost at a crash, term and vote included (one stream, as in the real one).</summary>
internal sealed class MemoryLog : IRaftLog
{
    private readonly List<Entry> entries = [];
    private readonly List<long> writtenBy = [];
    private List<(long Sequence, HardState? HardState, Entry[]? Entries, long CommitHint)> stream = [];

    /// <summary>Sequence of the last write.</summary>
    public long Written { get; private set; }

    /// <summary>Every write up to this sequence survives a crash.</summary>
    public long Flushed { get; private set; }

    public HardState HardState { get; private set; }

    public long CommitHint { get; private set; }

    public IReadOnlyList<Entry> Entries => entries;

    public long BaseIndex => 0;

    public long LastIndex => entries.Count;

    public long DurableIndex { get; private set; }

    public long TermAt(long index) => index == 0 ? 0 : entries[(int)index - 1].Term;

    public IReadOnlyList<Entry> Read(long from, long to, long maxBytes)
    {
        var result = new List<Entry>();
        long bytes = 0;
        for (long i = from; i <= to; i++)
        {
            Entry entry = entries[(int)i - 1];
            bytes += entry.Body.Length;
            if (result.Count > 0 && bytes > maxBytes)
            {
                break;
            }

            result.Add(entry);
        }

        return result;
    }

    public void Append(ReadOnlySpan<Entry> appended)
    {
        stream.Add((++Written, null, appended.ToArray(), 0));
        Install(appended, Written);
    }

    public void SaveHardState(HardState state)
    {
        stream.Add((++Written, state, null, 0));
        HardState = state;
    }

    /// <summary>In the stream too: a hint that survives the entries it speaks of would call what they had overwritten committed.</summary>
    public void SaveCommitHint(long index)
    {
        stream.Add((++Written, null, null, index));
        CommitHint = index;
    }

    /// <summary>The writes up to a sequence are on disk now.</summary>
    public void CompleteFlush(long sequence)
    {
        Flushed = Math.Max(Flushed, sequence);
        while (DurableIndex < LastIndex && writtenBy[(int)DurableIndex] <= Flushed)
        {
            DurableIndex++;
        }
    }

    /// <summary>Power is lost: only flushed writes come back.</summary>
    public void Crash()
    {
        stream = stream.FindAll(w => w.Sequence <= Flushed);
        Written = Flushed;
        entries.Clear();
        writtenBy.Clear();
        DurableIndex = 0;
        HardState = default;
        CommitHint = 0;
        foreach ((long sequence, HardState? hardState, Entry[]? written, long hint) in stream)
        {
            HardState = hardState ?? HardState;
            CommitHint = Math.Max(CommitHint, hint);
            if (written is not null)
            {
                Install(written, sequence);
            }
        }

        CompleteFlush(Flushed);
    }

    private void Install(ReadOnlySpan<Entry> appended, long sequence)
    {
        int keep = (int)appended[0].Index - 1;
        if (keep > entries.Count)
        {
            throw new InvalidOperationException($"a gap: {appended[0].Index} after {entries.Count}");
        }

        entries.RemoveRange(keep, entries.Count - keep);
        writtenBy.RemoveRange(keep, writtenBy.Count - keep);
        DurableIndex = Math.Min(DurableIndex, keep);
        foreach (Entry entry in appended)
        {
            if (entry.Index != entries.Count + 1)
            {
                throw new InvalidOperationException($"not consecutive: {entry.Index} after {entries.Count}");
            }

            entries.Add(entry);
            writtenBy.Add(sequence);
        }
    }
}
