using System.Buffers.Binary;
using System.Globalization;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Simulation.Engine;
using Loom.Store;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Mvcc;

namespace Loom.Simulation.Authorisation;

/// <summary>The machine permitted what the rules forbid, or the reverse.</summary>
internal sealed class AuthViolationException(string message) : Exception(message);

/// <summary>
/// One random life of users, roles, leases and callers against the real machine, and beside it the rules written down once more, slowly: a range is permitted when each of some probes in it is, a permission is looked for
/// in all roles of a user, a token ends when something happens to it. Keys and bounds are single letters; between two of them, and behind each, there are probes, so two different sets of keys differ in one.
/// </summary>
internal sealed class AuthModel : IDisposable
{
    private const string Letters = "abcde";
    private static readonly string[] Users = ["root", "ann", "bob"];
    private static readonly string[] Roles = ["root", "r", "s", "t"];
    private static readonly byte[][] Probes = [.. Letters.SelectMany(letter => new byte[][] { [(byte)letter], [(byte)letter, 0], [(byte)letter, (byte)'m'] }), "~"u8.ToArray()];
    private static readonly LoomErrorCode[] Denials = [LoomErrorCode.AuthenticationRequired, LoomErrorCode.AuthRevisionOld, LoomErrorCode.PermissionDenied];

    private readonly SimRandom random;
    private readonly LoomStateMachine machine = new(new KeyIndex(), new MemoryRecordStore());
    private readonly SortedDictionary<string, SortedSet<string>> users = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, List<Permission>> roles = new(StringComparer.Ordinal);
    private readonly List<(KnownToken Token, bool Stands)> tokens = [];
    private readonly List<string> trace = [];
    private bool enabled;
    private long index;

    public AuthModel(ulong seed)
    {
        random = new SimRandom(seed);
        machine.Open(default);
    }

    /// <summary>How many commands were refused for their caller, and how many of a caller were not.</summary>
    public (int Denied, int Permitted) Seen { get; private set; }

    public void Dispose() => machine.Dispose();

    public void Run(int steps)
    {
        foreach (Command command in (Command[])[new UserAddCommand("root", default, true), new UserRoleCommand(true, "root", "root"), new UserAddCommand("ann", default, true), new RoleCommand(true, "r"), new AuthSwitchCommand(true)])
        {
            Step(command);
        }

        for (int i = 0; i < steps; i++)
        {
            Step(Draw());
        }
    }

    private AuthState Auth => machine.Current.Auth.State;

    private void Step(Command command)
    {
        trace.Add(string.Create(CultureInfo.InvariantCulture, $"{command.GetType().Name} of {command.Caller?.ToString() ?? "the process"}"));
        LoomErrorCode expected = Expected(command);
        long[]? renewals = command is LeaseRenewCommand renew ? [.. renew.Ids.Where(id => expected == 0 && !MayRenew(command.Caller, id))] : null;
        var results = new ApplyResult[1];
        byte[] payload = CommandWriter.Encode(command);
        machine.ApplyBatch([new CommittedEntry(++index, 1, index, EntryKind.Command, payload, true)], results);
        var code = (LoomErrorCode)results[0].Outcome.Code;
        LoomErrorCode denial = Array.IndexOf(Denials, code) >= 0 ? code : 0;
        Require(denial == expected, $"{denial}, and the rules say {expected}");
        Seen = expected != 0 ? (Seen.Denied + 1, Seen.Permitted) : (Seen.Denied, Seen.Permitted + (command.Caller is null ? 0 : 1));
        if (renewals is not null && results[0].Result is RenewResult answer)
        {
            long[] denied = [.. ((LeaseRenewCommand)command).Ids.Where((_, i) => answer.Seconds[i] == RenewResult.Denied)];
            Require(denied.SequenceEqual(renewals), $"of the leases {string.Join(' ', denied)} were denied, and the rules say {string.Join(' ', renewals)}");
        }

        if (code == 0)
        {
            Follow(command);
        }

        foreach ((KnownToken token, bool stands) in tokens)
        {
            Require(token.StandsIn(Auth) == stands, $"{token} stands: {!stands}, and the rules say {stands}");
        }

        Require(Auth.IsEnabled == enabled && Auth.Users.Select(user => user.Name).SequenceEqual(users.Keys) && Auth.Roles.Select(role => role.Name).SequenceEqual(roles.Keys), "other users and roles than were made");
    }

