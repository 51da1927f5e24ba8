namespace Loom.Store.Model;

/// <summary>What happened to a key.</summary>
public enum WatchEventKind
{
    /// <summary>It was put.</summary>
    Put,

    /// <summary>It was deleted.</summary>
    Delete,
}

/// <summary>One change of one key.</summary>
/// <param name="Kind">Put or delete.</param>
/// <param name="Pair">Of a put: the new pair. Of a delete: the key, and the revision of the delete as <see cref="KeyValue.ModRevision"/>; the rest is empty.</param>
/// <param name="Previous">The pair before that revision, where it was asked for, existed and was not compacted.</param>
public sealed record WatchEvent(WatchEventKind Kind, KeyValue Pair, KeyValue? Previous = null);

/// <summary>
/// Events in the order of their revisions, those of a revision together and in the order of its transaction: a revision is never split over two batches.
/// </summary>
/// <param name="Revision">The watch is complete through this revision: to take it up again, begin at the next.</param>
/// <param name="Events">None: a mark of progress.</param>
public sealed record WatchBatch(Revision Revision, IReadOnlyList<WatchEvent> Events)
{
    /// <summary>The newest revision of this replica when the batch was made; far from <see cref="Revision"/> while the watch is reading history.</summary>
    public Revision Current { get; init; }

    /// <summary>Says only that nothing else happened.</summary>
    public bool IsProgress => Events.Count == 0;
}
