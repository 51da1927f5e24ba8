using Google.Protobuf;
using Loom.Server.Etcd.Protos;
using static Loom.Server.Etcd.Protos.Compare.Types;
using static Loom.Server.Etcd.Protos.RangeRequest.Types;

namespace Loom.Server.Tests.Etcd;

/// <summary>The calls of the recorded transcript: every option of KV, every rule that clients trip over, every error that a request can cause.</summary>
internal static class KvScript
{
    private static readonly ByteString Zero = ByteString.CopyFrom(0);

    public static IEnumerable<(string Title, IMessage Request)> Calls() =>
    [
        .. Basics(), .. Ranges(), .. Puts(), .. Deletes(), .. Compares(), .. Txns(), .. TxnFaults(), .. Compactions(), .. Sizes(),
    ];

    private static IEnumerable<(string, IMessage)> Basics() =>
    [
        ("an empty store is at revision 1", Range("a")),
        ("its hash", new HashKVRequest()),
        ("delete of nothing does not advance", Delete("a")),
        ("put", Put("a", "1")),
        ("put again, with the previous pair", new PutRequest { Key = B("a"), Value = B("2"), PrevKv = true }),
        ("put of an empty value", Put("b", "")),
        ("get", Range("a")),
        ("get of nothing", Range("zz")),
        ("get at an old revision has the current header", new RangeRequest { Key = B("a"), Revision = 2 }),
        ("get at the revision before the key", new RangeRequest { Key = B("b"), Revision = 2 }),
        ("get at a future revision", new RangeRequest { Key = B("a"), Revision = 99 }),
        ("get at a negative revision is the newest", new RangeRequest { Key = B("a"), Revision = -5 }),
        ("get without a key", new RangeRequest()),
        ("put without a key", new PutRequest { Value = B("x") }),
        ("delete without a key", new DeleteRangeRequest()),
        ("previous pair of a created key is absent", new PutRequest { Key = B("c"), Value = B("3"), PrevKv = true }),
        ("hash at revision 2", new HashKVRequest { Revision = 2 }),
        ("hash now", new HashKVRequest()),
        ("hash at a future revision", new HashKVRequest { Revision = 99 }),
    ];

    private static IEnumerable<(string, IMessage)> Ranges()
    {
        foreach ((string key, string value) in ((string, string)[])[("r/1", "d"), ("r/2", "c"), ("r/3", "b"), ("r/4", "a"), ("r/2", "cc"), ("r/4", "aa"), ("r/4", "aaa")])
        {
            yield return ($"put {key}", Put(key, value));
        }

        yield return ("prefix", Prefix("r/"));
        yield return ("from key", new RangeRequest { Key = B("r/3"), RangeEnd = Zero });
        yield return ("everything, only keys", new RangeRequest { Key = Zero, RangeEnd = Zero, KeysOnly = true });
        yield return ("everything, only the count", new RangeRequest { Key = Zero, RangeEnd = Zero, CountOnly = true });
        yield return ("an end before the key is an empty range", new RangeRequest { Key = B("r/3"), RangeEnd = B("r/1") });
        yield return ("an end equal to the key is an empty range", new RangeRequest { Key = B("r/3"), RangeEnd = B("r/3") });
        yield return ("limit, with more", With(Prefix("r/"), r => r.Limit = 2));
        yield return ("limit of all, without more", With(Prefix("r/"), r => r.Limit = 4));
        yield return ("negative limit is none", With(Prefix("r/"), r => r.Limit = -1));
        yield return ("limit with count only", With(Prefix("r/"), r => { r.Limit = 1; r.CountOnly = true; }));
        yield return ("serializable", With(Prefix("r/"), r => r.Serializable = true));
        yield return ("prefix at an old revision", With(Prefix("r/"), r => r.Revision = 8));
        foreach (SortTarget target in Enum.GetValues<SortTarget>())
        {
            yield return ($"by {target}, descending", With(Prefix("r/"), r => { r.SortTarget = target; r.SortOrder = SortOrder.Descend; r.KeysOnly = target == SortTarget.Key; }));
        }

        yield return ("by value, ascending, limited", With(Prefix("r/"), r => { r.SortTarget = SortTarget.Value; r.SortOrder = SortOrder.Ascend; r.Limit = 2; }));
        yield return ("by value without an order and limited: sorts the first only", With(Prefix("r/"), r => { r.SortTarget = SortTarget.Value; r.Limit = 2; }));
        yield return ("by value without an order", With(Prefix("r/"), r => r.SortTarget = SortTarget.Value));
        yield return ("an unknown order", With(Prefix("r/"), r => { r.SortTarget = SortTarget.Value; r.SortOrder = (SortOrder)7; r.Limit = 3; }));
        yield return ("minimum mod revision", With(Prefix("r/"), r => r.MinModRevision = 9));
        yield return ("maximum mod revision, limited: the count ignores both", With(Prefix("r/"), r => { r.MaxModRevision = 9; r.Limit = 1; }));
        yield return ("minimum create revision", With(Prefix("r/"), r => r.MinCreateRevision = 8));
        yield return ("maximum create revision", With(Prefix("r/"), r => r.MaxCreateRevision = 7));
        yield return ("filters with count only", With(Prefix("r/"), r => { r.MinModRevision = 9; r.CountOnly = true; }));
    }

