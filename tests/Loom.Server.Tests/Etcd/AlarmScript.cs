using Google.Protobuf;
using Loom.Server.Etcd.Protos;
using static Loom.Server.Etcd.Protos.AlarmRequest.Types;

namespace Loom.Server.Tests.Etcd;

/// <summary>The calls of the recorded transcript of alarms: raised by hand, so that they stay; what each of them stops; and that disarming brings it back.</summary>
internal static class AlarmScript
{
    public static IEnumerable<(string Title, IMessage Request)> Calls() =>
    [
        ("no alarm is active", new AlarmRequest()),
        ("a status without errors", new StatusRequest()),
        ("put", Put("a", "1")),
        ("put another", Put("b", "1")),
        .. NoSpace(), .. Corrupt(),
    ];

    private static IEnumerable<(string, IMessage)> NoSpace() =>
    [
        ("raise NOSPACE of a member", Alarm(AlarmAction.Activate, 7, AlarmType.Nospace)),
        ("raising it again changes nothing", Alarm(AlarmAction.Activate, 7, AlarmType.Nospace)),
        ("and of another member", Alarm(AlarmAction.Activate, 9, AlarmType.Nospace)),
        ("all alarms", Alarm(AlarmAction.Get, 0, AlarmType.None)),
        ("alarms of a type, whatever the member", Alarm(AlarmAction.Get, 9, AlarmType.Nospace)),
        ("alarms of another type", Alarm(AlarmAction.Get, 0, AlarmType.Corrupt)),
        ("status names them", new StatusRequest()),
        ("put is refused", Put("a", "2")),
        ("a put that could not work is refused for what is wrong with it", new PutRequest { Value = B("x") }),
        ("a put with an unknown lease is refused for the space", new PutRequest { Key = B("a"), Value = B("x"), Lease = 99 }),
        ("a put that keeps the value is refused", new PutRequest { Key = B("a"), IgnoreValue = true }),
        ("txn with a put in the branch that runs", new TxnRequest { Success = { Op(Put("a", "2")) } }),
        ("txn with a put in the branch that does not run", new TxnRequest { Success = { Op(Delete("zz")) }, Failure = { Op(Put("a", "2")) } }),
        ("txn with a put and a delete", new TxnRequest { Success = { Op(Put("a", "2")), Op(Delete("b")) } }),
        ("txn without a put", new TxnRequest { Success = { Op(Delete("b")), Op(Range("a")) } }),
        ("get", Range("a")),
        ("delete", Delete("a")),
        ("compact", new CompactionRequest { Revision = 4 }),
        ("disarm a member that has none", Alarm(AlarmAction.Deactivate, 8, AlarmType.Nospace)),
        ("disarm a type that it does not have", Alarm(AlarmAction.Deactivate, 7, AlarmType.Corrupt)),
        ("disarm without a type", Alarm(AlarmAction.Deactivate, 7, AlarmType.None)),
        ("disarm the first", Alarm(AlarmAction.Deactivate, 7, AlarmType.Nospace)),
        ("one is left, and stops", Put("a", "3")),
        ("disarm the other", Alarm(AlarmAction.Deactivate, 9, AlarmType.Nospace)),
        ("disarming it again changes nothing", Alarm(AlarmAction.Deactivate, 9, AlarmType.Nospace)),
        ("put works", Put("a", "3")),
        ("status without errors again", new StatusRequest()),
        ("an alarm of no member", Alarm(AlarmAction.Activate, 0, AlarmType.Nospace)),
        ("stops as well", Put("a", "4")),
        ("and is disarmed", Alarm(AlarmAction.Deactivate, 0, AlarmType.Nospace)),
    ];

    private static IEnumerable<(string, IMessage)> Corrupt() =>
    [
        ("raise CORRUPT", Alarm(AlarmAction.Activate, 7, AlarmType.Corrupt)),
        ("put under CORRUPT", Put("a", "4")),
        ("delete under CORRUPT", Delete("a")),
        ("txn under CORRUPT", new TxnRequest { Success = { Op(Delete("a")) } }),
        ("compact under CORRUPT", new CompactionRequest { Revision = 5 }),
        ("get under CORRUPT", Range("a")),
        ("a read-only txn under CORRUPT", new TxnRequest { Success = { Op(Range("a")) } }),
        ("the hash under CORRUPT", new HashKVRequest()),
        ("status under CORRUPT", new StatusRequest()),
        ("both alarms", Alarm(AlarmAction.Activate, 7, AlarmType.Nospace)),
        ("listed by type and member", Alarm(AlarmAction.Get, 0, AlarmType.None)),
        ("disarm CORRUPT", Alarm(AlarmAction.Deactivate, 7, AlarmType.Corrupt)),
        ("disarm NOSPACE", Alarm(AlarmAction.Deactivate, 7, AlarmType.Nospace)),
        ("put works after both", Put("a", "5")),
        ("delete works after both", Delete("a")),
    ];

    private static AlarmRequest Alarm(AlarmAction action, ulong member, AlarmType type) => new() { Action = action, MemberID = member, Alarm = type };

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    private static PutRequest Put(string key, string value) => new() { Key = B(key), Value = B(value) };

    private static RangeRequest Range(string key) => new() { Key = B(key) };

    private static DeleteRangeRequest Delete(string key) => new() { Key = B(key) };

    private static RequestOp Op(PutRequest put) => new() { RequestPut = put };

    private static RequestOp Op(DeleteRangeRequest delete) => new() { RequestDeleteRange = delete };

    private static RequestOp Op(RangeRequest range) => new() { RequestRange = range };
}
