using Google.Protobuf;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// The calls of the recorded transcript of users and roles. A <see cref="Login"/> keeps the token that it gets, and the calls after it are that user's. What late etcd 3.5 does differently from 3.4, which the record
/// is from, is not in it: a Bearer prefix, ranges that hold no key, AuthStatus, what needs root or any token there, the keys of leases, tokens that are shown while it is disabled or with a login; nor are the two
/// requests that crash 3.4. <see cref="DenialTests"/> has those.
/// </summary>
internal static class AuthScript
{
    public static IEnumerable<(string Title, IMessage Request)> Calls() => [.. Users(), .. Roles(), .. Enabling(), .. OfAnn(), .. Transactions(), .. Leases(), .. Changes(), .. Ends()];

    private static IEnumerable<(string, IMessage)> Users() =>
    [
        ("a login while it is not enabled", Login("ann", "pa")),
        ("enabling without root", new AuthEnableRequest()),
        ("no user", new AuthUserListRequest()),
        ("add root", new AuthUserAddRequest { Name = "root", Password = "pr" }),
        ("enabling without the role", new AuthEnableRequest()),
        ("add ann", new AuthUserAddRequest { Name = "ann", Password = "pa" }),
        ("add her again", new AuthUserAddRequest { Name = "ann", Password = "other" }),
        ("add nobody", new AuthUserAddRequest { Password = "x" }),
        ("add bob, without a password", new AuthUserAddRequest { Name = "bob", Options = new UserAddOptions { NoPassword = true } }),
        ("add cid", new AuthUserAddRequest { Name = "cid", Password = "pc" }),
        ("the users", new AuthUserListRequest()),
        ("ann has no role", new AuthUserGetRequest { Name = "ann" }),
        ("a user who is not there", new AuthUserGetRequest { Name = "zoe" }),
        ("delete one who is not there", new AuthUserDeleteRequest { Name = "zoe" }),
        ("delete cid", new AuthUserDeleteRequest { Name = "cid" }),
        ("another password for one who is not there", new AuthUserChangePasswordRequest { Name = "zoe", Password = "x" }),
    ];

    private static IEnumerable<(string, IMessage)> Roles() =>
    [
        ("no role", new AuthRoleListRequest()),
        ("add r", new AuthRoleAddRequest { Name = "r" }),
        ("add it again", new AuthRoleAddRequest { Name = "r" }),
        ("add w", new AuthRoleAddRequest { Name = "w" }),
        ("add a role without a name", new AuthRoleAddRequest()),
        ("add a role that goes", new AuthRoleAddRequest { Name = "gone" }),
        ("the roles", new AuthRoleListRequest()),
        ("r permits nothing", new AuthRoleGetRequest { Role = "r" }),
        ("a role that is not there", new AuthRoleGetRequest { Role = "none" }),
        ("r may read and write a/", Grant("r", Permission.Types.Type.Readwrite, "a/", "a0")),
        ("and read b", Grant("r", Permission.Types.Type.Read, "b")),
        ("and read a part of a/, which changes nothing", Grant("r", Permission.Types.Type.Read, "a/x", "a/y")),
        ("w may write w", Grant("w", Permission.Types.Type.Write, "w")),
        ("and c/ up to d", Grant("w", Permission.Types.Type.Readwrite, "c/", "d")),
        ("and d up to e, which touches it", Grant("w", Permission.Types.Type.Readwrite, "d", "e")),
        ("a permission for a role that is not there", Grant("none", Permission.Types.Type.Read, "x")),
        ("r as it is", new AuthRoleGetRequest { Role = "r" }),
        ("of the same range another kind", Grant("r", Permission.Types.Type.Readwrite, "a/x", "a/y")),
        ("takes its place", new AuthRoleGetRequest { Role = "r" }),
        ("take it away", new AuthRoleRevokePermissionRequest { Role = "r", Key = B("a/x"), RangeEnd = B("a/y") }),
        ("again", new AuthRoleRevokePermissionRequest { Role = "r", Key = B("a/x"), RangeEnd = B("a/y") }),
        ("another range", new AuthRoleRevokePermissionRequest { Role = "r", Key = B("a/"), RangeEnd = B("a1") }),
        ("of a role that is not there", new AuthRoleRevokePermissionRequest { Role = "none", Key = B("a/") }),
        ("ann has r", new AuthUserGrantRoleRequest { User = "ann", Role = "r" }),
        ("again", new AuthUserGrantRoleRequest { User = "ann", Role = "r" }),
        ("and w", new AuthUserGrantRoleRequest { User = "ann", Role = "w" }),
        ("and the one that goes", new AuthUserGrantRoleRequest { User = "ann", Role = "gone" }),
        ("a role that is not there", new AuthUserGrantRoleRequest { User = "ann", Role = "none" }),
        ("a user who is not there", new AuthUserGrantRoleRequest { User = "zoe", Role = "r" }),
        ("ann's roles", new AuthUserGetRequest { Name = "ann" }),
        ("delete the role", new AuthRoleDeleteRequest { Role = "gone" }),
        ("she has it no more", new AuthUserGetRequest { Name = "ann" }),
        ("delete it again", new AuthRoleDeleteRequest { Role = "gone" }),
        ("take a role that she has not", new AuthUserRevokeRoleRequest { Name = "ann", Role = "gone" }),
        ("from a user who is not there", new AuthUserRevokeRoleRequest { Name = "zoe", Role = "r" }),
        ("root's role need not be made", new AuthUserGrantRoleRequest { User = "root", Role = "root" }),
    ];

