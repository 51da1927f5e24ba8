namespace Loom.Store.Model;

/// <summary>What a watch is for.</summary>
/// <param name="Range">The key or the keys.</param>
public sealed record WatchQuery(KeyRange Range)
{
    /// <summary>
    /// The first revision whose events are delivered. 0 (default): those after the call. One that is not written yet: silence until then. One below the compacted revision: the watch ends at
    /// once with <see cref="LoomErrorCode.Compacted"/>.
    /// </summary>
    public Revision From { get; init; }

    /// <summary>Deliver puts. Default true.</summary>
    public bool Puts { get; init; } = true;

    /// <summary>Deliver deletes. Default true.</summary>
    public bool Deletes { get; init; } = true;

    /// <summary>Each event holds the pair that was there before, unless there was none or compaction took it. Costs a read for each event.</summary>
    public bool PreviousPairs { get; init; }

    /// <summary>Where nothing happens for <see cref="LoomOptions.WatchProgressInterval"/>, deliver an empty batch that says up to where that is known.</summary>
    public bool Progress { get; init; }
}
