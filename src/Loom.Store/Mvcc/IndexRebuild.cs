using System.Runtime.InteropServices;
using Loom.Raft;
using Loom.Raft.Diagnostics;
using Loom.Store.Leases;

namespace Loom.Store.Mvcc;

/// <summary>
/// Rebuilds the index from the records of a checkpoint, whatever their order. Records that compaction made unreachable may still be among them, or not: per key the result is what
/// compaction at the compacted revision leaves (S2), so that it does not depend on what was trimmed before.
/// </summary>
/// <param name="revision">The revision of the checkpoint.</param>
/// <param name="compactRevision">The compacted revision, or -1.</param>
/// <param name="expected">The sums over the state when the checkpoint was taken (S5): nothing is missing, and nothing has come back.</param>
/// <param name="terms">The leases of the checkpoint; which keys they have is in the records.</param>
internal sealed class IndexRebuild(long revision, long compactRevision, ContentSums expected, LeaseTerms terms) : IRecordRebuild
{
    private readonly List<LoadedKey> keys = [];
    private readonly List<LoadedChange> changes = [];
    private readonly List<LoadedChange> gathered = [];
    private readonly KeyIndex.Loader loader = new();
    private readonly List<(ReadOnlyMemory<byte> Key, long Lease)> attached = [];
    private int[] buckets = new int[1024];

    /// <summary>The index, after <see cref="Finish"/>.</summary>
    public KeyIndex Index { get; private set; } = null!;

    /// <summary>The leases with their keys, after <see cref="Finish"/>.</summary>
    public LeaseTable Leases { get; private set; } = null!;

    /// <summary>The sums over what the index refers to (S5).</summary>
    public ContentLoader Content { get; } = new();

    /// <inheritdoc/>
    public void Add(RecordKey at, ReadOnlySpan<byte> record)
    {
        if (at.Main > revision || at.Main < 1 || at.Sub < 0)
        {
            throw Damaged($"there is a record of revision {at.Main}.{at.Sub}, but the checkpoint is at revision {revision}");
        }

        RecordHeader header = RecordCodec.ReadHeader(at, record);
        if (header.Key.IsEmpty || (!header.IsTombstone && (header.Create < 1 || header.Create > at.Main || header.Version < 1)))
        {
            throw Damaged($"the record of revision {at.Main}.{at.Sub} makes no sense (key of {header.Key.Length} bytes, created at {header.Create}, version {header.Version})");
        }

        int id = Find(header.Key);
        ref LoadedKey key = ref CollectionsMarshal.AsSpan(keys)[id];
        changes.Add(new LoadedChange(new KeyChange(at, header.IsTombstone), RecordMark.Of(at, record), key.Changes));
        key.Changes = changes.Count - 1;
        if (at.CompareTo(key.Newest) > 0)
        {
            key.Newest = at;
            key.Create = header.IsTombstone ? 0 : header.Create;
            key.Version = header.IsTombstone ? 0 : header.Version;
            key.Lease = header.IsTombstone ? 0 : header.Lease;
        }
    }

    /// <inheritdoc/>
    public void Finish()
    {
        List<KeyVersion> versions = [];
        foreach (int id in InKeyOrder())
        {
            LoadedKey key = keys[id];
            Gather(key.Changes);
            versions.Clear();
            for (int i = Trimmed(); i < gathered.Count; i++)
            {
                KeyChange change = gathered[i].Change;
                versions.Add(new KeyVersion(change.At, change.IsDeleted, key.Create, key.Version, gathered[i].Mark));
            }

            if (versions.Count == 0)
            {
                loader.Drop(key.Stored);
                continue;
            }

            loader.Add(key.Stored, CollectionsMarshal.AsSpan(versions));
            Content.Add(CollectionsMarshal.AsSpan(versions));
            if (key.Lease != 0)
            {
                attached.Add((KeyOf(id).ToArray(), key.Lease));
            }
        }

        Index = loader.Complete();
        if (Content.Sums != expected)
        {
            throw Damaged($"they come to {Content.Sums}, and it was {expected}");
        }

        try
        {
            Leases = LeaseTable.Load(terms, attached);
        }
        catch (RaftException fault)
        {
            throw Damaged(fault.Message.TrimEnd('.'));
        }
    }

