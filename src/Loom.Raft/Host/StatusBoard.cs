using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Topology;

namespace Loom.Raft.Host;

/// <summary>The latest picture of the replica: written by the loop, read by anyone without a lock. Whoever waits for a state is woken when it changes.</summary>
internal sealed class StatusBoard(MemberId self, Configuration configuration)
{
    private readonly object gate = new();
    private volatile RaftNodeStatus status = new() { MemberId = self };
    private volatile Configuration inForce = configuration;
    private volatile TaskCompletionSource? changed;
    private long loopStalls;
    private long leaderChanges;
    private string placement = "";
    private MemberId lastLeader;
    private long lastLeaderTerm;

    public RaftNodeStatus Status => status;

    public Configuration Configuration => inForce;

    /// <summary>Times the loop was more than E/4 late (N4).</summary>
    public long LoopStalls
    {
        get => Interlocked.Read(ref loopStalls);
        set => Interlocked.Exchange(ref loopStalls, value);
    }

    /// <summary>Leaders that were seen to begin.</summary>
    public long LeaderChanges => Interlocked.Read(ref leaderChanges);

    public void Publish(RaftNodeStatus next, Configuration configuration)
    {
        if (next.ClusterId != 0 && (placement.Length == 0 || !ReferenceEquals(configuration, inForce))) placement = PlacementProof.Of(configuration).Sentence;
        if (!next.Leader.IsNone && (next.Leader != lastLeader || next.Term != lastLeaderTerm))
        {
            (lastLeader, lastLeaderTerm) = (next.Leader, next.Term);
            _ = Interlocked.Increment(ref leaderChanges);
        }
        status = next with { Placement = placement };
        inForce = configuration;
        // Pairs with the lock in Changed: without it this read may pass the write of the status (on x86 too), and a waiter that asked in between sleeps on.
        Interlocked.MemoryBarrier();
        if (changed is null) return;
        TaskCompletionSource? waiting;
        lock (gate)
        {
            waiting = changed;
            changed = null;
        }
        _ = waiting?.TrySetResult();
    }

    /// <summary>Completes at the next publication. Ask before looking at the status, or the change may come between.</summary>
    public Task Changed()
    {
        lock (gate) return (changed ??= new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).Task;
    }
}
