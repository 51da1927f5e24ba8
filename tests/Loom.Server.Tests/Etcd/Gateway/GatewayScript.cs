namespace Loom.Server.Tests.Etcd.Gateway;

/// <summary>One request to the gateway. <paramref name="Lines"/>: how many lines of a stream are read before it is left; 0: the answer is read to its end.</summary>
internal sealed record GatewayRequest(string Title, string Path, string? Body, int Lines = 0, string Method = "POST", string? Header = null);

/// <summary>The requests of the recorded transcript: every route that 3.4 and late 3.5 both have, the streams, and what can be wrong with a body.</summary>
internal static class GatewayScript
{
    public static IEnumerable<GatewayRequest> Requests() => [.. Kv(), .. Bodies(), .. Leases(), .. Watches(), .. Rest(), .. Paths(), .. Users(), .. Enabled()];

    private static IEnumerable<GatewayRequest> Kv() =>
    [
        new("put", "/v3/kv/put", """{"key":"YQ==","value":"MQ=="}"""),
        new("put with the previous pair", "/v3/kv/put", """{"key":"YQ==","value":"Mg==","prev_kv":true}"""),
        new("put in camel case", "/v3/kv/put", """{"key":"Yg==","value":"Mw==","prevKv":true,"ignoreLease":false}"""),
        new("put without a key", "/v3/kv/put", "{}"),
        new("put with an unknown lease", "/v3/kv/put", """{"key":"YQ==","lease":"12345"}"""),
        new("range", "/v3/kv/range", """{"key":"YQ=="}"""),
        new("range of a prefix, limited and sorted", "/v3/kv/range", """{"key":"YQ==","range_end":"eg==","limit":"1","sort_order":"DESCEND","sort_target":"KEY","serializable":true}"""),
        new("range with numbers instead of strings and names", "/v3/kv/range", """{"key":"YQ==","range_end":"eg==","limit":1,"sort_order":2,"sort_target":0}"""),
        new("range of everything, keys only", "/v3/kv/range", """{"key":"AA==","range_end":"AA==","keys_only":true}"""),
        new("range, count only", "/v3/kv/range", """{"key":"AA==","range_end":"AA==","count_only":true}"""),
        new("range at a future revision", "/v3/kv/range", """{"key":"YQ==","revision":"99"}"""),
        new("txn", "/v3/kv/txn", """{"compare":[{"target":"VERSION","key":"YQ==","version":"2"}],"success":[{"request_range":{"key":"YQ=="}},{"requestPut":{"key":"Yw=="}}],"failure":[{"request_put":{"key":"ZA=="}}]}"""),
        new("txn as Patroni sends it", "/v3/kv/txn", """{"compare":[{"key":"bGVhZGVy","target":"CREATE","result":"EQUAL","create_revision":"0"}],"success":[{"request_put":{"key":"bGVhZGVy","value":"bjE="}}]}"""),
        new("txn whose compare fails", "/v3/kv/txn", """{"compare":[{"key":"bGVhZGVy","target":"MOD","result":"GREATER","mod_revision":"99"}],"success":[{"request_put":{"key":"bGVhZGVy","value":"bjI="}}],"failure":[{"request_delete_range":{"key":"Yg==","prev_kv":true}},{"request_txn":{"success":[{"request_range":{"key":"bGVhZGVy"}}]}}]}"""),
        new("txn with a value compare", "/v3/kv/txn", """{"compare":[{"key":"YQ==","target":"VALUE","value":"Mg=="}]}"""),
        new("txn with a duplicate key", "/v3/kv/txn", """{"success":[{"request_put":{"key":"YQ=="}},{"request_put":{"key":"YQ=="}}]}"""),
        new("delete of a range", "/v3/kv/deleterange", """{"key":"Yw==","range_end":"ZA==","prev_kv":true}"""),
        new("delete of nothing", "/v3/kv/deleterange", """{"key":"bm9uZQ=="}"""),
        new("compaction", "/v3/kv/compaction", """{"revision":"3","physical":true}"""),
        new("compaction of the future", "/v3/kv/compaction", """{"revision":"99"}"""),
        new("range at a compacted revision", "/v3/kv/range", """{"key":"YQ==","revision":"2"}"""),
    ];

