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

    public MemoryReplicaLog()
        : this(new Image())
    {
    }

    private MemoryReplicaLog(Image recovered)
    {
        current = recovered.Copy();
        durable = recovered.Copy();
        DurableIndex = current.Entries.Count;
    }

    public HardState HardState => current.HardState;

    public long CommitHint => current.CommitHint;

    public long LastClusterTime => current.Entries.Count == 0 ? 0 : current.Entries[^1].ClusterTime;

    public IReadOnlyList<Entry> All => current.Entries;

    public long BaseIndex => 0;

    public long LastIndex => current.Entries.Count;

    public long DurableIndex { get; private set; }

    public long WriteSequence => pending.Count > 0 ? sequence + 1 : sequence;

    public long DurableSequence { get; private set; }

    public bool HasWork => pending.Count > 0 && taken is null;

    public long SizeBytes => 0;

    public long TermAt(long index) => index == 0 ? 0 : current.Entries[(int)index - 1].Term;

    public IReadOnlyList<Entry> Read(long from, long to, long maxBytes)
    {
        var read = new List<Entry>();
        long bytes = 0;
        for (var index = from; index <= to; index++)
        {
            var entry = current.Entries[(int)index - 1];
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

    public void TruncateBelow(long index) => throw new NotSupportedException("comes with checkpoints");

    public void Install(long index, long term, ConfigurationAt configuration, long clusterTime) => throw new NotSupportedException("comes with checkpoints");

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
            while (DurableIndex < LastIndex && (!latestWrite.TryGetValue(DurableIndex + 1, out var write) || write <= completed))
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
        public List<Entry> Entries { get; } = [];

        public HardState HardState { get; set; }

        public long CommitHint { get; set; }

        public void Append(Entry[] entries)
        {
            var from = (int)entries[0].Index - 1;
            Entries.RemoveRange(from, Entries.Count - from);
            Entries.AddRange(entries);
        }

        public Image Copy()
        {
            var copy = new Image { HardState = HardState, CommitHint = CommitHint };
            copy.Entries.AddRange(Entries);
            return copy;
        }
    }
}
