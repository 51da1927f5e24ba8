using Loom.Raft.Consensus;

namespace Loom.Raft.Membership;

/// <summary>What a member is for. Values are on disk: never renumber.</summary>
public enum MemberRole : byte
{
    /// <summary>Votes, counts for commits, may lead.</summary>
    Voter = 1,

    /// <summary>A hot standby: replicates, serves reads and forwards writes, but neither votes nor counts (D12).</summary>
    Standby = 2,

    /// <summary>Catching up; not yet fit to serve.</summary>
    Learner = 3,

    /// <summary>Reserved: votes without data.</summary>
    Witness = 4,
}

/// <summary>One member of the cluster, as the configuration in the log says.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Incarnation">Random number of the life of its data directory (E1); zero: not pinned yet (a standby that was never heard).</param>
/// <param name="Name">Name, unique in the cluster.</param>
/// <param name="Datacenter">The datacenter it stands in; without one, its own name.</param>
/// <param name="Role">What it is for.</param>
/// <param name="PeerUrls">Where peers reach it, e.g. <c>http://10.0.0.1:2380</c>.</param>
/// <param name="ClientUrls">Where clients reach it, e.g. <c>http://10.0.0.1:2379</c>; may be empty while unknown.</param>
public sealed record Member(
    MemberId Id, ulong Incarnation, string Name, string Datacenter, MemberRole Role, IReadOnlyList<string> PeerUrls, IReadOnlyList<string> ClientUrls);

/// <summary>What a commit must survive (D12).</summary>
public enum PlacementGoal : byte
{
    /// <summary>A majority of the voters.</summary>
    Majority = 1,

    /// <summary>A majority of the voters, in at least two datacenters.</summary>
    TwoDatacenters = 2,
}
