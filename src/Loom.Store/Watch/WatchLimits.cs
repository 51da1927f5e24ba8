namespace Loom.Store.Watch;

/// <summary>How much is kept for watchers before they must read the history.</summary>
/// <param name="RecentRevisions">Revisions that are kept for all.</param>
/// <param name="RecentBytes">Bytes of them.</param>
/// <param name="Queued">Revisions that may wait for one watcher.</param>
internal sealed record WatchLimits(int RecentRevisions = 8192, long RecentBytes = 32 << 20, int Queued = 128);