    private static IEnumerable<(string, IMessage)> Enabling() =>
    [
        ("a key for everybody", Put("b", "1")),
        ("and one that is nobody's", Put("z", "1")),
        ("enable", new AuthEnableRequest()),
        ("nobody reads", Get("b")),
        ("nor writes", Put("b", "2")),
        ("nor deletes", new DeleteRangeRequest { Key = B("b") }),
        ("nor runs a transaction", new TxnRequest { Success = { Op(Get("b")) } }),
        ("nor one that writes", new TxnRequest { Success = { Op(Put("b", "2")) } }),
        ("nor users", new AuthUserListRequest()),
        ("nor disables", new AuthDisableRequest()),
        ("a wrong password", Login("ann", "px")),
        ("a user who is not there", Login("zoe", "px")),
        ("a user without a password", Login("bob", "px")),
        ("without a name", Login("", "px")),
        ("a wrong token", Show("abcdefghijklmnop.7")),
        ("reads", Get("b")),
        ("writes", Put("b", "2")),
        ("reads in its own time", new RangeRequest { Key = B("b"), Serializable = true }),
        ("sees users", new AuthUserListRequest()),
        ("no token at all", Show("nonsense")),
        ("reads", Get("b")),
    ];

    private static IEnumerable<(string, IMessage)> OfAnn() =>
    [
        ("no token", Show("")),
        ("ann", Login("ann", "pa")),
        ("reads what she may", Get("b")),
        ("and may not write it", Put("b", "2")),
        ("a key that nobody may", Get("z")),
        ("writes", Put("a/1", "1")),
        ("with the previous pair", new PutRequest { Key = B("a/1"), Value = B("2"), PrevKv = true }),
        ("where she may only write", Put("w", "1")),
        ("the previous pair of that", new PutRequest { Key = B("w"), Value = B("2"), PrevKv = true }),
        ("or of its deletion", new DeleteRangeRequest { Key = B("w"), PrevKv = true }),
        ("a deletion without", new DeleteRangeRequest { Key = B("w") }),
        ("reads it not", Get("w")),
        ("a range", Prefix("a/", "a0")),
        ("a part of it", Prefix("a/1", "a/2")),
        ("more than that", Prefix("a/", "a1")),
        ("from there on", Prefix("a/", "\0")),
        ("everything", Prefix("\0", "\0")),
        ("two permissions that touch", Prefix("c/", "e")),
        ("and a little more", Prefix("c/", "e\0")),
        ("deletes over both", new DeleteRangeRequest { Key = B("c/"), RangeEnd = B("e") }),
        ("counts", new RangeRequest { Key = B("a/"), RangeEnd = B("a0"), CountOnly = true }),
        ("counts what she may not", new RangeRequest { Key = B("z"), CountOnly = true }),
        ("herself", new AuthUserGetRequest { Name = "ann" }),
        ("root", new AuthUserGetRequest { Name = "root" }),
        ("her role", new AuthRoleGetRequest { Role = "w" }),
        ("another", new AuthRoleGetRequest { Role = "root" }),
        ("users", new AuthUserListRequest()),
        ("roles", new AuthRoleListRequest()),
        ("adds a user", new AuthUserAddRequest { Name = "eve", Password = "x" }),
        ("makes herself root", new AuthUserGrantRoleRequest { User = "ann", Role = "root" }),
        ("changes her own password", new AuthUserChangePasswordRequest { Name = "ann", Password = "x" }),
        ("widens her role", Grant("r", Permission.Types.Type.Readwrite, "\0", "\0")),
        ("disables", new AuthDisableRequest()),
        ("enables", new AuthEnableRequest()),
    ];