    private static IEnumerable<GatewayRequest> Bodies() =>
    [
        new("an empty body", "/v3/kv/range", ""),
        new("only spaces", "/v3/kv/range", " \n\t "),
        new("null", "/v3/kv/range", "null"),
        new("no JSON", "/v3/kv/range", "hello"),
        new("a form", "/v3/kv/range", "key=YQ=="),
        new("an object that does not end", "/v3/kv/range", """{"key":"""),
        new("a string that does not end", "/v3/kv/range", """{"key":"YQ"""),
        new("a comma too many", "/v3/kv/range", """{"key":"YQ==",}"""),
        new("no comma", "/v3/kv/range", """{"key":"YQ==" "limit":1}"""),
        new("no colon", "/v3/kv/range", """{"key" "YQ=="}"""),
        new("no quotes", "/v3/kv/range", """{key:"YQ=="}"""),
        new("single quotes", "/v3/kv/range", """{'key':"YQ=="}"""),
        new("a bad literal", "/v3/kv/range", """{"serializable":tru}"""),
        new("a bad escape", "/v3/kv/range", """{"key":"\q"}"""),
        new("a bad hexadecimal escape", "/v3/kv/range", """{"key":"\u12x4"}"""),
        new("a line break in a string", "/v3/kv/range", "{\"key\":\"Y\nQ\"}"),
        new("a bad number", "/v3/kv/range", """{"limit":-}"""),
        new("a bad fraction", "/v3/kv/range", """{"limit":1.x}"""),
        new("a bad exponent", "/v3/kv/range", """{"limit":1ex}"""),
        new("an array", "/v3/kv/range", "[]"),
        new("a number", "/v3/kv/range", "5"),
        new("a string", "/v3/kv/range", "\"x\""),
        new("a boolean", "/v3/kv/range", "true"),
        new("a number for bytes", "/v3/kv/range", """{"key":5}"""),
        new("an object for bytes", "/v3/kv/range", """{"key":{}}"""),
        new("no base64: too short", "/v3/kv/range", """{"key":"YQ"}"""),
        new("no base64: another alphabet", "/v3/kv/range", """{"key":"YQ_-"}"""),
        new("no number in a string", "/v3/kv/range", """{"key":"YQ==","limit":"x"}"""),
        new("an empty string for a number", "/v3/kv/range", """{"key":"YQ==","limit":""}"""),
        new("an object for a number", "/v3/kv/range", """{"key":"YQ==","limit":{}}"""),
        new("a boolean for a number", "/v3/kv/range", """{"key":"YQ==","limit":true}"""),
        new("a fraction for a number", "/v3/kv/range", """{"key":"YQ==","limit":1.0}"""),
        new("a number too large", "/v3/kv/range", """{"key":"YQ==","limit":"9223372036854775808"}"""),
        new("a string for a boolean", "/v3/kv/range", """{"key":"YQ==","serializable":"true"}"""),
        new("an unknown name of an enum", "/v3/kv/range", """{"key":"YQ==","sort_order":"BLA"}"""),
        new("an unknown number of an enum", "/v3/kv/range", """{"key":"YQ==","sort_order":7}"""),
        new("an object for a list", "/v3/kv/txn", """{"compare":{}}"""),
        new("a string for a message", "/v3/kv/txn", """{"compare":["x"]}"""),
        new("null for fields", "/v3/kv/range", """{"key":"YQ==","limit":null,"sort_order":null}"""),
        new("unknown fields", "/v3/kv/range", """{"key":"YQ==","foo":{"a":[1,2,{"b":null}]}}"""),
        new("something behind the request", "/v3/kv/range", """{"key":"YQ=="} trailing"""),
        new("two requests", "/v3/kv/range", """{"key":"YQ=="}{"key":"Yg=="}"""),
    ];

