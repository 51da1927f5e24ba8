using Loom.Raft.Consensus;

namespace Loom.Raft;

/// <summary>A snapshot on its way to this member.</summary>
/// <param name="From">The member that gives it.</param>
/// <param name="Bytes">Bytes of state that are here.</param>
/// <param name="EstimatedBytes">Roughly how many there are in all.</param>
public sealed record SnapshotProgress(MemberId From, long Bytes, long EstimatedBytes);
