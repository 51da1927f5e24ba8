namespace Loom.Store.Model;

/// <summary>Order of a range's answer.</summary>
public enum SortOrder : byte
{
    /// <summary>Key order.</summary>
    None = 0,

    /// <summary>Ascending by the sort target.</summary>
    Ascend = 1,

    /// <summary>Descending by the sort target.</summary>
    Descend = 2,
}

/// <summary>What a range is sorted by.</summary>
public enum SortTarget : byte
{
    /// <summary>The key.</summary>
    Key = 0,

    /// <summary>The version.</summary>
    Version = 1,

    /// <summary>The create revision.</summary>
    Create = 2,

    /// <summary>The mod revision.</summary>
    Mod = 3,

    /// <summary>The value.</summary>
    Value = 4,
}

/// <summary>A range query with every option of etcd's Range; semantics as in late etcd 3.5.</summary>
/// <param name="Range">The keys.</param>
public sealed record RangeQuery(KeyRange Range)
{
    /// <summary>At most this many pairs; ≤ 0: no limit.</summary>
    public long Limit { get; init; }

    /// <summary>At this revision; ≤ 0: the newest.</summary>
    public long Revision { get; init; }

    /// <summary>Order. Default: key order.</summary>
    public SortOrder SortOrder { get; init; }

    /// <summary>What to sort by.</summary>
    public SortTarget SortTarget { get; init; }

    /// <summary>Leave values empty.</summary>
    public bool KeysOnly { get; init; }

    /// <summary>Only the count.</summary>
    public bool CountOnly { get; init; }

    /// <summary>Only pairs with a mod revision ≥ this; 0: no filter.</summary>
    public long MinModRevision { get; init; }

    /// <summary>Only pairs with a mod revision ≤ this; 0: no filter.</summary>
    public long MaxModRevision { get; init; }

    /// <summary>Only pairs with a create revision ≥ this; 0: no filter.</summary>
    public long MinCreateRevision { get; init; }

    /// <summary>Only pairs with a create revision ≤ this; 0: no filter.</summary>
    public long MaxCreateRevision { get; init; }
}

/// <summary>Answer to a range query, at one consistent revision.</summary>
/// <param name="Revision">The store's current revision at the time of the read (also when an old one was read).</param>
/// <param name="Pairs">The pairs.</param>
/// <param name="More">More than Limit matched.</param>
/// <param name="Count">Keys in the range, ignoring limit and filters.</param>
public sealed record RangeResult(Revision Revision, IReadOnlyList<KeyValue> Pairs, bool More, long Count);