    private static IEnumerable<GatewayRequest> Leases() =>
    [
        new("grant", "/v3/lease/grant", """{"TTL":60,"ID":"77"}"""),
        new("grant of one that exists", "/v3/lease/grant", """{"TTL":"60","ID":77}"""),
        new("grant of too long a lease", "/v3/lease/grant", """{"TTL":"9000000001","ID":78}"""),
        new("a key with the lease", "/v3/kv/put", """{"key":"bGs=","value":"MQ==","lease":"77"}"""),
        new("the pair tells its lease", "/v3/kv/range", """{"key":"bGs="}"""),
        new("keep-alive", "/v3/lease/keepalive", """{"ID":"77"}"""),
        new("keep-alive of several, one of them gone", "/v3/lease/keepalive", """{"ID":77} {"ID":78}{"ID":"77"}"""),
        new("keep-alive without a request", "/v3/lease/keepalive", ""),
        new("keep-alive of junk", "/v3/lease/keepalive", "junk"),
        new("keep-alive of a bad id", "/v3/lease/keepalive", """{"ID":"x"}"""),
        new("keep-alive, then junk", "/v3/lease/keepalive", """{"ID":77}junk"""),
        new("time to live of a lease that is gone", "/v3/lease/timetolive", """{"ID":78}"""),
        new("time to live, with keys", "/v3/kv/lease/timetolive", """{"ID":"77","keys":true}"""),
        new("leases", "/v3/lease/leases", "{}"),
        new("leases, by the older path", "/v3/kv/lease/leases", ""),
        new("revoke", "/v3/lease/revoke", """{"ID":"77"}"""),
        new("revoke again, by the older path", "/v3/kv/lease/revoke", """{"ID":"77"}"""),
        new("its key is gone", "/v3/kv/range", """{"key":"bGs="}"""),
    ];

    private static IEnumerable<GatewayRequest> Watches() =>
    [
        new("watch from a revision", "/v3/watch", """{"create_request":{"key":"YQ==","range_end":"eg==","start_revision":"4","filters":[],"prev_kv":true}}""", Lines: 2),
        new("watch without deletes", "/v3/watch", """{"create_request":{"key":"YQ==","range_end":"eg==","start_revision":"4","filters":["NODELETE"],"watch_id":"9"}}""", Lines: 2),
        new("watch below the compacted revision", "/v3/watch", """{"create_request":{"key":"YQ==","start_revision":1}}""", Lines: 2),
        new("watch and a request for progress", "/v3/watch", """{"create_request":{"key":"YQ=="}}{"progress_request":{}}""", Lines: 2),
        new("two watches, one canceled", "/v3/watch", """{"create_request":{"key":"YQ=="}}{"create_request":{"key":"Yg=="}}{"cancel_request":{"watch_id":1}}""", Lines: 3),
        new("watch, then junk", "/v3/watch", """{"create_request":{"key":"YQ==","start_revision":"3"}}junk""", Lines: 2),
        new("watch of junk", "/v3/watch", "junk"),
        new("watch of an empty range", "/v3/watch", """{"create_request":{"key":"Yg==","range_end":"YQ=="}}""", Lines: 1),
    ];

    private static IEnumerable<GatewayRequest> Rest() =>
    [
        new("transfer of leadership to nobody", "/v3/maintenance/transfer-leadership", """{"targetID":"0"}"""),
        new("defragment", "/v3/maintenance/defragment", "{}"),
        new("member list", "/v3/cluster/member/list", "{}"),
        new("a leader is there", "/v3/kv/range", """{"key":"YQ==","count_only":true}""", Header: "Grpc-Metadata-hasleader: true"),
        new("a bad timeout", "/v3/kv/range", """{"key":"YQ=="}""", Header: "Grpc-Timeout: soon"),
    ];

