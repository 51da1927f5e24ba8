using Loom.Raft.Consensus;
using Loom.Raft.Replica;

namespace Loom.Raft.Reads;

/// <summary>
/// Linearizable reads on every replica (R1): all that wait share one ReadIndex round; one round is out at a time. A request that arrives after the round was
/// asked joins the next one, because the read index of the running one may be older than a write that this request must see. Then it waits for apply.
/// Refused or silent rounds are asked again, under a new context, until each request's own deadline.
/// Bound: <see cref="ReplicaOptions.MaxWaitingReads"/> → Overloaded.
/// </summary>
internal sealed class ReadBarrier(ReplicaOptions options, List<ReadCompletion> completions)
{
    private readonly Queue<(long Index, List<ReadRequest> Requests)> applying = new();
    private List<ReadRequest> gathering = [];
    private List<ReadRequest> asked = [];
    private List<ReadRequest> spare = [];
    private ulong context;
    private bool outstanding;
    private long askAt;
    private long askedAt;
    private int waiting;

    private long RetryAfter => options.HeartbeatInterval / 2;

    private long SilenceAfter => options.ElectionTimeout / 2;

    /// <summary>When <see cref="Sweep"/> is due.</summary>
    public long SweepAt { get; private set; } = long.MaxValue;

    public void Submit(long now, ReadRequest request, RaftErrorCode gate)
    {
        var refusal = gate != 0 ? gate
            : request.Deadline <= now ? RaftErrorCode.DeadlineExceeded
            : waiting >= options.MaxWaitingReads ? RaftErrorCode.Overloaded
            : 0;
        if (refusal != 0)
        {
            request.Done = true;
            completions.Add(new ReadCompletion(request, refusal, 0));
            return;
        }

        waiting++;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("R1-join-asked-round") && outstanding)
        {
            asked.Add(request);
            return;
        }
#endif
        gathering.Add(request);
        SweepAt = Math.Min(SweepAt, request.Deadline);
    }

    public void Abandon(ReadRequest request) => Complete(request, RaftErrorCode.DeadlineExceeded, 0);

    /// <summary>The context of a round to ask now, or 0. Everything gathered so far is in it.</summary>
    public ulong NextRound(long now)
    {
        if (outstanding || gathering.Count == 0 || now < askAt)
        {
            return 0;
        }

        (asked, gathering) = (gathering, asked);
        outstanding = true;
        askedAt = now;
        SweepAt = Math.Min(SweepAt, now + SilenceAfter);
        return ++context;
    }

    /// <summary>An answer of the core; one for an older round is void.</summary>
    public void OnAnswer(long now, in ReadAnswer answer, long applied)
    {
        if (!outstanding || !IsCurrent(answer.Context))
        {
            return;
        }

        if (answer.Index < 0)
        {
            AskAgain(now + RetryAfter);
            return;
        }

        outstanding = false;
        var round = asked;
        asked = spare;
        spare = [];
        var index = answer.Index;
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("R1-no-wait-for-apply"))
        {
            index = Math.Min(index, applied);
        }
#endif
        applying.Enqueue((index, round));
        OnApplied(applied);
    }

    private bool IsCurrent(ulong answered)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("R1-older-answer-counts"))
        {
            return answered <= context;
        }
#endif
        return answered == context;
    }

    /// <summary>Completes every round whose index is applied.</summary>
    public void OnApplied(long applied)
    {
        // Read indexes may fall between rounds (another leader knows less of the commit), so the order of the queue is no order of indexes.
        for (var left = applying.Count; left > 0; left--)
        {
            var round = applying.Dequeue();
            if (round.Index > applied)
            {
                applying.Enqueue(round);
                continue;
            }

            foreach (var request in round.Requests)
            {
                Complete(request, 0, round.Index);
            }

            round.Requests.Clear();
            spare = round.Requests;
        }
    }

    /// <summary>A new leader: whatever was asked of the old one is void.</summary>
    public void OnLeaderChanged(long now)
    {
        askAt = now;
        if (outstanding)
        {
            AskAgain(now);
        }
    }

    private void AskAgain(long at)
    {
        outstanding = false;
        asked.AddRange(gathering);
        gathering.Clear();
        (asked, gathering) = (gathering, asked);
        askAt = at;
        SweepAt = Math.Min(SweepAt, at);
    }

    /// <summary>Looks at deadlines and at a round that nobody answers.</summary>
    public void Sweep(long now, RaftErrorCode expired)
    {
        SweepAt = long.MaxValue;
        if (outstanding && now - askedAt >= SilenceAfter)
        {
            AskAgain(now);
        }

        if (outstanding)
        {
            SweepAt = askedAt + SilenceAfter;
        }
        else if (gathering.Count > 0 && askAt > now)
        {
            SweepAt = askAt;
        }

        SweepList(gathering, now, expired);
        SweepList(asked, now, expired);
        foreach (var round in applying)
        {
            SweepList(round.Requests, now, expired);
        }
    }

    private void SweepList(List<ReadRequest> requests, long now, RaftErrorCode expired)
    {
        var kept = 0;
        for (var i = 0; i < requests.Count; i++)
        {
            var request = requests[i];
            if (request.Deadline <= now)
            {
                Complete(request, expired, 0);
            }

            if (!request.Done)
            {
                SweepAt = Math.Min(SweepAt, request.Deadline);
                requests[kept++] = request;
            }
        }

        requests.RemoveRange(kept, requests.Count - kept);
    }

    public void FailAll(RaftErrorCode code)
    {
        outstanding = false;
        foreach (var list in (List<ReadRequest>[])[gathering, asked])
        {
            list.ForEach(request => Complete(request, code, 0));
            list.Clear();
        }

        while (applying.TryDequeue(out var round))
        {
            round.Requests.ForEach(request => Complete(request, code, 0));
        }
    }

    private void Complete(ReadRequest request, RaftErrorCode error, long index)
    {
        if (!request.Done)
        {
            request.Done = true;
            waiting--;
            completions.Add(new ReadCompletion(request, error, index));
        }
    }
}
