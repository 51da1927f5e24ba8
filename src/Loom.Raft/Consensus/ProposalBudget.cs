namespace Loom.Raft.Consensus;

/// <summary>
/// P5 on the leader: bytes appended in this term and not committed, and bytes committed and not applied here, each at most the limit. Beyond either,
/// proposals are refused (NotApplied, Overloaded). One entry larger than the limit may go when nothing else is out.
/// </summary>
internal sealed class ProposalBudget(long limit)
{
    /// <summary>An entry without a body costs memory too.</summary>
    private const long EntryOverhead = 64;

    private readonly Queue<(long Index, long Bytes)> uncommitted = new();
    private readonly Queue<(long Index, long Bytes)> unapplied = new();
    private long uncommittedBytes;
    private long unappliedBytes;

    public static long CostOf(int bodyLength) => bodyLength + EntryOverhead;

    /// <param name="cost">Cost of the entry.</param>
    /// <param name="sofar">Cost of entries admitted in this step and not yet added.</param>
    public bool Admits(long cost, long sofar)
    {
        long held = uncommittedBytes + sofar;
        return (held == 0 || held + cost <= limit) && unappliedBytes <= limit;
    }

    public void Add(long lastIndex, long cost)
    {
        uncommitted.Enqueue((lastIndex, cost));
        uncommittedBytes += cost;
    }

    public void Committed(long index)
    {
        while (uncommitted.TryPeek(out (long Index, long Bytes) first) && first.Index <= index)
        {
            uncommitted.Dequeue();
            uncommittedBytes -= first.Bytes;
            unapplied.Enqueue(first);
            unappliedBytes += first.Bytes;
        }
    }

    public void Applied(long index)
    {
        while (unapplied.TryPeek(out (long Index, long Bytes) first) && first.Index <= index)
        {
            unapplied.Dequeue();
            unappliedBytes -= first.Bytes;
        }
    }

    public void Clear()
    {
        uncommitted.Clear();
        unapplied.Clear();
        uncommittedBytes = 0;
        unappliedBytes = 0;
    }
}