    private static IEnumerable<(string, IMessage)> Puts() =>
    [
        ("keep the value", new PutRequest { Key = B("a"), IgnoreValue = true, PrevKv = true }),
        ("kept", Range("a")),
        ("keep the value of nothing", new PutRequest { Key = B("none"), IgnoreValue = true }),
        ("keep the value, and give one", new PutRequest { Key = B("a"), Value = B("x"), IgnoreValue = true }),
        ("keep the lease", new PutRequest { Key = B("a"), Value = B("5"), IgnoreLease = true }),
        ("keep the lease of nothing", new PutRequest { Key = B("none"), Value = B("5"), IgnoreLease = true }),
        ("keep the lease, and give one", new PutRequest { Key = B("a"), Value = B("5"), Lease = 7, IgnoreLease = true }),
        ("a lease that does not exist", new PutRequest { Key = B("a"), Value = B("5"), Lease = 7 }),
        ("a key of any bytes", new PutRequest { Key = ByteString.CopyFrom(0, 255, 10), Value = ByteString.CopyFrom(0, 1, 254) }),
        ("which comes first", new RangeRequest { Key = Zero, RangeEnd = B("b") }),
    ];

    private static IEnumerable<(string, IMessage)> Deletes() =>
    [
        ("delete", Delete("b")),
        ("deleted is gone", Range("b")),
        ("deleted is there before", new RangeRequest { Key = B("b"), Revision = 5 }),
        ("put after a delete starts a new life", Put("b", "again")),
        ("its version is 1", Range("b")),
        ("delete a range, with what was there", new DeleteRangeRequest { Key = B("r/2"), RangeEnd = B("r/4"), PrevKv = true }),
        ("delete an inverted range", new DeleteRangeRequest { Key = B("r/4"), RangeEnd = B("r/2") }),
        ("what is left", With(Prefix("r/"), r => r.KeysOnly = true)),
        ("hash after deletes", new HashKVRequest()),
    ];

