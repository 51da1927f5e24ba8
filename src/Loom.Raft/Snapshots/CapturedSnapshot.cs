using Loom.Raft.Replica;

namespace Loom.Raft.Snapshots;

/// <summary>A state captured between two applied batches, and what its manifest says of it. Whoever holds it disposes of the state.</summary>
internal sealed record CapturedSnapshot(SnapshotManifest Manifest, IStateSnapshot State);