    /// <summary>Number of a key; a new one gets the next.</summary>
    private int Find(ReadOnlySpan<byte> key)
    {
        uint hash = Crc32C.Append(Crc32C.Start, key);
        Span<LoadedKey> known = CollectionsMarshal.AsSpan(keys);
        int place = (int)hash & (buckets.Length - 1);
        for (; buckets[place] != 0; place = (place + 1) & (buckets.Length - 1))
        {
            ref LoadedKey other = ref known[buckets[place] - 1];
            if (other.Hash == hash && loader.Stored(other.Stored).SequenceEqual(key))
            {
                return buckets[place] - 1;
            }
        }

        keys.Add(new LoadedKey { Stored = loader.Store(key), Hash = hash, Changes = -1, Newest = new(0, -1) });
        buckets[place] = keys.Count;
        if (2 * keys.Count > buckets.Length)
        {
            Grow();
        }

        return keys.Count - 1;
    }

    private void Grow()
    {
        buckets = new int[2 * buckets.Length];
        Span<LoadedKey> known = CollectionsMarshal.AsSpan(keys);
        for (int id = 0; id < known.Length; id++)
        {
            int place = (int)known[id].Hash & (buckets.Length - 1);
            while (buckets[place] != 0)
            {
                place = (place + 1) & (buckets.Length - 1);
            }

            buckets[place] = id + 1;
        }
    }

    /// <summary>Sorts by the eight bytes after what all keys have in common, then what those leave equal by the keys themselves.</summary>
    private int[] InKeyOrder()
    {
        int[] order = new int[keys.Count];
        ulong[] words = new ulong[keys.Count];
        int common = CommonBytes();
        for (int id = 0; id < order.Length; id++)
        {
            order[id] = id;
            words[id] = KeyBranch.Discriminator(KeyOf(id), common);
        }

        Array.Sort(words, order);
        for (int from = 0; from < order.Length;)
        {
            int to = from + 1;
            while (to < order.Length && words[to] == words[from])
            {
                to++;
            }

            if (to - from > 1)
            {
                order.AsSpan(from, to - from).Sort((a, b) => KeyOf(a).SequenceCompareTo(KeyOf(b)));
            }

            from = to;
        }

        return order;
    }

    private int CommonBytes()
    {
        int common = keys.Count == 0 ? 0 : KeyOf(0).Length;
        for (int id = 1; id < keys.Count && common > 0; id++)
        {
            common = Math.Min(common, KeyOf(0).CommonPrefixLength(KeyOf(id)));
        }

        return common;
    }

    private ReadOnlySpan<byte> KeyOf(int id) => loader.Stored(keys[id].Stored);

    /// <summary>The changes of a key, oldest first, each once.</summary>
    private void Gather(int last)
    {
        gathered.Clear();
        bool descends = true;
        for (int at = last; at >= 0; at = gathered[^1].Next)
        {
            LoadedChange change = changes[at];
            descends &= gathered.Count == 0 || change.CompareTo(gathered[^1]) < 0;
            gathered.Add(change);
        }

        gathered.Reverse();
        if (descends)
        {
            return;
        }

        gathered.Sort();
        int kept = 0;
        for (int i = 1; i < gathered.Count; i++)
        {
            if (gathered[i].CompareTo(gathered[kept]) != 0)
            {
                gathered[++kept] = gathered[i];
            }
            else if (gathered[i].Mark != gathered[kept].Mark)
            {
                throw Damaged($"there are two different records of revision {gathered[i].Change.At.Main}.{gathered[i].Change.At.Sub}");
            }
        }

        gathered.RemoveRange(kept + 1, gathered.Count - kept - 1);
    }

    /// <summary>How many of the oldest gathered changes compaction removes (<see cref="IKeyIndex.Compact"/>).</summary>
    private int Trimmed()
    {
        int keep = gathered.Count - 1;
        while (keep >= 0 && gathered[keep].Change.Main > compactRevision)
        {
            keep--;
        }

        return keep < 0 ? 0 : gathered[keep].Change.IsDeleted && gathered[keep].Change.Main < compactRevision ? keep + 1 : keep;
    }

    private static LoomException Damaged(string what) => new(LoomErrorCode.Corruption, $"LOOM1020: the records do not belong to their checkpoint: {what}.");

    private struct LoadedKey
    {
        public ulong Stored;
        public uint Hash;
        public int Changes;
        public RecordKey Newest;
        public long Create;
        public long Version;
        public long Lease;
    }

    private readonly struct LoadedChange(KeyChange change, RecordMark mark, int next) : IComparable<LoadedChange>
    {
        public readonly KeyChange Change = change;
        public readonly RecordMark Mark = mark;

        /// <summary>The change of the same key that was added before, or -1.</summary>
        public readonly int Next = next;

        public int CompareTo(LoadedChange other) => Change.At.CompareTo(other.Change.At);
    }
}