    private static IEnumerable<(string, IMessage)> Compares()
    {
        foreach (CompareResult result in Enum.GetValues<CompareResult>())
        {
            yield return ($"version {result} 2", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Version, Result = result, Version = 2 }));
            yield return ($"create {result} 11", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Create, Result = result, CreateRevision = 11 }));
            yield return ($"mod {result} 14", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Mod, Result = result, ModRevision = 14 }));
            yield return ($"value {result} aaa", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Value, Result = result, Value = B("aaa") }));
            yield return ($"lease {result} 0", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Lease, Result = result, Lease = 0 }));
            yield return ($"absent: value {result} x", Test(new Compare { Key = B("none"), Target = CompareTarget.Value, Result = result, Value = B("x") }));
            yield return ($"absent: version {result} 0", Test(new Compare { Key = B("none"), Target = CompareTarget.Version, Result = result, Version = 0 }));
            yield return ($"range: version {result} 1", Test(new Compare { Key = B("r/"), RangeEnd = B("r0"), Target = CompareTarget.Version, Result = result, Version = 1 }));
            yield return ($"empty range: create {result} 0", Test(new Compare { Key = B("x/"), RangeEnd = B("x0"), Target = CompareTarget.Create, Result = result }));
            yield return ($"no operand: mod {result}", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Mod, Result = result }));
            yield return ($"operand of another target: mod {result}", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Mod, Result = result, Version = 14 }));
            yield return ($"unknown target {result}", Test(new Compare { Key = B("r/4"), Target = (CompareTarget)9, Result = result, Version = 14 }));
        }

        yield return ("unknown result", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Mod, Result = (CompareResult)9 }));
        yield return ("unknown result of an absent key's value", Test(new Compare { Key = B("none"), Target = CompareTarget.Value, Result = (CompareResult)9 }));
        yield return ("unknown result of a key's value", Test(new Compare { Key = B("r/4"), Target = CompareTarget.Value, Result = (CompareResult)9 }));
        yield return ("compares are ANDed", new TxnRequest
        {
            Compare = { new Compare { Key = B("a"), Target = CompareTarget.Create, Result = CompareResult.Greater }, new Compare { Key = B("none"), Target = CompareTarget.Create, Result = CompareResult.Greater } },
        });
    }

    private static IEnumerable<(string, IMessage)> Txns() =>
    [
        ("an empty transaction", new TxnRequest()),
        ("reads only", new TxnRequest { Success = { Op(Range("a")), Op(Prefix("r/")) } }),
        ("serializable reads only", new TxnRequest { Success = { Op(With(Range("a"), r => r.Serializable = true)) } }),
        ("later reads see earlier writes, at one revision", new TxnRequest
        {
            Success = { Op(Range("t/1")), Op(Put("t/1", "x")), Op(Range("t/1")), Op(Put("t/2", "y")), Op(Delete("r/1")), Op(Prefix("t/")), Op(Prefix("r/")) },
        }),
        ("delete of nothing before a put has the old revision", new TxnRequest { Success = { Op(Delete("none")), Op(Put("t/3", "z")), Op(Delete("none")) } }),
        ("delete of nothing alone", new TxnRequest { Success = { Op(Delete("none")) } }),
        ("the other branch", new TxnRequest
        {
            Compare = { new Compare { Key = B("none"), Target = CompareTarget.Version, Result = CompareResult.Greater } }, Success = { Op(Put("t/4", "no")) }, Failure = { Op(new PutRequest { Key = B("t/3"), Value = B("f"), PrevKv = true }) },
        }),
        ("nested", new TxnRequest
        {
            Success =
            {
                Op(Put("n/1", "1")),
                Op(new TxnRequest { Compare = { new Compare { Key = B("n/1"), Target = CompareTarget.Version, Result = CompareResult.Equal, Version = 1 } }, Success = { Op(Put("n/2", "2")), Op(Prefix("n/")) }, Failure = { Op(Put("n/3", "3")) } }),
                Op(Prefix("n/")),
            },
        }),
        ("nested reads count as a write", new TxnRequest { Success = { Op(new TxnRequest { Success = { Op(Range("a")) } }) } }),
        ("previous pairs inside", new TxnRequest { Success = { Op(new DeleteRangeRequest { Key = B("n/"), RangeEnd = B("n0"), PrevKv = true }) } }),
        ("delete, then read in the same", new TxnRequest { Success = { Op(Delete("t/1")), Op(Range("t/1")), Op(Prefix("t/")) } }),
        ("two deletes may overlap", new TxnRequest { Success = { Op(Delete("t/2")), Op(new DeleteRangeRequest { Key = B("t/"), RangeEnd = B("t0") }) } }),
        ("an old revision inside", new TxnRequest { Success = { Op(With(Range("a"), r => r.Revision = 2)), Op(Put("t/5", "5")) } }),
        ("count and limit inside", new TxnRequest { Success = { Op(With(Prefix("r/"), r => r.CountOnly = true)), Op(With(Prefix(""), r => { r.Key = Zero; r.RangeEnd = Zero; r.Limit = 1; r.KeysOnly = true; })) } }),
        ("the same key in a nested then and else", new TxnRequest { Success = { Op(new TxnRequest { Success = { Op(Put("t/6", "a")) }, Failure = { Op(Put("t/6", "b")) } }) } }),
        ("hash after transactions", new HashKVRequest()),
    ];

    private static IEnumerable<(string, IMessage)> TxnFaults()
    {
        var many = new TxnRequest();
        var longest = new TxnRequest();
        for (int i = 0; i < 129; i++)
        {
            many.Failure.Add(Op(Range("a")));
            if (i < 128)
            {
                longest.Success.Add(Op(Range("a")));
            }
        }

        yield return ("128 operations", With(longest.Clone(), t => t.Success.Clear()));
        yield return ("129 operations", many);
        yield return ("a nested one shares the limit", new TxnRequest { Success = { Op(longest) } });
        yield return ("a key put twice", new TxnRequest { Success = { Op(Put("d", "1")), Op(Put("d", "2")) } });
        yield return ("a key put twice where it does not run", new TxnRequest { Failure = { Op(Put("d", "1")), Op(Put("d", "2")) } });
        yield return ("a put inside a deleted range", new TxnRequest { Success = { Op(Put("d", "1")), Op(new DeleteRangeRequest { Key = B("a"), RangeEnd = B("z") }) } });
        yield return ("a put at the end of a deleted range", new TxnRequest { Success = { Op(Put("d", "1")), Op(new DeleteRangeRequest { Key = B("c5"), RangeEnd = B("d") }) } });
        yield return ("a put over a nested put", new TxnRequest { Success = { Op(Put("d", "1")), Op(new TxnRequest { Success = { Op(Put("d", "2")) } }) } });
        yield return ("a put over a nested delete", new TxnRequest { Success = { Op(Put("d", "1")), Op(new TxnRequest { Failure = { Op(Delete("d")) } }) } });
        yield return ("an operation that is none", new TxnRequest { Success = { new RequestOp() } });
        yield return ("a compare without a key", new TxnRequest { Compare = { new Compare() } });
        yield return ("a put without a key", new TxnRequest { Success = { Op(new PutRequest()) } });
        yield return ("a fault in the branch that does not run", new TxnRequest { Failure = { Op(new RangeRequest()) } });
        yield return ("keep the value of nothing: nothing is written", new TxnRequest { Success = { Op(Put("u/1", "1")), Op(new PutRequest { Key = B("none"), IgnoreValue = true }) } });
        yield return ("a lease that does not exist: nothing is written", new TxnRequest { Success = { Op(Put("u/1", "1")), Op(new PutRequest { Key = B("u/2"), Lease = 9 }) } });
        yield return ("a future revision: nothing is written", new TxnRequest { Success = { Op(Put("u/1", "1")), Op(With(Range("a"), r => r.Revision = 999)) } });
        yield return ("nothing was written", Prefix("u/"));
        yield return ("such a put in the branch that does not run is fine", new TxnRequest { Success = { Op(Range("none")) }, Failure = { Op(new PutRequest { Key = B("none"), IgnoreValue = true }) } });
    }

    private static IEnumerable<(string, IMessage)> Compactions() =>
    [
        ("compact at a future revision", new CompactionRequest { Revision = 999 }),
        ("compact", new CompactionRequest { Revision = 10, Physical = true }),
        ("compact again", new CompactionRequest { Revision = 10 }),
        ("compact lower", new CompactionRequest { Revision = 3 }),
        ("get below", new RangeRequest { Key = B("a"), Revision = 9 }),
        ("get at it", new RangeRequest { Key = B("r/"), RangeEnd = B("r0"), Revision = 10, KeysOnly = true }),
        ("get above", new RangeRequest { Key = B("r/"), RangeEnd = B("r0"), Revision = 14 }),
        ("get inside a transaction below", new TxnRequest { Success = { Op(With(Range("a"), r => r.Revision = 9)), Op(Put("v", "1")) } }),
        ("get below in the branch that does not run", new TxnRequest { Success = { Op(Range("a")) }, Failure = { Op(With(Range("a"), r => r.Revision = 9)) } }),
        ("hash below", new HashKVRequest { Revision = 9 }),
        ("hash above", new HashKVRequest { Revision = 15 }),
        ("hash now, after compaction", new HashKVRequest()),
        ("compact at a tombstone", new CompactionRequest { Revision = 19, Physical = true }),
        ("hash after it", new HashKVRequest()),
        ("delete everything", new DeleteRangeRequest { Key = Zero, RangeEnd = Zero }),
        ("nothing is left", new RangeRequest { Key = Zero, RangeEnd = Zero }),
        ("hash of what is left", new HashKVRequest()),
    ];

    private static IEnumerable<(string, IMessage)> Sizes() =>
    [
        ("1 MiB", new PutRequest { Key = B("big"), Value = Bytes(1024 * 1024) }),
        ("its size is in the count only", new RangeRequest { Key = B("big"), CountOnly = true }),
        ("more than 1.5 MiB", new PutRequest { Key = B("big"), Value = Bytes((1536 * 1024) + 1) }),
        ("the same in a transaction", new TxnRequest { Success = { Op(new PutRequest { Key = B("big"), Value = Bytes((1536 * 1024) + 1) }) } }),
        ("1.5 MiB to the byte: etcd counts the entry around it", PutOf(1536 * 1024)),
        ("the smallest that is too large for every member", PutOf((1536 * 1024) - 16)),
        ("the largest that every member takes", PutOf((1536 * 1024) - 18)),
        ("move the leader of one", new MoveLeaderRequest { TargetID = 12345 }),
    ];

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    private static ByteString Bytes(int length) => ByteString.CopyFrom(new byte[length]);

    /// <summary>A put whose message has this many bytes; the key takes 5, tag and length of the value 4.</summary>
    private static PutRequest PutOf(int size) => new() { Key = B("big"), Value = Bytes(size - 9) };

    private static RangeRequest Range(string key) => new() { Key = B(key) };

    private static RangeRequest Prefix(string prefix)
    {
        byte[] end = B(prefix).ToByteArray();
        if (end.Length > 0)
        {
            end[^1]++;
        }

        return new RangeRequest { Key = B(prefix), RangeEnd = ByteString.CopyFrom(end) };
    }

    private static PutRequest Put(string key, string value) => new() { Key = B(key), Value = B(value) };

    private static DeleteRangeRequest Delete(string key) => new() { Key = B(key) };

    private static TxnRequest Test(Compare compare) => new() { Compare = { compare } };

    private static RequestOp Op(RangeRequest request) => new() { RequestRange = request };

    private static RequestOp Op(PutRequest request) => new() { RequestPut = request };

    private static RequestOp Op(DeleteRangeRequest request) => new() { RequestDeleteRange = request };

    private static RequestOp Op(TxnRequest request) => new() { RequestTxn = request };

    private static T With<T>(T request, Action<T> change)
    {
        change(request);
        return request;
    }
}
