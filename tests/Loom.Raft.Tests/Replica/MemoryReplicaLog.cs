using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>
/// A log in memory that forgets what was not flushed: operations go to the volatile image at once and to the durable image when their write completes.
/// </summary>
internal sealed class MemoryReplicaLog : IReplicaLog
{
    private readonly List<Action<Image>> pending = [];
    private readonly Image current;
    private readonly Image durable;
    private List<Action<Image>>? taken;
    private long sequence;
    private readonly SortedDictionary<long, long> latestWrite = [];
    private long baseWrite;

    public MemoryReplicaLog()
        : this(new Image())
    {
    }

    private MemoryReplicaLog(Image recovered)
    {
        current = recovered.Copy();
        durable = recovered.Copy();
        DurableIndex = current.LastIndex;
    }

    public HardState HardState => current.HardState;

    public long CommitHint => current.CommitHint;

    public long LastClusterTime => current.Entries.Count == 0 ? current.BaseClusterTime : current.Entries[^1].ClusterTime;

    public long BaseIndex => current.BaseIndex;

    public long LastIndex => current.LastIndex;

    public long DurableIndex { get; private set; }

    public long WriteSequence => pending.Count > 0 ? sequence + 1 : sequence;

    public long DurableSequence { get; private set; }

    public bool HasWork => pending.Count > 0 && taken is null;

    public long SizeBytes => 0;

    /// <summary>From the one in force at the base on.</summary>
    public IReadOnlyList<ConfigurationAt> Configurations(Configuration initial) => current.Configurations(initial);

    public long TermAt(long index) => index == BaseIndex ? current.BaseTerm : current[index].Term;

    public long BytesAbove(long index)
    {
        Assert.That(index, Is.GreaterThanOrEqualTo(BaseIndex));
        return current.Entries.Skip((int)(index - BaseIndex)).Sum(e => (long)e.Body.Length);
    }

    public IReadOnlyList<Entry> Read(long from, long to, long maxBytes)
    {
        var read = new List<Entry>();
        long bytes = 0;
        for (var index = from; index <= to; index++)
        {
            var entry = current[index];
            bytes += entry.Body.Length;
            if (read.Count > 0 && bytes > maxBytes)
            {
                break;
            }

            read.Add(entry);
        }

        return read;
    }

    public void Append(ReadOnlySpan<Entry> entries)
    {
        var copy = entries.ToArray();
        Do(image => image.Append(copy));
        DurableIndex = Math.Min(DurableIndex, copy[0].Index - 1);
        foreach (var entry in copy)
        {
            latestWrite[entry.Index] = sequence + 1;
        }
    }

    public void TruncateBelow(long index)
    {
        Assert.That(index, Is.LessThanOrEqualTo(DurableIndex), "truncated beyond what is durable");
        if (index > BaseIndex)
        {
            Do(image => image.MoveBase(index));
        }
    }

    public void Install(long index, long term, ConfigurationAt configuration, long clusterTime)
    {
        Assert.That(index, Is.GreaterThan(BaseIndex));
        baseWrite = sequence + 1;
        if (index <= LastIndex && TermAt(index) == term)
        {
            Do(image => image.MoveBase(index));
            return;
        }

        Do(image => image.Restart(index, term, configuration, clusterTime));
        DurableIndex = Math.Min(DurableIndex, index - 1);
        latestWrite.Clear();
    }

    public void SaveHardState(HardState state) => Do(image => image.HardState = state);

    public void SaveCommitHint(long index) => Do(image => image.CommitHint = index);

    /// <summary>The sequence of the batch that goes to disk now.</summary>
    public long TakeBatch()
    {
        Assert.That(HasWork);
        taken = [.. pending];
        pending.Clear();
        return ++sequence;
    }

    public void Completed(long completed, Exception? error)
    {
        Assert.That(completed, Is.EqualTo(sequence));
        if (error is null)
        {
            taken!.ForEach(operation => operation(durable));
            DurableSequence = completed;
            if (DurableIndex < BaseIndex && baseWrite <= completed)
            {
                DurableIndex = BaseIndex;
            }

            while (DurableIndex >= BaseIndex && DurableIndex < LastIndex && (!latestWrite.TryGetValue(DurableIndex + 1, out var write) || write <= completed))
            {
                DurableIndex++;
            }
        }

        taken = null;
    }

    public void AdvanceApplied(long index) => Assert.That(index, Is.LessThanOrEqualTo(DurableIndex), "applied beyond what is durable (L9)");

    /// <summary>What a new process finds after a power cut.</summary>
    public MemoryReplicaLog Reopen() => new(durable);

    private void Do(Action<Image> operation)
    {
        pending.Add(operation);
        operation(current);
    }

    private sealed class Image
    {
        private ConfigurationAt? baseConfiguration;

        public List<Entry> Entries { get; } = [];

        public long BaseIndex { get; private set; }

        public long BaseTerm { get; private set; }

        public long BaseClusterTime { get; private set; }

        public HardState HardState { get; set; }

        public long CommitHint { get; set; }

        public long LastIndex => BaseIndex + Entries.Count;

        public Entry this[long index] => Entries[(int)(index - BaseIndex) - 1];

        public IReadOnlyList<ConfigurationAt> Configurations(Configuration initial) =>
        [
            baseConfiguration ?? new ConfigurationAt(0, initial),
            .. Entries.Where(e => e.Kind == EntryKind.Configuration).Select(e => new ConfigurationAt(e.Index, ConfigurationCodec.Decode(e.Body.Span))),
        ];

        public void Append(Entry[] entries)
        {
            var from = (int)(entries[0].Index - BaseIndex) - 1;
            Entries.RemoveRange(from, Entries.Count - from);
            Entries.AddRange(entries);
        }

        public void MoveBase(long index)
        {
            foreach (var entry in Entries.Where(e => e.Kind == EntryKind.Configuration && e.Index <= index))
            {
                baseConfiguration = new ConfigurationAt(entry.Index, ConfigurationCodec.Decode(entry.Body.Span));
            }

            (BaseTerm, BaseClusterTime) = (this[index].Term, this[index].ClusterTime);
            Entries.RemoveRange(0, (int)(index - BaseIndex));
            BaseIndex = index;
        }

        public void Restart(long index, long term, ConfigurationAt configuration, long clusterTime)
        {
            Entries.Clear();
            (BaseIndex, BaseTerm, BaseClusterTime, baseConfiguration) = (index, term, clusterTime, configuration);
        }

        public Image Copy()
        {
            var copy = new Image
            {
                HardState = HardState, CommitHint = CommitHint, BaseIndex = BaseIndex, BaseTerm = BaseTerm, BaseClusterTime = BaseClusterTime, baseConfiguration = baseConfiguration,
            };
            copy.Entries.AddRange(Entries);
            return copy;
        }
    }
}
