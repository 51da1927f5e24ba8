namespace Loom.Raft.Log;

/// <summary>Behind which entry a new log begins: what comes before it is in the state that the cluster begins with (a backup). The default: behind none.</summary>
/// <param name="Index">Index of that entry.</param>
/// <param name="Term">Its term.</param>
/// <param name="ClusterTime">Cluster time there (T5).</param>
internal readonly record struct LogStart(long Index, long Term, long ClusterTime);
