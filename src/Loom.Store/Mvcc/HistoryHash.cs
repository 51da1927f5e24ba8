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
    public static uint Compute(IKeyIndex index, IRecordStore records, long revision, long compactRevision, CancellationToken cancellationToken)
    {
        List<RecordKey> live = [];
        List<RecordKey> survivors = [];
        List<RecordKey> recent = [];
        records.Scan((at, record) =>
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (at.Main > revision)
            {
                return;
            }

            if (at.Main > compactRevision)
            {
                recent.Add(at);
                return;
            }

            ReadOnlySpan<byte> key = RecordCodec.Key(record.Span);
            if (index.TryFind(key, revision, out RecordKey now) && now == at)
            {
                live.Add(at);
            }
            else if (index.TryFind(key, compactRevision, out RecordKey kept) && kept == at)
            {
                survivors.Add(at);
            }
        });

        // "No key is live" counts every key, also those whose live version is younger than the compaction.
        if (live.Count == 0 && !AnyLive(index, revision))
        {
            recent.AddRange(survivors);
        }
        else
        {
            recent.AddRange(live);
        }

        recent.Sort();
        return Hash(records, recent, cancellationToken);
    }

    private static uint Hash(IRecordStore records, List<RecordKey> keys, CancellationToken cancellationToken)
    {
        uint crc = Crc32C.Append(Crc32C.Start, "key"u8);
        Span<byte> header = stackalloc byte[18];
        RecordKey? previous = null;
        foreach (RecordKey at in keys)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (at == previous)
            {
                continue; // a scan may meet a record twice while the store moves it
            }

            previous = at;
            if (!records.TryRead(at, out ReadOnlyMemory<byte> record))
            {
                throw new RecordGoneException(at);
            }

            bool tombstone = RecordCodec.IsTombstone(record.Span);
            System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(header, at.Main);
            header[8] = (byte)'_';
            System.Buffers.Binary.BinaryPrimitives.WriteInt64BigEndian(header[9..], at.Sub);
            header[17] = (byte)'t';
            crc = Crc32C.Append(crc, header[..(tombstone ? 18 : 17)]);
            AppendPair(ref crc, RecordCodec.Read(at, record), tombstone);
        }

        return ~crc;
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
}
