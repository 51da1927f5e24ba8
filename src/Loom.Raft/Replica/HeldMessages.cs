using Loom.Raft.Consensus;

namespace Loom.Raft.Replica;

/// <summary>
/// Messages that promise something which must be on disk first (L8): each is held with the write sequence that was current when it was made, and leaves
/// when that write is flushed. What belongs to an older term by then is dropped: nobody waits for it, and a match would name an entry that may be overwritten since.
/// Bounded by what peers may have in flight (P5) and one message per peer and term.
/// </summary>
internal sealed class HeldMessages
{
    private readonly Queue<(long Sequence, Message Message)> held = new();

    public void Hold(long sequence, Message message) => held.Enqueue((sequence, message));

    /// <summary>Moves what is durable to <paramref name="into"/>.</summary>
    public void Release(long durableSequence, long term, List<Message> into)
    {
        while (held.TryPeek(out var first) && IsDurable(first.Sequence, durableSequence))
        {
            held.Dequeue();
            if (first.Message.Term >= term)
            {
                into.Add(first.Message);
            }
        }
    }

    public void Clear() => held.Clear();

    private static bool IsDurable(long sequence, long durableSequence)
    {
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("L8-any-completion-releases"))
        {
            return true;
        }
#endif
        return sequence <= durableSequence;
    }
}
