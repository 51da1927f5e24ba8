using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Goal: who may do what is as in etcd, in combinations that nobody thought of. Method: the same random calls of several users, among them those that change users and roles, at a real etcd 3.4.23 and at the node; every answer
/// and error is compared, and the hash of the history at the end. Left out is what the two do differently by choice (docs/etcd-compatibility.md).
/// </summary>
[TestFixture]
internal sealed class AuthDifferentialTests
{
    private const int Calls = 400;
    private static readonly string[] Users = ["ann", "bob", "cid"];
    private static readonly string[] Roles = ["r", "s", "t"];

    [TestCase(1)]
    [TestCase(2)]
    [TestCase(3)]
    [TestCase(4)]
    public async Task Random_calls_of_users_have_etcd_s_answers(int seed)
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync("--bcrypt-cost", "4");
        await using TestNode node = await TestNode.StartAsync(options: new Loom.Store.LoomOptions { PasswordCost = 4 });
        var both = new Pair(etcd.Channel.CreateCallInvoker(), node.Channel.CreateCallInvoker());
        var draw = new Draw(seed);
        foreach (IMessage request in Beginning())
        {
            await both.CompareAsync("", request);
        }

        int denied = 0;
        for (int i = 0; i < Calls; i++)
        {
            (string user, IMessage request) = draw.Next();
            string answer = await both.CompareAsync(user, request);
            denied += answer.Contains("permission denied", StringComparison.Ordinal) ? 1 : 0;
        }

