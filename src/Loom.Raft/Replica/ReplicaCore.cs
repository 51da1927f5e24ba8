namespace Loom.Raft.Replica;

/// <summary>
/// One replica without threads, tasks or sockets (T2): joins the consensus core, the durable log, the applier's hand-over, proposals and reads.
/// Single-threaded: its driver calls <see cref="Step(long, ReadOnlySpan{ReplicaEvent})"/> and carries out the effects.
/// </summary>
internal sealed class ReplicaCore(ReplicaOptions options)
{
    private readonly ReplicaEffects effects = new();

    public ReplicaOptions Options { get; } = options;

    /// <summary>Takes events in order and returns what to do about them; valid until the next call.</summary>
    public ReplicaEffects Step(long now, ReadOnlySpan<ReplicaEvent> events)
    {
        effects.Clear();
        effects.NextWake = now;
        return effects;
    }

    /// <summary>One event.</summary>
    public ReplicaEffects Step(long now, ReplicaEvent one) => Step(now, new ReadOnlySpan<ReplicaEvent>(in one));

    /// <summary>A picture of this replica; host adds what the connections know.</summary>
    public RaftNodeStatus CaptureStatus() => new() { ClusterId = Options.ClusterId, MemberId = Options.Id };
}