    private static IEnumerable<(string, IMessage)> Transactions() =>
    [
        ("a compare that she may", new TxnRequest { Compare = { Version("b") }, Success = { Op(Put("a/2", "1")) } }),
        ("a compare that she may not", new TxnRequest { Compare = { Version("z") }, Success = { Op(Put("a/2", "1")) } }),
        ("in the branch that runs", new TxnRequest { Success = { Op(Put("z", "2")) } }),
        ("in the branch that does not run", new TxnRequest { Success = { Op(Put("a/2", "2")) }, Failure = { Op(Put("z", "2")) } }),
        ("read there", new TxnRequest { Success = { Op(Put("a/2", "2")) }, Failure = { Op(Get("z")) } }),
        ("deleted there", new TxnRequest { Success = { Op(Put("a/2", "2")) }, Failure = { Op(new DeleteRangeRequest { Key = B("z") }) } }),
        ("read-only, in the branch that runs", new TxnRequest { Success = { Op(Get("z")) } }),
        ("read-only, in the other", new TxnRequest { Success = { Op(Get("b")) }, Failure = { Op(Get("z")) } }),
        ("deleted with the previous pair, where she may only write", new TxnRequest { Success = { Op(new DeleteRangeRequest { Key = B("w"), PrevKv = true }) } }),
        ("all permitted", new TxnRequest { Compare = { Version("a/2") }, Success = { Op(Put("a/2", "3")), Op(Get("b")) }, Failure = { Op(Put("w", "3")) } }),
        ("nothing of the others was written", Prefix("a/", "a0")),
    ];

    private static IEnumerable<(string, IMessage)> Leases() =>
    [
        ("a lease", new LeaseGrantRequest { ID = 21, TTL = 600 }),
        ("with her key", new PutRequest { Key = B("a/l"), Lease = 21 }),
        ("renew", new LeaseKeepAliveRequest { ID = 21 }),
        ("its keys", new LeaseTimeToLiveRequest { ID = 21, Keys = true }),
        ("the leases", new LeaseLeasesRequest()),
        ("root", Login("root", "pr")),
        ("puts another key with it", new PutRequest { Key = B("z"), Lease = 21 }),
        ("and looks", new LeaseTimeToLiveRequest { ID = 21, Keys = true }),
        ("ann", Login("ann", "pa")),
        ("may not add to it", new PutRequest { Key = B("a/m"), Lease = 21 }),
        ("nor end it", new LeaseRevokeRequest { ID = 21 }),
        ("root", Login("root", "pr")),
        ("renews it", new LeaseKeepAliveRequest { ID = 21 }),
        ("sees all", new LeaseLeasesRequest()),
        ("ends it", new LeaseRevokeRequest { ID = 21 }),
    ];

