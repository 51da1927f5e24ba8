using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Log;

/// <summary>Whose log it is: in every segment's header and beside the synced end, so that a file of another member is refused by name.</summary>
internal readonly record struct LogIdentity(ulong ClusterId, MemberId MemberId);

/// <summary>An opened log and what its records say. Everything in it is flushed (L5).</summary>
/// <param name="Log">Ready for appends and reads; dispose it last.</param>
/// <param name="HardState">Newest term and vote.</param>
/// <param name="CommitHint">How far it was known to be committed, at most the last index. A hint: it may be old.</param>
/// <param name="Configurations">Ascending, from the one in force at the base to the newest in the log (L6); never empty.</param>
/// <param name="LastClusterTime">Cluster time at the last index: of its entry, or of the base when the log holds none (T5).</param>
internal sealed record RecoveredLog(
    DurableLog Log, HardState HardState, long CommitHint, IReadOnlyList<ConfigurationAt> Configurations, long LastClusterTime);
