using Google.Protobuf;
using Google.Protobuf.Collections;
using Loom.Server.Etcd.Protos;
using static Loom.Server.Etcd.Protos.Compare.Types;
using static Loom.Server.Etcd.Protos.RangeRequest.Types;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Random calls of KV, Lease and Maintenance over few keys and leases, so that they meet: with every option, with what is refused, with enum values that nobody knows and parts that are missing.
/// Left out, by name: what ends an etcd 3.4 (an unknown sort target; a put that keeps the value or lease of a key which the same transaction deletes with "all behind"); compactions that are not
/// physical, for until they are done etcd's HashKV of a revision without a key depends on how far they are; and what the caller of <see cref="Next"/> sorts out.
/// </summary>
internal sealed class RandomCalls(int seed)
{
    private const int Keys = 12, Leases = 6;

    private readonly Random random = new(seed);

    public IMessage Next(long revision, long compacted) => random.Next(40) switch
    {
        < 9 => Put(true),
        < 13 => Delete(true),
        < 21 => Txn(2, Chance(2), revision, compacted),
        < 29 => Range(revision, compacted),
        29 => new CompactionRequest { Revision = random.Next(8) == 0 ? random.NextInt64(-1, revision + 3) : random.NextInt64(Math.Max(1, revision - 40), revision + 1), Physical = true },
        30 or 31 => new LeaseGrantRequest { ID = random.Next(1, Leases), TTL = random.Next(6) switch { 0 => 9_000_000_001, 1 => 9_000_000_000, _ => 1000 * random.Next(1, 5) } },
        32 => new LeaseRevokeRequest { ID = random.Next(1, Leases) },
        33 => new LeaseKeepAliveRequest { ID = random.Next(1, Leases) },
        34 or 35 => new LeaseTimeToLiveRequest { ID = random.Next(1, Leases), Keys = random.Next(2) == 0 },
        36 => new LeaseLeasesRequest(),
        _ => new HashKVRequest { Revision = random.Next(4) == 0 ? 0 : random.NextInt64(Math.Max(1, revision - 60), revision + 2) },
    };

    private PutRequest Put(bool keeps)
    {
        var put = new PutRequest { Key = Key(), Value = Value(), PrevKv = Chance(2), Lease = Chance(4) ? random.Next(1, Leases) : 0 };
        if (keeps && Chance(8))
        {
            put.IgnoreValue = true;
            put.Value = Chance(4) ? put.Value : ByteString.Empty;
        }

        if (keeps && Chance(8))
        {
            put.IgnoreLease = true;
            put.Lease = Chance(4) ? put.Lease : 0;
        }

        return put;
    }

    private DeleteRangeRequest Delete(bool toTheEnd)
    {
        ByteString end = End(3);
        return new() { Key = Key(), RangeEnd = toTheEnd || end.Length != 1 || end[0] != 0 ? end : ByteString.Empty, PrevKv = Chance(2) };
    }

    private RangeRequest Range(long revision, long compacted)
    {
        var range = new RangeRequest
        {
            Key = Key(),
            RangeEnd = End(2),
            Revision = random.Next(8) switch { 0 or 1 => random.NextInt64(Math.Max(1, compacted - 3), revision + 1), 2 => random.NextInt64(-2, revision + 3), _ => 0 },
            Limit = Chance(3) ? random.Next(-1, 5) : 0,
            SortOrder = (SortOrder)(Chance(12) ? 7 : random.Next(3)),
            SortTarget = Chance(3) ? (SortTarget)random.Next(5) : SortTarget.Key,
            Serializable = Chance(4),
            KeysOnly = Chance(5),
            CountOnly = Chance(7),
        };
        range.MinModRevision = Bound(revision);
        range.MaxModRevision = Bound(revision);
        range.MinCreateRevision = Bound(revision);
        range.MaxCreateRevision = Bound(revision);
        return range;
    }

    private long Bound(long revision) => Chance(10) ? random.NextInt64(0, revision + 2) : 0;

    /// <param name="depth">Transactions in transactions.</param>
    /// <param name="keeps">Its puts may keep values and leases, and its deletes have an end then.</param>
    /// <param name="revision">The newest.</param>
    /// <param name="compacted">The last that was compacted.</param>
    private TxnRequest Txn(int depth, bool keeps, long revision, long compacted)
    {
        var txn = new TxnRequest();
        for (int i = random.Next(4); i > 0; i--)
        {
            txn.Compare.Add(Compare(revision));
        }

        Fill(txn.Success, depth, keeps, revision, compacted);
        Fill(txn.Failure, depth, keeps, revision, compacted);
        if (Chance(60))
        {
            txn.Failure.Add(Enumerable.Repeat(new RequestOp { RequestRange = new() { Key = Key() } }, random.Next(120, 135)));
        }

        return txn;
    }

    private Compare Compare(long revision)
    {
        var compare = new Compare
        {
            Key = Key(),
            RangeEnd = Chance(4) ? End(1) : ByteString.Empty,
            Target = (CompareTarget)random.Next(5),
            Result = (CompareResult)(Chance(15) ? 9 : random.Next(4)),
        };
        switch (Chance(12) ? random.Next(6) : (int)compare.Target)
        {
            case 0:
                compare.Version = random.Next(4);
                break;
            case 1:
                compare.CreateRevision = Near(revision);
                break;
            case 2:
                compare.ModRevision = Near(revision);
                break;
            case 3:
                compare.Value = Value();
                break;
            case 4:
                compare.Lease = random.Next(Leases);
                break;
        }

        return compare;
    }

    private long Near(long revision) => Chance(3) ? 0 : random.NextInt64(Math.Max(0, revision - 20), revision + 1);

    private void Fill(RepeatedField<RequestOp> operations, int depth, bool keeps, long revision, long compacted)
    {
        for (int i = random.Next(5); i > 0; i--)
        {
            operations.Add(random.Next(depth > 0 ? 20 : 18) switch
            {
                < 5 => new RequestOp { RequestRange = Range(revision, compacted) },
                < 9 => new RequestOp { RequestDeleteRange = Delete(!keeps) },
                9 when Chance(5) => new RequestOp(),
                < 18 => new RequestOp { RequestPut = Put(keeps) },
                _ => new RequestOp { RequestTxn = Txn(depth - 1, keeps, revision, compacted) },
            });
        }
    }

    private ByteString Key() => Chance(80) ? ByteString.Empty : ByteString.CopyFromUtf8($"k{(char)('a' + random.Next(Keys))}");

    /// <summary>None, a key, "all behind", or a prefix's; one in so many times one at all.</summary>
    private ByteString End(int oneIn) => !Chance(oneIn)
        ? ByteString.Empty
        : random.Next(6) switch { 0 => ByteString.CopyFrom(0), 1 => ByteString.CopyFromUtf8("l"), _ => Key() };

    private ByteString Value()
    {
        byte[] value = new byte[Chance(4) ? random.Next(40) : random.Next(2)];
        random.NextBytes(value);
        return ByteString.CopyFrom(value);
    }

    private bool Chance(int oneIn) => random.Next(oneIn) == 0;
}
