using Loom.Raft.Consensus;
using Loom.Raft.Proposals;

namespace Loom.Raft.Transport;

/// <summary>
/// What waits for a lane's sending thread, bounded in bytes (P5): when it is full the message is dropped, which consensus and the forwarder repair by asking again.
/// Two queues, because a heartbeat or a vote must pass an append in chunks; appends keep their order among themselves.
/// </summary>
internal sealed class LaneQueue(long maxBytes)
{
    private readonly object gate = new();
    private readonly Queue<object> urgent = new();
    private readonly Queue<object> ordered = new();
    private long bytes;

    /// <summary>False: full, or closed. <see cref="Message"/>, <see cref="ForwardMessage"/>.</summary>
    public bool TryEnqueue(object message, int size)
    {
        lock (gate)
        {
            // A single message above the bound may go alone, as P5 allows for entries.
            if (bytes > 0 && bytes + size > maxBytes) return false;
            bytes += size;
            (message is Message { Kind: not MessageKind.Append } ? urgent : ordered).Enqueue(message);
            return true;
        }
    }

    /// <summary>Next message, or null. While an append travels in chunks only urgent ones may pass it.</summary>
    public object? Dequeue(bool urgentOnly)
    {
        lock (gate)
        {
            if (urgent.TryDequeue(out object? message) || (!urgentOnly && ordered.TryDequeue(out message)))
            {
                bytes -= SizeOf(message);
                return message;
            }
            return null;
        }
    }

    /// <summary>Nothing stale after a gap: what waited for a connection that broke is not sent on the next one.</summary>
    public void Clear()
    {
        lock (gate)
        {
            urgent.Clear();
            ordered.Clear();
            bytes = 0;
        }
    }

    public static int SizeOf(object message) => message switch
    {
        Message consensus => MessageCodec.SizeOf(consensus),
        ForwardMessage forward => ForwardCodec.SizeOf(forward),
        _ => throw new ArgumentException("not a message of a lane", nameof(message)),
    };
}