    private static IEnumerable<(string, IMessage)> Changes() =>
    [
        ("root is not deleted", new AuthUserDeleteRequest { Name = "root" }),
        ("nor loses its role", new AuthUserRevokeRoleRequest { Name = "root", Role = "root" }),
        ("nor is that deleted", new AuthRoleDeleteRequest { Role = "root" }),
        ("enabled already", new AuthEnableRequest()),
        ("the users", new AuthUserListRequest()),
        ("adds the role root", new AuthRoleAddRequest { Name = "root" }),
        ("which has no permission of its own", new AuthRoleGetRequest { Role = "root" }),
        ("takes a role from ann", new AuthUserRevokeRoleRequest { Name = "ann", Role = "w" }),
        ("ann", Login("ann", "pa")),
        ("has it no more", Put("w", "9")),
        ("and the other still", Put("a/9", "9")),
        ("root", Login("root", "pr")),
        ("takes a permission from the role", new AuthRoleRevokePermissionRequest { Role = "r", Key = B("a/"), RangeEnd = B("a0") }),
        ("everything, also what ends", Prefix("\0", "\0")),
        ("ann", Login("ann", "pa")),
        ("may not write any more", Put("a/9", "10")),
        ("nor read", Get("a/9")),
        ("but the rest", Get("b")),
        ("root", Login("root", "pr")),
        ("gives bob a password, which he does not get", new AuthUserChangePasswordRequest { Name = "bob", Password = "pb" }),
        ("and cannot use", Login("bob", "pb")),
        ("gives ann another", new AuthUserChangePasswordRequest { Name = "ann", Password = "pa2" }),
        ("the old one", Login("ann", "pa")),
        ("the new one", Login("ann", "pa2")),
        ("reads", Get("b")),
    ];

    private static IEnumerable<(string, IMessage)> Ends() =>
    [
        ("root", Login("root", "pr")),
        ("deletes ann", new AuthUserDeleteRequest { Name = "ann" }),
        ("whose password is none any more", Login("ann", "pa2")),
        ("compacts", new CompactionRequest { Revision = 4 }),
        ("disables", new AuthDisableRequest()),
        ("nobody is asked", Show("")),
        ("disables again", new AuthDisableRequest()),
        ("reads", Get("z")),
        ("a login", Login("root", "pr")),
        ("the hash of it all", new HashKVRequest()),
    ];

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    /// <summary>No call: the token that the next ones show; an empty one: none.</summary>
    private static AuthenticateResponse Show(string token) => new() { Token = token };

    private static AuthenticateRequest Login(string name, string password) => new() { Name = name, Password = password };

    private static AuthRoleGrantPermissionRequest Grant(string role, Permission.Types.Type kind, string key, string end = "") =>
        new() { Name = role, Perm = new Permission { PermType = kind, Key = B(key), RangeEnd = B(end) } };

    private static PutRequest Put(string key, string value) => new() { Key = B(key), Value = B(value) };

    private static RangeRequest Get(string key) => new() { Key = B(key) };

    private static RangeRequest Prefix(string key, string end) => new() { Key = B(key), RangeEnd = B(end) };

    private static Compare Version(string key) => new() { Key = B(key), Target = Compare.Types.CompareTarget.Version, Result = Compare.Types.CompareResult.Greater };

    private static RequestOp Op(PutRequest put) => new() { RequestPut = put };

    private static RequestOp Op(RangeRequest range) => new() { RequestRange = range };

    private static RequestOp Op(DeleteRangeRequest delete) => new() { RequestDeleteRange = delete };
}
