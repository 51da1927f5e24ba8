namespace Loom.Raft.Membership;

/// <summary>What a member's directory holds, and what its flags say of it: where <see cref="ClusterFormation"/> begins.</summary>
/// <param name="Self">This member as its configuration or its flags describe it: what a newcomer says of itself before it is in any configuration.</param>
/// <param name="ClientUrls">What it advertises.</param>
internal sealed record Standing(Member Self, IReadOnlyList<string> ClientUrls)
{
    /// <summary>It takes no part in forming a cluster: its directory is damaged or out of date, and the identity only stands in (E1); or it was told so.</summary>
    public bool Seeking { get; init; }

    /// <summary>Forming: the proposal on disk, or null.</summary>
    public Configuration? Proposal { get; init; }

    /// <summary>Formed: every configuration in the log, ascending.</summary>
    public IReadOnlyList<ConfigurationAt> Configurations { get; init; } = [];

    /// <summary>Formed: how far the log is known to be committed.</summary>
    public long Commit { get; init; }

    /// <summary>Formed: how often the directory was started, and by whom.</summary>
    public StartCount Starts { get; init; } = StartCount.None;

    /// <summary>Formed: the end of the log.</summary>
    public long LastIndex { get; init; }

    /// <summary>What is remembered of the others.</summary>
    public PeerMemory Memory { get; init; } = new();
}
