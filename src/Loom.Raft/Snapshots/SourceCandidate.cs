using Loom.Raft.Consensus;

namespace Loom.Raft.Snapshots;

/// <summary>A member that may give its state.</summary>
/// <param name="Id">Its id.</param>
/// <param name="SameDatacenter">It stands in this member's datacenter.</param>
/// <param name="IsLeader">It leads: asked last (it has enough to do).</param>
/// <param name="Connected">Its control lane is up.</param>
/// <param name="RttMilliseconds">Round trip, or NaN.</param>
internal readonly record struct SourceCandidate(MemberId Id, bool SameDatacenter, bool IsLeader, bool Connected, double RttMilliseconds);