    /// <summary>What the change means, in the model's words. Whether it happens is not under test here: the transcripts show that.</summary>
    private void Follow(Command command)
    {
        switch (command)
        {
            case AuthSwitchCommand one:
                EndTokens(_ => enabled && !one.Enables);
                enabled = one.Enables;
                break;
            case UserAddCommand user:
                users.Add(user.Name, new(StringComparer.Ordinal));
                break;
            case UserDeleteCommand user:
                users.Remove(user.Name);
                EndTokens(token => token.User == user.Name);
                break;
            case UserPasswordCommand user:
                EndTokens(token => token.User == user.Name);
                break;
            case UserRoleCommand { Grants: true } role:
                users[role.User].Add(role.Role);
                break;
            case UserRoleCommand role:
                users[role.User].Remove(role.Role);
                break;
            case RoleCommand { Adds: true } role:
                roles.Add(role.Name, []);
                break;
            case RoleCommand role:
                roles.Remove(role.Name);
                foreach (SortedSet<string> held in users.Values)
                {
                    held.Remove(role.Name);
                }

                break;
            case RolePermissionCommand role:
                roles[role.Role].RemoveAll(one => one.Range.Start.Span.SequenceEqual(role.Permission.Range.Start.Span) && one.Range.End.Span.SequenceEqual(role.Permission.Range.End.Span));
                if (role.Grants)
                {
                    roles[role.Role].Add(role.Permission);
                }

                break;
            case AuthenticateCommand login:
                tokens.Add((machine.Tokens.Use(login.TokenDigest, 1, long.MaxValue) ?? throw new AuthViolationException("a token that was given is not known"), true));
                if (tokens.Count > 20)
                {
                    tokens.RemoveAt(0);
                }

                break;
        }
    }

    private void EndTokens(Func<KnownToken, bool> ends)
    {
        for (int i = 0; i < tokens.Count; i++)
        {
            tokens[i] = (tokens[i].Token, tokens[i].Stands && !ends(tokens[i].Token));
        }
    }

    private LoomErrorCode Expected(Command command)
    {
        // What can never work is told to everybody.
        if (command.Caller is not { } caller || !enabled || RequestChecks.Check(command) is not null)
        {
            return 0;
        }

        return caller.User.Length == 0 ? LoomErrorCode.AuthenticationRequired
            : caller.AuthRevision != Auth.Revision ? LoomErrorCode.AuthRevisionOld
            : !users.TryGetValue(caller.User, out SortedSet<string>? held) ? LoomErrorCode.PermissionDenied
            : held.Contains("root") || Permits(command, caller.User) ? 0
            : LoomErrorCode.PermissionDenied;
    }

    private bool MayRenew(Caller? caller, long lease) =>
        caller is null || !enabled || users[caller.User].Contains("root") || KeysOf(lease).TrueForAll(key => May(caller.User, KeyRange.Single(key), writes: true));

    private bool Permits(Command command, string user) => command switch
    {
        PutCommand put => Permits(put.Put, user),
        DeleteCommand delete => Permits(delete.Delete, user),
        TransactionCommand transaction => Permits(new NestedOperation(transaction.Transaction), user),
        LeaseGrantCommand or LeaseRenewCommand => true,
        LeaseRevokeCommand revoke => KeysOf(revoke.Id).TrueForAll(key => May(user, KeyRange.Single(key), writes: true)),
        _ => false,
    };

    private bool Permits(Operation operation, string user) => operation switch
    {
        PutOperation put => May(user, KeyRange.Single(put.Key), writes: true) && (!put.PreviousPair || May(user, KeyRange.Single(put.Key), writes: false))
            && (put.Lease == 0 || KeysOf(put.Lease).TrueForAll(key => May(user, KeyRange.Single(key), writes: true))),
        DeleteOperation delete => May(user, delete.Range, writes: true) && (!delete.PreviousPairs || May(user, delete.Range, writes: false)),
        RangeOperation range => May(user, range.Query.Range, writes: false),
        NestedOperation nested => nested.Transaction.Compares.All(compare => May(user, compare.Range, writes: false))
            && nested.Transaction.Success.Concat(nested.Transaction.Failure).All(one => Permits(one, user)),
        _ => throw new InvalidOperationException(),
    };

    private bool May(string user, KeyRange range, bool writes) => Probes.Where(probe => Holds(range, probe)).All(probe => users[user].Any(role => roles.TryGetValue(role, out List<Permission>? permissions)
        && permissions.Exists(one => one.Kind != (writes ? PermissionKind.Read : PermissionKind.Write) && Holds(one.Range, probe))));

    private static bool Holds(KeyRange range, byte[] key)
    {
        ReadOnlySpan<byte> start = range.Start.Span, end = range.End.Span;
        return end.IsEmpty ? start.SequenceEqual(key)
            : start.SequenceCompareTo(key) <= 0 && (end.SequenceEqual<byte>([0]) || end.SequenceCompareTo(key) > 0);
    }

