using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>A consistent state to read: a published one (<see cref="ReadView"/>), or the one that an entry is building (<see cref="StagedView"/>).</summary>
internal interface IReadState
{
    /// <summary>Current revision: the header of an answer.</summary>
    long Revision { get; }

    /// <summary>Compacted revision; -1 when never compacted.</summary>
    long CompactRevision { get; }

    /// <summary>Newest version of a live key without reading its record where the index knows it.</summary>
    bool TryGetHead(ReadOnlyMemory<byte> key, out KeyHead head);

    /// <summary>The pair of a key at a revision (≤ 0: the newest), or null.</summary>
    KeyValue? Find(ReadOnlyMemory<byte> key, long revision);

    /// <summary>Keys of a range at a revision (≤ 0: the newest) in key order: counts all, adds the first <paramref name="limit"/> (≤ 0: all) to <paramref name="pairs"/> (null: none).</summary>
    long Collect(KeyRange range, long revision, long limit, List<KeyValue>? pairs);
}
