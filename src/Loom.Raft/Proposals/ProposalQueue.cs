using Loom.Raft.Replica;

namespace Loom.Raft.Proposals;

/// <summary>
/// Proposals that wait for a place in the window or for a session, and the count of payload bytes of everything unsettled: where the bounds of P5 are kept.
/// What restarts after the end of a session goes first. Abandoned ones are skipped when their turn comes.
/// </summary>
internal sealed class ProposalQueue(ReplicaOptions options)
{
    private readonly Queue<Pending> waiting = new();
    private readonly Queue<Pending> restarted = new();
    private long bytes;

    public int Count => waiting.Count + restarted.Count;

    /// <summary>The reserve lets a full system still delete, compact and change members (S6).</summary>
    public bool IsFull(ProposalRequest request)
    {
        var reserved = request.Priority == ProposalPriority.Reserved;
        var places = options.MaxWaitingProposals + (reserved ? options.MaxWaitingProposals / 8 : 0);
        var room = options.MaxProposalQueueBytes + (reserved ? options.MaxProposalQueueBytes / 8 : 0);
        return waiting.Count >= places || bytes + request.Payload.Length > room;
    }

    public void Enqueue(Pending pending)
    {
        bytes += pending.Payload.Length;
        waiting.Enqueue(pending);
    }

    /// <summary>Its bytes are counted already.</summary>
    public void Restart(Pending pending) => restarted.Enqueue(pending);

    /// <summary>Its bytes are free again: it is settled, or nobody waits for it any more.</summary>
    public void Release(Pending pending) => bytes -= pending.Payload.Length;

    /// <summary>The next one that somebody still waits for.</summary>
    public Pending? Take() => Take(restarted) ?? Take(waiting);

    /// <summary>Every one that waits; abandoned ones too.</summary>
    public void ForEach(Action<Pending> act)
    {
        foreach (var pending in waiting)
        {
            act(pending);
        }

        foreach (var pending in restarted)
        {
            act(pending);
        }
    }

    private static Pending? Take(Queue<Pending> queue)
    {
        while (queue.TryDequeue(out var pending))
        {
            if (pending.State == PendingState.Waiting)
            {
                return pending;
            }
        }

        return null;
    }
}
