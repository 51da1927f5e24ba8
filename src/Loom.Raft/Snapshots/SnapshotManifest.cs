using Loom.Raft.Consensus;
using Loom.Raft.Membership;
using Loom.Raft.Replica;

namespace Loom.Raft.Snapshots;

/// <summary>What a snapshot is, sent before its chunks: enough to judge it, to resume it and to put a log's base where it stands (S3).</summary>
/// <param name="Id">Random, drawn by the source at the capture: chunks of two captures never mix, and a resumption names it.</param>
/// <param name="ClusterId">Another cluster's is refused.</param>
/// <param name="Source">The member that captured it.</param>
/// <param name="SourceTerm">
/// The source's term at the capture. Everything in the snapshot was committed in this term or an earlier one; a receiver of a lower term enters it first, so that the leader it then
/// follows holds all of it (leader completeness).
/// </param>
/// <param name="At">Index and term of the last entry in it, and Raft's section (sessions, apply hash, cluster time).</param>
/// <param name="Configuration">The configuration in force at that index, and the index of its entry.</param>
/// <param name="Header">The application's description (<see cref="IStateSnapshot.Header"/>).</param>
internal sealed record SnapshotManifest(
    ulong Id, ulong ClusterId, MemberId Source, long SourceTerm, StatePosition At, ConfigurationAt Configuration, ReadOnlyMemory<byte> Header);
