using Google.Protobuf;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Tests.Etcd;

/// <summary>The calls of the recorded transcript of leases. None of them ends by time: when is each server's own.</summary>
internal static class LeaseScript
{
    public static IEnumerable<(string Title, IMessage Request)> Calls() => [.. Grants(), .. Keys(), .. Transactions(), .. Ends()];

    private static IEnumerable<(string, IMessage)> Grants() =>
    [
        ("no lease", new LeaseLeasesRequest()),
        ("grant with an id", Grant(11, 100)),
        ("the id is taken", Grant(11, 200)),
        ("a negative id", Grant(-5, 300)),
        ("too short: the least", Grant(12, 1)),
        ("revoke it before it ends", Revoke(12)),
        ("none at all: the least", Grant(12, 0)),
        ("and again", Revoke(12)),
        ("a negative time: the least", Grant(12, -7)),
        ("and again", Revoke(12)),
        ("the longest", Grant(13, 9_000_000_000)),
        ("longer", Grant(14, 9_000_000_001)),
        ("the list, the one due first in front", new LeaseLeasesRequest()),
        ("time to live", new LeaseTimeToLiveRequest { ID = 11 }),
        ("with keys, of which there are none", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("of one that is not there", new LeaseTimeToLiveRequest { ID = 999, Keys = true }),
        ("of 0", new LeaseTimeToLiveRequest()),
        ("renew", Renew(11)),
        ("renew the negative one", Renew(-5)),
        ("renew one that is not there", Renew(999)),
        ("renew 0", Renew(0)),
        ("revoke one that is not there", Revoke(999)),
        ("revoke 0", Revoke(0)),
        ("none of it has changed a key", Range("a")),
    ];

    private static IEnumerable<(string, IMessage)> Keys() =>
    [
        ("put with a lease", Put("a/2", 11)),
        ("and another key", Put("a/1", 11)),
        ("with the negative lease", Put("a/3", -5)),
        ("with a lease that is not there", Put("a/4", 999)),
        ("the keys of the lease, in order", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("the pairs name their lease", Range("a/1")),
        ("renew", Renew(11)),
        ("a put without the lease detaches", Put("a/1", 0)),
        ("it is gone", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("and back", Put("a/1", 11)),
        ("another lease takes the key over", Put("a/1", -5)),
        ("from the one", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("to the other", new LeaseTimeToLiveRequest { ID = -5, Keys = true }),
        ("a put that keeps the lease", new PutRequest { Key = B("a/1"), Value = B("kept"), IgnoreLease = true }),
        ("keeps it", Range("a/1")),
        ("a put that keeps the value, with another lease", new PutRequest { Key = B("a/1"), Lease = 11, IgnoreValue = true }),
        ("moves it", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("a lease and to keep it", new PutRequest { Key = B("a/1"), Lease = 11, IgnoreLease = true }),
        ("to keep the lease of a key that is not there", new PutRequest { Key = B("none"), IgnoreLease = true }),
        ("a delete detaches", new DeleteRangeRequest { Key = B("a/1"), PrevKv = true }),
        ("it is gone", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
    ];

    private static IEnumerable<(string, IMessage)> Transactions() =>
    [
        ("compare with a lease", new TxnRequest { Compare = { Lease("a/2", 11) }, Success = { Op(Put("t/1", 11)), Op(Put("t/2", -5)), Op(new RangeRequest { Key = B("t/"), RangeEnd = B("t0") }) } }),
        ("a lease that is not there: nothing is written", new TxnRequest { Success = { Op(Put("t/3", 11)), Op(Put("t/4", 999)) } }),
        ("nothing", new RangeRequest { Key = B("t/3") }),
        ("the compare that does not hold", new TxnRequest { Compare = { Lease("a/2", 12) }, Success = { Op(Put("t/5", 11)) }, Failure = { Op(Put("t/6", 0)) } }),
        ("deleted and put again in one", new TxnRequest { Success = { Op(new TxnRequest { Success = { Op(new DeleteRangeRequest { Key = B("t/1") }) } }), Op(Put("t/7", 11)) } }),
        ("the keys of the lease", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
    ];

    private static IEnumerable<(string, IMessage)> Ends() =>
    [
        ("revoke deletes its keys at one revision", Revoke(11)),
        ("they are gone", new RangeRequest { Key = B("\0"), RangeEnd = B("\0") }),
        ("and were there before", new RangeRequest { Key = B("\0"), RangeEnd = B("\0"), Revision = 12 }),
        ("it is gone", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("renewed too late", Renew(11)),
        ("revoked again", Revoke(11)),
        ("a put with it", Put("a/2", 11)),
        ("granted again: its old keys are not its own", Grant(11, 50)),
        ("no key", new LeaseTimeToLiveRequest { ID = 11, Keys = true }),
        ("revoke a lease without keys: no revision", Revoke(11)),
        ("the list", new LeaseLeasesRequest()),
        ("raise NOSPACE", new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Activate, MemberID = 7, Alarm = AlarmType.Nospace }),
        ("a grant is refused", Grant(20, 60)),
        ("a renewal is not", Renew(-5)),
        ("a revocation is not", Revoke(-5)),
        ("disarm", new AlarmRequest { Action = AlarmRequest.Types.AlarmAction.Deactivate, MemberID = 7, Alarm = AlarmType.Nospace }),
        ("what is left", new RangeRequest { Key = B("\0"), RangeEnd = B("\0") }),
        ("the hash of it all", new HashKVRequest()),
    ];

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    private static LeaseGrantRequest Grant(long id, long seconds) => new() { ID = id, TTL = seconds };

    private static LeaseRevokeRequest Revoke(long id) => new() { ID = id };

    private static LeaseKeepAliveRequest Renew(long id) => new() { ID = id };

    private static PutRequest Put(string key, long lease) => new() { Key = B(key), Value = B("v"), Lease = lease };

    private static RangeRequest Range(string key) => new() { Key = B(key) };

    private static Compare Lease(string key, long lease) => new() { Key = B(key), Target = Compare.Types.CompareTarget.Lease, Lease = lease };

    private static RequestOp Op(PutRequest put) => new() { RequestPut = put };

    private static RequestOp Op(RangeRequest range) => new() { RequestRange = range };

    private static RequestOp Op(DeleteRangeRequest delete) => new() { RequestDeleteRange = delete };

    private static RequestOp Op(TxnRequest txn) => new() { RequestTxn = txn };
}