        await both.CompareAsync("", new AuthenticateRequest { Name = "root", Password = "pr" });
        await both.CompareAsync("root", new HashKVRequest());
        Assert.That(denied, Is.InRange(Calls / 20, Calls * 3 / 4), "too little is forbidden, or too much");
    }

    private static IEnumerable<IMessage> Beginning() =>
    [
        new AuthUserAddRequest { Name = "root", Password = "pr" },
        new AuthUserGrantRoleRequest { User = "root", Role = "root" },
        .. Users.Select(user => new AuthUserAddRequest { Name = user, Password = "p" }),
        .. Roles.Select(role => new AuthRoleAddRequest { Name = role }),
        .. Users.Select((user, i) => new AuthUserGrantRoleRequest { User = user, Role = Roles[i] }),
        new AuthEnableRequest(),
        new AuthenticateRequest { Name = "root", Password = "pr" },
        .. Users.Select(user => new AuthenticateRequest { Name = user, Password = "p" }),
    ];

    /// <summary>Both servers, with the tokens of each.</summary>
    private sealed class Pair(CallInvoker etcd, CallInvoker node)
    {
        private readonly Dictionary<string, (string Etcd, string Node)> tokens = [];
        private int count;

        public async Task<string> CompareAsync(string user, IMessage request)
        {
            (string Etcd, string Node) shown = tokens.GetValueOrDefault(user, ("", ""));
            (string Etcd, string Node) given = shown;
            string expected = await Transcript.AnswerAsync(As(etcd, shown.Etcd), request, token => given.Etcd = token);
            string actual = await Transcript.AnswerAsync(As(node, shown.Node), request, token => given.Node = token);
            Assert.That(actual, Is.EqualTo(expected), string.Create(CultureInfo.InvariantCulture, $"call {count++}, {(user.Length == 0 ? "nobody" : user)}: {request.Descriptor.Name} {request}"));
            if (request is AuthenticateRequest login && given != shown)
            {
                tokens[login.Name] = given;
            }

            return actual;
        }

        private static CallInvoker As(CallInvoker invoker, string token) => token.Length == 0 ? invoker : invoker.Intercept(metadata =>
        {
            metadata.Add("token", token);
            return metadata;
        });
    }

    private sealed class Draw(int seed)
    {
        private static readonly (string Key, string End)[] Forms = [("a", "c"), ("b", ""), ("c", "e"), ("d", "\0"), ("e", "f"), ("f", "")];
        private readonly Random random = new(seed);

        public (string User, IMessage Request) Next() => random.Next(100) switch
        {
            < 60 => (Caller(), Access()),
            < 68 => (Caller(), Look()),
            < 74 => ("", new AuthenticateRequest { Name = Pick(Users), Password = Pick("p", "p", "p", "q", "x") }),
            < 94 => ("root", Change()),
            _ => (Caller(), Change()),
        };

        /// <summary>Whose token has ended calls with it all the same.</summary>
        private string Caller() => Pick("ann", "ann", "bob", "bob", "cid", "root", "");

        private IMessage Access() => random.Next(10) switch
        {
            0 or 1 or 2 => new PutRequest { Key = Key(), Value = B("v"), PrevKv = random.Next(3) == 0 },
            3 or 4 or 5 => Get(),
            6 => new DeleteRangeRequest { Key = Key(), PrevKv = random.Next(2) == 0 },
            7 => Range((key, end) => new DeleteRangeRequest { Key = key, RangeEnd = end }),
            _ => new TxnRequest
            {
                Compare = { Enumerable.Range(0, random.Next(2)).Select(_ => Range((key, end) => new Compare { Key = key, RangeEnd = end, Result = Compare.Types.CompareResult.Greater, Target = Compare.Types.CompareTarget.Version })) },
                // An empty one, which touches nothing, is everybody's in etcd.
                Success = { Enumerable.Range(0, 1 + random.Next(2)).Select(i => Op(i)) },
                Failure = { Enumerable.Range(0, random.Next(3)).Select(i => Op(i)) },
            },
        };

        private IMessage Look() => random.Next(4) switch
        {
            0 => new AuthUserGetRequest { Name = Pick(Users) },
            1 => new AuthRoleGetRequest { Role = Pick(Roles) },
            2 => new AuthUserListRequest(),
            _ => new AuthRoleListRequest(),
        };

        private IMessage Change() => random.Next(16) switch
        {
            0 => new AuthUserAddRequest { Name = Pick(Users), Password = "p" },
            1 => new AuthUserDeleteRequest { Name = Pick([.. Users, "root"]) },
            2 => new AuthUserChangePasswordRequest { Name = Pick(Users), Password = Pick("p", "q") },
            3 or 4 or 5 => new AuthUserGrantRoleRequest { User = Pick(Users), Role = Pick(Roles) },
            6 => new AuthUserRevokeRoleRequest { Name = Pick([.. Users, "root"]), Role = Pick([.. Roles, "root"]) },
            7 => new AuthRoleAddRequest { Name = Pick(Roles) },
            8 => new AuthRoleDeleteRequest { Role = Pick(Roles) },
            9 => Permitted((key, end) => new AuthRoleRevokePermissionRequest { Role = Pick(Roles), Key = key, RangeEnd = end }),
            _ => Permitted((key, end) => new AuthRoleGrantPermissionRequest { Name = Pick(Roles), Perm = new Permission { PermType = (Permission.Types.Type)random.Next(3), Key = key, RangeEnd = end } }),
        };

        /// <summary>One form for each first key: 3.4 mistakes a permission on another range of the same key for the same.</summary>
        private T Permitted<T>(Func<ByteString, ByteString, T> make)
        {
            (string key, string end) = Forms[random.Next(Forms.Length)];
            return make(B(key), B(end));
        }

        private RangeRequest Get() => Range((key, end) => new RangeRequest { Key = key, RangeEnd = end, CountOnly = random.Next(5) == 0, Serializable = random.Next(4) == 0 });

        /// <summary>Puts of one branch have keys of their own.</summary>
        private RequestOp Op(int place) => random.Next(3) switch
        {
            0 => new RequestOp { RequestRange = new RangeRequest { Key = Key() } },
            1 => new RequestOp { RequestRange = Get() },
            _ => new RequestOp { RequestPut = new PutRequest { Key = B(place == 0 ? Pick("a", "b", "c") : Pick("d", "e", "f")), Value = B("t") } },
        };

        private T Range<T>(Func<ByteString, ByteString, T> make)
        {
            string key = Pick("a", "b", "c", "d", "e", "f");
            string end = Pick("", "", "b", "c", "d", "e", "f", "\0");
            return make(B(key), B(end.Length > 0 && end != "\0" && string.CompareOrdinal(end, key) <= 0 ? "" : end));
        }

        private ByteString Key() => B(Pick("a", "b", "c", "d", "e", "f"));

        private string Pick(params string[] from) => from[random.Next(from.Length)];
    }

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);
}
