namespace Loom.Raft.Consensus;

/// <summary>
/// Read requests that this member sent to its leader, oldest first. Bounded in number and in time: what the leader does not answer within E,
/// or before the leader changes, is refused here, and the replica asks again.
/// </summary>
internal sealed class ForwardedReads
{
    private const int Limit = 4096;

    private readonly List<(ulong Context, long Deadline)> waiting = [];

    public bool IsFull => waiting.Count >= Limit;

    public long NextDeadline => waiting.Count == 0 ? long.MaxValue : waiting[0].Deadline;

    public void Add(ulong context, long deadline) => waiting.Add((context, deadline));

    /// <summary>False if it is not awaited (any more).</summary>
    public bool Remove(ulong context)
    {
        // Answers come in the order of the requests, so the first is nearly always the one.
        for (int i = 0; i < waiting.Count; i++)
        {
            if (waiting[i].Context == context)
            {
                waiting.RemoveAt(i);
                return true;
            }
        }

        return false;
    }

    /// <summary>Refuses all whose time has come; with <see cref="long.MaxValue"/>, all.</summary>
    public void Refuse(long now, List<ReadAnswer> into)
    {
        int due = 0;
        while (due < waiting.Count && waiting[due].Deadline <= now)
        {
            into.Add(new ReadAnswer(waiting[due].Context, -1));
            due++;
        }

        waiting.RemoveRange(0, due);
    }
}
