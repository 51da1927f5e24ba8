using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Loom.Raft.Diagnostics;

namespace Loom.Store.Mvcc;

/// <summary>
/// etcd's HashKV, bit for bit: crc32c over <c>"key"</c> and then, for every record up to the revision in order, its 17-byte key
/// <c>be64(main) '_' be64(sub)</c> (+ <c>'t'</c> for a tombstone) and its marshalled <c>mvccpb.KeyValue</c> (of a tombstone only the key).
/// Below the compacted revision a record counts only if it is its key's live version at the hashed revision; when no key is live there,
/// everything that survives the compaction counts. So equal hashes mean equal histories, whatever was physically trimmed when.
/// </summary>
internal static class HistoryHash
{
    // Versions that are looked at in one tree, and records that are read from a disk together.
    private const int Page = 256;

    public static uint Compute(IKeyIndex index, IRecordReads records, long revision, long compactRevision, CancellationToken cancellationToken)
    {
        Sorter sorter = new(index, revision, compactRevision);
        byte[] key = [];
        RecordKey after = RecordKey.BeforeAll;
        do
        {
            cancellationToken.ThrowIfCancellationRequested();
            sorter.Seen.Clear();
            index.VisitVersions(key, after, compactRevision, revision, ref sorter);
            key = sorter.LastKey;
            after = sorter.Seen.Count > 0 ? sorter.Seen[^1] : after;
        }
        while (sorter.Seen.Count == Page);

        // "No key is live" counts every key, also those whose live version is younger than the compaction.
        List<RecordKey> counted = sorter.Recent;
        counted.AddRange(sorter.Live.Count == 0 && !AnyLive(index, revision) ? sorter.Survivors : sorter.Live);
        counted.Sort();
        return Hash(records, CollectionsMarshal.AsSpan(counted), cancellationToken);
    }

    private static uint Hash(IRecordReads records, ReadOnlySpan<RecordKey> keys, CancellationToken cancellationToken)
    {
        uint crc = Crc32C.Append(Crc32C.Start, "key"u8);
        var found = new ReadOnlyMemory<byte>[Math.Min(keys.Length, Page)];
        for (int from = 0; from < keys.Length; from += Page)
        {
            ReadOnlySpan<RecordKey> some = keys.Slice(from, Math.Min(Page, keys.Length - from));
            records.ReadMany(some, found.AsSpan(0, some.Length));
            cancellationToken.ThrowIfCancellationRequested();
            for (int i = 0; i < some.Length; i++)
            {
                Append(ref crc, some[i], found[i].IsEmpty ? throw new RecordGoneException(some[i]) : found[i]);
            }
        }

        return ~crc;
    }

    private static void Append(ref uint crc, RecordKey at, ReadOnlyMemory<byte> record)
    {
        Span<byte> header = stackalloc byte[18];
        bool tombstone = RecordCodec.IsTombstone(record.Span);
        BinaryPrimitives.WriteInt64BigEndian(header, at.Main);
        header[8] = (byte)'_';
        BinaryPrimitives.WriteInt64BigEndian(header[9..], at.Sub);
        header[17] = (byte)'t';
        crc = Crc32C.Append(crc, header[..(tombstone ? 18 : 17)]);
        AppendPair(ref crc, RecordCodec.Read(at, record), tombstone);
    }

    /// <summary>mvccpb.KeyValue in protobuf: key=1 create_revision=2 mod_revision=3 version=4 value=5 lease=6, zeros left out.</summary>
    private static void AppendPair(ref uint crc, Model.KeyValue pair, bool tombstone)
    {
        AppendBytes(ref crc, 1, pair.Key.Span);
        if (tombstone)
        {
            return;
        }

        AppendNumber(ref crc, 2, pair.CreateRevision);
        AppendNumber(ref crc, 3, pair.ModRevision);
        AppendNumber(ref crc, 4, pair.Version);
        AppendBytes(ref crc, 5, pair.Value.Span);
        AppendNumber(ref crc, 6, pair.Lease);
    }

    private static void AppendBytes(ref uint crc, int field, ReadOnlySpan<byte> bytes)
    {
        if (!bytes.IsEmpty)
        {
            AppendVarint(ref crc, (ulong)((field << 3) | 2));
            AppendVarint(ref crc, (ulong)bytes.Length);
            crc = Crc32C.Append(crc, bytes);
        }
    }

    private static void AppendNumber(ref uint crc, int field, long number)
    {
        if (number != 0)
        {
            AppendVarint(ref crc, (ulong)(field << 3));
            AppendVarint(ref crc, (ulong)number);
        }
    }

    private static void AppendVarint(ref uint crc, ulong number)
    {
        while (number >= 0x80)
        {
            crc = Crc32C.Append(crc, (byte)(number | 0x80));
            number >>= 7;
        }

        crc = Crc32C.Append(crc, (byte)number);
    }

    private static bool AnyLive(IKeyIndex index, long revision)
    {
        var any = new FirstKey();
        index.Visit(default, default, revision, ref any);
        return any.Found;
    }

    private struct FirstKey : IKeyVisitor
    {
        public bool Found { get; private set; }

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            Found = true;
            return false;
        }
    }

    /// <summary>Which versions may count, in pages.</summary>
    private struct Sorter(IKeyIndex index, long revision, long compactRevision) : IVersionVisitor
    {
        public readonly List<RecordKey> Seen = [];
        public readonly List<RecordKey> Recent = [];
        public readonly List<RecordKey> Live = [];
        public readonly List<RecordKey> Survivors = [];

        public byte[] LastKey { get; private set; } = [];

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            Seen.Add(at);
            if (at.Main > compactRevision)
            {
                Recent.Add(at);
            }
            else if (index.TryFind(key, revision, out RecordKey now) && now == at)
            {
                Live.Add(at);
            }
            else if (index.TryFind(key, compactRevision, out RecordKey kept) && kept == at)
            {
                Survivors.Add(at);
            }

            if (Seen.Count < Page)
            {
                return true;
            }

            LastKey = key.ToArray();
            return false;
        }
    }
}