    private List<ReadOnlyMemory<byte>> KeysOf(long lease) => machine.ReadLeases((leases, _) => leases.KeysOf(lease).ToList());

    private Command Draw()
    {
        Caller? caller = random.Below(10) switch
        {
            0 => null,
            1 => Caller.Anonymous,
            2 => new Caller(Users[random.Below(Users.Length)], Auth.Revision - 1),
            3 => new Caller("root", Auth.Revision),
            _ => new Caller(random.Below(8) == 0 ? "bob" : "ann", Auth.Revision),
        };
        return random.Below(100) switch
        {
            < 15 => new PutCommand(Put()) { Caller = caller },
            < 25 => new DeleteCommand(new DeleteOperation(Range()) { PreviousPairs = random.Chance(0.5) }) { Caller = caller },
            < 50 => new TransactionCommand(Transaction(2)) { Caller = caller },
            < 55 => new LeaseGrantCommand(1 + random.Below(3), 1000) { Caller = caller },
            < 58 => new LeaseRevokeCommand(1 + random.Below(3)) { Caller = caller },
            < 63 => new LeaseRenewCommand([1, 2, 3]) { Caller = caller },
            < 65 => new CompactCommand(1) { Caller = caller },
            < 72 => Login(),
            _ => Administer() with { Caller = random.Below(4) == 0 ? caller : enabled ? new Caller("root", Auth.Revision) : null },
        };
    }

    private Command Administer()
    {
        string user = Users[random.Below(Users.Length)], role = Roles[random.Below(Roles.Length)];
        return random.Below(20) switch
        {
            0 => new AuthSwitchCommand(random.Below(4) != 0),
            1 or 2 => new UserAddCommand(user, default, true),
            3 => new UserDeleteCommand(user),
            4 => new UserPasswordCommand(user, default),
            5 or 6 or 7 or 8 => new UserRoleCommand(true, user, user == "root" ? "root" : role),
            9 => new UserRoleCommand(false, user, role),
            10 or 11 => new RoleCommand(true, role),
            12 => new RoleCommand(false, role),
            13 => new RolePermissionCommand(false, role, new Permission(PermissionKind.Read, Range())),
            _ => new RolePermissionCommand(true, role, new Permission((PermissionKind)random.Below(3), Range())),
        };
    }

    private AuthenticateCommand Login()
    {
        byte[] digest = new byte[AuthCommandCodec.DigestBytes];
        BinaryPrimitives.WriteInt64LittleEndian(digest, index);
        return new AuthenticateCommand(Users[random.Below(Users.Length)], digest, Auth.Revision);
    }

    private PutOperation Put() => new(Key(), "v"u8.ToArray()) { PreviousPair = random.Below(4) == 0, Lease = random.Below(3) == 0 ? 1 + random.Below(3) : 0 };

    private Transaction Transaction(int depth) => new(
        random.Below(3) == 0 ? [new Compare(Range(), CompareTarget.Version, random.Chance(0.5) ? CompareResult.Greater : CompareResult.Equal)] : [], Branch(depth), Branch(depth));

    private List<Operation> Branch(int depth)
    {
        List<Operation> operations = [];
        for (int i = random.Below(3); i > 0; i--)
        {
            operations.Add(random.Below(depth > 0 ? 8 : 6) switch
            {
                0 or 1 => new RangeOperation(new RangeQuery(Range())),
                2 => new DeleteOperation(Range()) { PreviousPairs = random.Chance(0.5) },
                6 or 7 => new NestedOperation(Transaction(depth - 1)),
                _ => Put(),
            });
        }

        // A key is put once in a transaction, or it is refused before anybody is judged: with five keys most would be.
        return operations.Count(one => one is PutOperation) + operations.Count(one => one is DeleteOperation) > 1 ? [operations[0]] : operations;
    }

    private byte[] Key() => [(byte)Letters[random.Below(Letters.Length)]];

    private KeyRange Range()
    {
        byte[] start = Key(), end = Key();
        return random.Below(5) switch
        {
            0 or 1 => KeyRange.Single(start),
            2 => KeyRange.From(start),
            _ => end.AsSpan().SequenceCompareTo(start) > 0 ? new KeyRange(start, end) : KeyRange.Single(start),
        };
    }

    private void Require(bool holds, string what)
    {
        if (!holds)
        {
            throw new AuthViolationException(string.Create(CultureInfo.InvariantCulture, $"step {index}: {trace[^1]}: {what}"));
        }
    }
}
