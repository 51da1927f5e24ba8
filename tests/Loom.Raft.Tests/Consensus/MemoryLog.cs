using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Tests.Consensus;

/// <summary>A log in memory whose flushes the test orders: what was not flushed is lost at a crash, term and vote included (one stream, as in the real one).</summary>
internal sealed class MemoryLog(Configuration initial) : IRaftLog
{
    private readonly List<Entry> entries = [];
    private readonly List<long> writtenBy = [];
    private List<(long Sequence, Action<MemoryLog> Write)> stream = [];
    private long baseTerm;
    private long baseClusterTime;
    private long baseWrittenBy;

    /// <summary>Sequence of the last write.</summary>
    public long Written { get; private set; }

    /// <summary>Every write up to this sequence survives a crash.</summary>
    public long Flushed { get; private set; }

    public HardState HardState { get; private set; }

    public long CommitHint { get; private set; }

    public IReadOnlyList<Entry> Entries => entries;

    public Entry this[long index] => entries[(int)(index - BaseIndex) - 1];

    /// <summary>In force at the base.</summary>
    public ConfigurationAt BaseConfiguration { get; private set; } = new(0, initial);

    public IReadOnlyList<ConfigurationAt> Configurations =>
        [BaseConfiguration, .. entries.Where(e => e.Kind == EntryKind.Configuration).Select(e => new ConfigurationAt(e.Index, ConfigurationCodec.Decode(e.Body.Span)))];

    public long LastClusterTime => ClusterTimeAt(LastIndex);

    public long BaseIndex { get; private set; }

    public long LastIndex => BaseIndex + entries.Count;

    public long DurableIndex { get; private set; }

    public long TermAt(long index) => index == BaseIndex ? baseTerm : this[index].Term;

    public long ClusterTimeAt(long index) => index == BaseIndex ? baseClusterTime : this[index].ClusterTime;

    public IReadOnlyList<Entry> Read(long from, long to, long maxBytes)
    {
        var result = new List<Entry>();
        long bytes = 0;
        for (long i = from; i <= to; i++)
        {
            Entry entry = this[i];
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
        Entry[] copy = appended.ToArray();
        Write(log => log.DoAppend(copy));
    }

    public void SaveHardState(HardState state) => Write(log => log.HardState = state);

    /// <summary>In the stream too: a hint that survives the entries it speaks of would call what they had overwritten committed.</summary>
    public void SaveCommitHint(long index) => Write(log => log.CommitHint = Math.Max(log.CommitHint, index));

    public void TruncateBelow(long index)
    {
        if (index > DurableIndex)
        {
            throw new ArgumentOutOfRangeException(nameof(index), index, $"only {DurableIndex} is durable");
        }

        if (index > BaseIndex)
        {
            Write(log => log.MoveBase(index));
        }
    }

    public void Install(long index, long term, ConfigurationAt configuration, long clusterTime)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(index, BaseIndex);
        if (index <= LastIndex && TermAt(index) == term)
        {
            Write(log => log.MoveBase(index));
        }
        else
        {
            Write(log => log.Restart(index, term, configuration, clusterTime));
        }
    }

    /// <summary>The writes up to a sequence are on disk now.</summary>
    public void CompleteFlush(long sequence)
    {
        Flushed = Math.Max(Flushed, sequence);
        if (DurableIndex < BaseIndex && baseWrittenBy <= Flushed)
        {
            DurableIndex = BaseIndex;
        }

        while (DurableIndex >= BaseIndex && DurableIndex < LastIndex && writtenBy[(int)(DurableIndex - BaseIndex)] <= Flushed)
        {
            DurableIndex++;
        }
    }

    /// <summary>Power is lost: only flushed writes come back.</summary>
    public void Crash()
    {
        List<(long Sequence, Action<MemoryLog> Write)> kept = stream.FindAll(w => w.Sequence <= Flushed);
        stream = [];
        entries.Clear();
        writtenBy.Clear();
        (BaseIndex, DurableIndex, baseTerm, baseClusterTime, baseWrittenBy, CommitHint) = (0, 0, 0, 0, 0, 0);
        BaseConfiguration = new ConfigurationAt(0, initial);
        HardState = default;
        Written = 0;
        foreach ((_, Action<MemoryLog> write) in kept)
        {
            Write(write);
        }

        CompleteFlush(Written);
    }

    private void Write(Action<MemoryLog> write)
    {
        stream.Add((++Written, write));
        write(this);
    }

    private void MoveBase(long index)
    {
        foreach (ConfigurationAt configuration in Configurations.Where(c => c.Index <= index))
        {
            BaseConfiguration = configuration;
        }

        (baseTerm, baseClusterTime, baseWrittenBy) = (TermAt(index), this[index].ClusterTime, Written);
        entries.RemoveRange(0, (int)(index - BaseIndex));
        writtenBy.RemoveRange(0, (int)(index - BaseIndex));
        BaseIndex = index;
    }

    private void Restart(long index, long term, ConfigurationAt configuration, long clusterTime)
    {
        entries.Clear();
        writtenBy.Clear();
        (BaseIndex, baseTerm, baseClusterTime, baseWrittenBy) = (index, term, clusterTime, Written);
        BaseConfiguration = configuration;
        DurableIndex = Math.Min(DurableIndex, index - 1);
    }

    private void DoAppend(Entry[] appended)
    {
        int keep = (int)(appended[0].Index - BaseIndex) - 1;
        if (keep < 0 || keep > entries.Count)
        {
            throw new InvalidOperationException($"a gap: {appended[0].Index} in a log that holds {BaseIndex + 1} to {LastIndex}");
        }

        entries.RemoveRange(keep, entries.Count - keep);
        writtenBy.RemoveRange(keep, writtenBy.Count - keep);
        DurableIndex = Math.Min(DurableIndex, BaseIndex + keep);
        foreach (Entry entry in appended)
        {
            if (entry.Index != LastIndex + 1)
            {
                throw new InvalidOperationException($"not consecutive: {entry.Index} after {LastIndex}");
            }

            entries.Add(entry);
            writtenBy.Add(Written);
        }
    }
}
