using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Raft.Threads;

namespace Loom.Raft.Host;

/// <summary>
/// What has happened and the loop has not seen. Bounded in bytes and events (P5): callers are refused, receiving threads wait (TCP passes that on to the peer),
/// and the host's own few events (flushes, applied batches, lanes) always enter, because the loop cannot go on without them.
/// </summary>
internal sealed class Inbox(Signal signal, long maxBytes = 64 * 1024 * 1024, int maxEvents = 128 * 1024)
{
    private readonly object gate = new();
    private readonly List<MemberId> heard = [];
    private List<ReplicaEvent> filling = [];
    private long bytes;
    private int waiting;
    private bool closed;

    /// <summary>A caller's event; false: full, or closed.</summary>
    public bool TryPost(ReplicaEvent happened, long size)
    {
        lock (gate)
        {
            if (closed || IsFull) return false;
            filling.Add(happened);
            bytes += size;
        }
        signal.Set();
        return true;
    }

    /// <summary>The host's own event.</summary>
    public void Post(ReplicaEvent happened)
    {
        lock (gate) filling.Add(happened);
        signal.Set();
    }

    /// <summary>A sign of life. One per peer waits at most: a peer sends as many chunks as it likes, and the second says nothing that the first did not.</summary>
    public void PostHeard(MemberId peer)
    {
        lock (gate)
        {
            if (heard.Contains(peer)) return;
            heard.Add(peer);
            filling.Add(new PeerHeard(peer));
        }
        signal.Set();
    }

    /// <summary>A peer's event: waits while the inbox is full.</summary>
    public void PostWaiting(ReplicaEvent happened, long size)
    {
        lock (gate)
        {
            waiting++;
            while (IsFull && !closed) Monitor.Wait(gate);
            waiting--;
            if (closed) return;
            filling.Add(happened);
            bytes += size;
        }
        signal.Set();
    }

    /// <summary>Loop thread: takes everything, in order; <paramref name="empty"/> is filled next.</summary>
    public List<ReplicaEvent> TakeAll(List<ReplicaEvent> empty)
    {
        lock (gate)
        {
            List<ReplicaEvent> taken = filling;
            filling = empty;
            bytes = 0;
            heard.Clear();
            if (waiting > 0) Monitor.PulseAll(gate);
            return taken;
        }
    }

    /// <summary>The first failure of a thread among what waits, left where it is; null: none.</summary>
    public Exception? Failure()
    {
        lock (gate) return filling.OfType<HostFailed>().FirstOrDefault()?.Error;
    }

    /// <summary>Nobody waits or enters any more.</summary>
    public void Close()
    {
        lock (gate)
        {
            closed = true;
            Monitor.PulseAll(gate);
        }
    }

    private bool IsFull => bytes > maxBytes || filling.Count >= maxEvents;
}
