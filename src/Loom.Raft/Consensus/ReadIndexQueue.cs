namespace Loom.Raft.Consensus;

/// <summary>
/// R1 on the leader: read requests in order of arrival, each with the index it must see and the first round that was sent after it arrived.
/// All requests of a moment share a round. Bounded: beyond the limit a request is refused, and its replica asks again.
/// </summary>
internal sealed class ReadIndexQueue
{
    private const int Limit = 4096;

    private readonly Queue<PendingRead> requests = new();
    private long newestRound;

    public bool IsEmpty => requests.Count == 0;

    public bool IsFull => requests.Count >= Limit;

    /// <summary>True if some request waits for a round that was not sent yet.</summary>
    public bool NeedsRoundAfter(long sentRound) => requests.Count > 0 && newestRound > sentRound;

    public void Add(in PendingRead request)
    {
        requests.Enqueue(request);
        newestRound = request.Round;
    }

    /// <summary>Takes the oldest request if its round is confirmed.</summary>
    public bool TryTakeConfirmed(long confirmedRound, out PendingRead request)
    {
        if (requests.TryPeek(out request) && request.Round <= confirmedRound)
        {
            requests.Dequeue();
            return true;
        }

        return false;
    }

    /// <summary>Takes the oldest request, confirmed or not: to refuse it at the end of leadership.</summary>
    public bool TryTake(out PendingRead request) => requests.TryDequeue(out request);
}

/// <summary>One request: who asked, under which name, what it must see, and which round must be confirmed.</summary>
internal readonly record struct PendingRead(MemberId From, ulong Incarnation, ulong Context, long Index, long Round);
