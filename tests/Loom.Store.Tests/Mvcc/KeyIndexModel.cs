using Loom.Store.Mvcc;

namespace Loom.Store.Tests.Mvcc;

/// <summary>The obvious index: a sorted dictionary of full histories. What KeyIndex answers must equal it.</summary>
internal sealed class KeyIndexModel
{
    private readonly SortedDictionary<byte[], List<Change>> keys = new(Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b)));

    public readonly record struct Change(RecordKey At, bool IsDeleted, long Create, long Version);

    public IEnumerable<byte[]> Keys => keys.Keys;

    public Change? Newest(byte[] key) => keys.TryGetValue(key, out List<Change>? list) ? list[^1] : null;

    public (long Create, long Version) Put(byte[] key, RecordKey at)
    {
        Change? old = Newest(key);
        (long create, long version) = old is { IsDeleted: false } live ? (live.Create, live.Version + 1) : (at.Main, 1);
        Add(key, new(at, false, create, version));
        return (create, version);
    }

    public void Delete(byte[] key, RecordKey at) => Add(key, new(at, true, 0, 0));

    public RecordKey? LiveAt(byte[] key, long revision)
    {
        if (!keys.TryGetValue(key, out List<Change>? list))
        {
            return null;
        }

        int i = list.FindLastIndex(c => c.At.Main <= revision);
        return i >= 0 && !list[i].IsDeleted ? list[i].At : null;
    }

    public List<(byte[] Key, RecordKey At)> Range(byte[] start, byte[] end, long revision)
    {
        List<(byte[], RecordKey)> result = [];
        foreach (byte[] key in keys.Keys)
        {
            if (key.AsSpan().SequenceCompareTo(start) >= 0 && (end.Length == 0 || key.AsSpan().SequenceCompareTo(end) < 0) && LiveAt(key, revision) is { } at)
            {
                result.Add((key, at));
            }
        }

        return result;
    }

    /// <summary>What S2 says: every version above the compacted revision, and per key the newest at or below it, unless that is a tombstone strictly below.</summary>
    public List<(byte[] Key, Change[] Versions)> State(long compacted, long revision)
    {
        List<(byte[], Change[])> state = [];
        foreach ((byte[] key, List<Change> list) in keys)
        {
            Change[] held = [.. list.Where((change, i) => change.At.Main <= revision
                && (change.At.Main > compacted
                    || (!list.Skip(i + 1).Any(later => later.At.Main <= compacted) && !(change.IsDeleted && change.At.Main < compacted))))];
            if (held.Length > 0)
            {
                state.Add((key, held));
            }
        }

        return state;
    }

    public List<RecordKey> Compact(long revision)
    {
        List<RecordKey> removed = [];
        foreach (byte[] key in keys.Keys.ToArray())
        {
            List<Change> list = keys[key];
            int keep = list.FindLastIndex(c => c.At.Main <= revision);
            if (keep >= 0 && list[keep].IsDeleted && list[keep].At.Main < revision)
            {
                keep++;
            }

            if (keep > 0)
            {
                removed.AddRange(list[..keep].Select(c => c.At));
                list.RemoveRange(0, keep);
            }

            if (list.Count == 0)
            {
                keys.Remove(key);
            }
        }

        return removed;
    }

    private void Add(byte[] key, Change change)
    {
        if (!keys.TryGetValue(key, out List<Change>? list))
        {
            keys.Add(key, list = []);
        }

        list.Add(change);
    }
}