    private static IEnumerable<GatewayRequest> Users() =>
    [
        new("log in where nobody asks", "/v3/auth/authenticate", """{"name":"root","password":"r"}"""),
        new("enable without root", "/v3/auth/enable", "{}"),
        new("add a user", "/v3/auth/user/add", """{"name":"root","password":"r"}"""),
        new("add it again", "/v3/auth/user/add", """{"name":"root","password":"r"}"""),
        new("add one without a name", "/v3/auth/user/add", """{"password":"r"}"""),
        new("add one without a password", "/v3/auth/user/add", """{"name":"nil","options":{"no_password":true}}"""),
        new("add ann", "/v3/auth/user/add", """{"name":"ann","password":"a"}"""),
        new("users", "/v3/auth/user/list", "{}"),
        new("enable without root's role", "/v3/auth/enable", "{}"),
        new("add a role", "/v3/auth/role/add", """{"name":"reader"}"""),
        new("add it again", "/v3/auth/role/add", """{"name":"reader"}"""),
        new("permit it a range", "/v3/auth/role/grant", """{"name":"reader","perm":{"permType":"READ","key":"YQ==","range_end":"Yg=="}}"""),
        new("permit it a key", "/v3/auth/role/grant", """{"name":"reader","perm":{"permType":2,"key":"eg=="}}"""),
        new("the role", "/v3/auth/role/get", """{"role":"reader"}"""),
        new("forbid it the key", "/v3/auth/role/revoke", """{"role":"reader","key":"eg=="}"""),
        new("forbid it what it has not", "/v3/auth/role/revoke", """{"role":"reader","key":"eg=="}"""),
        new("roles", "/v3/auth/role/list", "{}"),
        new("give ann the role", "/v3/auth/user/grant", """{"user":"ann","role":"reader"}"""),
        new("give nobody the role", "/v3/auth/user/grant", """{"user":"bob","role":"reader"}"""),
        new("ann", "/v3/auth/user/get", """{"name":"ann"}"""),
        new("take it from her", "/v3/auth/user/revoke", """{"name":"ann","role":"reader"}"""),
        new("take it again", "/v3/auth/user/revoke", """{"name":"ann","role":"reader"}"""),
        new("another password", "/v3/auth/user/changepw", """{"name":"ann","password":"b"}"""),
        new("remove a user", "/v3/auth/user/delete", """{"name":"nil"}"""),
        new("remove a role", "/v3/auth/role/delete", """{"name":"reader"}"""),
        new("remove it again", "/v3/auth/role/delete", """{"name":"reader"}"""),
        new("root's role", "/v3/auth/user/grant", """{"user":"root","role":"root"}"""),
        new("disable what is not enabled", "/v3/auth/disable", "{}"),
    ];

    /// <summary>From here on the server asks who calls; this comes last.</summary>
    private static IEnumerable<GatewayRequest> Enabled() =>
    [
        new("enable", "/v3/auth/enable", "{}"),
        new("enable again, without a token", "/v3/auth/enable", "{}"),
        new("a range without a token", "/v3/kv/range", """{"key":"YQ=="}"""),
        new("a put with a wrong token", "/v3/kv/put", """{"key":"YQ=="}""", Header: "Authorization: nonsense"),
        new("a watch without a token", "/v3/watch", """{"create_request":{"key":"YQ=="}}""", Lines: 1),
        new("a backup without a token", "/v3/maintenance/snapshot", "{}"),
        new("the members, as Patroni asks for them", "/v3/cluster/member/list", "{}"),
        new("a wrong password", "/v3/auth/authenticate", """{"name":"root","password":"x"}"""),
        new("log in", "/v3/auth/authenticate", """{"name":"root","password":"r"}"""),
        new("users, without a token", "/v3/auth/user/list", "{}"),
    ];

    private static IEnumerable<GatewayRequest> Paths() =>
    [
        new("the older name", "/v3beta/kv/range", """{"key":"YQ==","count_only":true}"""),
        new("an unknown path", "/v3/nothing", "{}"),
        new("a slash too many", "/v3/kv/range/", """{"key":"YQ=="}"""),
        new("GET", "/v3/kv/range", null, Method: "GET"),
        new("PUT", "/v3/kv/range", "{}", Method: "PUT"),
        new("OPTIONS", "/v3/kv/range", null, Method: "OPTIONS"),
    ];
}
