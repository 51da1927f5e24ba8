namespace Loom.Raft.Consensus;

/// <summary>A hand-over under way (E6, thesis 3.10): to whom, whether it was told to campaign, and when it is given up.</summary>
internal sealed class Transfer
{
    public MemberId Target { get; private set; }

    public long Deadline { get; private set; } = long.MaxValue;

    public bool Ordered { get; set; }

    public bool IsActive => !Target.IsNone;

    public void Start(MemberId target, long deadline)
    {
        Target = target;
        Deadline = deadline;
        Ordered = false;
    }

    public void End()
    {
        Target = MemberId.None;
        Deadline = long.MaxValue;
        Ordered = false;
    }
}
