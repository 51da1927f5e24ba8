using System.Globalization;
using System.Text;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Testing;

namespace Loom.Store.Tests.Transcripts;

/// <summary>
/// Runs one transcript: blocks of "command, ----, answer" separated by blank lines, each file on a new, empty store.
/// Commands travel through their bytes and the applier, as in production; reads through the published state.
/// Keys: <c>a</c> one key, <c>a..c</c> from a up to c, <c>a..</c> everything from a, <c>a*</c> prefix, <c>""</c> empty; <c>\0</c> and <c>\xff</c> are bytes.
/// </summary>
internal sealed class Transcript : IDisposable
{
    private readonly LoomStateMachine machine = new(new KeyIndex(), new MemoryRecordStore());
    private readonly LocalReads reads;
    // Of every entry.
    private const long Term = 1;

    private long index;
    private long time;
    private Func<Caller?> caller = () => null;

    public Transcript()
    {
        machine.Open(default);
        reads = new LocalReads(machine);
    }

    public void Dispose() => machine.Dispose();

    /// <summary>The text with the answers that the store gives now.</summary>
    public string Replay(string text)
    {
        var output = new StringBuilder();
        foreach (string block in text.Replace("\r\n", "\n", StringComparison.Ordinal).Split("\n\n", StringSplitOptions.RemoveEmptyEntries))
        {
            string[] lines = block.Trim('\n').Split('\n');
            List<string> input = [.. lines.TakeWhile(line => line != "----")];
            output.Append(string.Join('\n', input)).Append('\n');
            List<string> command = [.. input.Where(line => !line.StartsWith('#') && line.Trim().Length > 0)];
            if (command.Count > 0)
            {
                output.Append("----\n").Append(Run(command)).Append('\n');
            }

            output.Append('\n');
        }

        return output.ToString().TrimEnd('\n') + "\n";
    }

    private string Run(List<string> lines)
    {
        string[] words = Words(lines[0]);
        return words[0] switch
        {
            "put" => Propose(new PutCommand(Put(words))),
            "del" => Propose(new DeleteCommand(Delete(words))),
            "compact" => Propose(new CompactCommand(long.Parse(words[1], CultureInfo.InvariantCulture))),
            "alarm" => Propose(new AlarmCommand(words[1] == "raise", new Alarm(Enum.Parse<AlarmKind>(words[2]), ulong.Parse(words[3], CultureInfo.InvariantCulture), words.Length > 4))),
            "grant" => Propose(new LeaseGrantCommand(Number(words[1]), Number(words[2]))),
            "revoke" => Propose(new LeaseRevokeCommand(Number(words[1]))),
            "renew" => Propose(new LeaseRenewCommand([.. words[1..].Select(Number)])),
            "expire" => Propose(new LeaseExpireCommand(Term, [.. words[1..].Select(Number)])),
            "auth" => Propose(new AuthSwitchCommand(words[1] == "enable")),
            "user" when words[1] == "add" => Propose(new UserAddCommand(words[2], "hash"u8.ToArray(), words.Length < 4)),
            "user" when words[1] == "del" => Propose(new UserDeleteCommand(words[2])),
            "user" when words[1] == "password" => Propose(new UserPasswordCommand(words[2], "other"u8.ToArray())),
            "user" => Propose(new UserRoleCommand(words[1] == "grant", words[2], words[3])),
            "role" when words[1] is "add" or "del" => Propose(new RoleCommand(words[1] == "add", words[2])),
            "role" => Propose(new RolePermissionCommand(words[1] == "grant", words[2], new Permission(Enum.Parse<PermissionKind>(words[3], ignoreCase: true), Range(words[4])))),
            "token" => Propose(new AuthenticateCommand(words[1], new byte[32], words.Length > 2 ? Number(words[2]) : AuthNow.Revision)),
            "users" => ShowUsers(),
            "as" => Become(words),
            "wait" => Wait(Number(words[1])),
            "leases" => Leases(),
            "alarms" => machine.Alarms.All.Count == 0 ? "none" : string.Join('\n', machine.Alarms.All.Select(Show)),
            "txn" => RunTransaction(lines),
            "get" => RunRange(words),
            "hash" => RunHash(words),
            "trim" => Trim(),
            "records" => string.Create(CultureInfo.InvariantCulture, $"{Records()} records"),
            _ => throw new FormatException("Unknown command: " + lines[0]),
        };
    }

    private ApplyResult Apply(Command command)
    {
        var results = new ApplyResult[1];
        machine.ApplyBatch([new CommittedEntry(++index, Term, time, EntryKind.Command, CommandWriter.Encode(command is AuthenticateCommand ? command : command with { Caller = caller() }), true)], results);
        return results[0];
    }

    /// <summary>Checked as the facade checks it, and applied all the same when its bytes can be read: both must say alike.</summary>
    private string Propose(Command command)
    {
        Fault? fault = RequestChecks.Check(command);
        if (fault?.Code == LoomErrorCode.TooManyOperations)
        {
            return $"refused: {fault?.Code}"; // such bytes are not even decoded
        }

        ApplyResult result = Apply(command);
        if (fault is not null && result.Outcome.Code != (int)fault.Value.Code)
        {
            throw new InvalidOperationException($"The check says {fault.Value.Code}, apply {result.Outcome.Code}.");
        }

        return result.Outcome.Code != 0 ? $"refused: {(LoomErrorCode)result.Outcome.Code}" : Show(result.Result!);
    }

    private AuthState AuthNow => machine.Current.Auth.State;

    /// <summary>as NAME [REVISION]: commands after it are a caller's, judged at the newest auth revision, or always at this one; nobody: without a name; trusted: the process's own.</summary>
    private string Become(string[] words)
    {
        caller = words[1] switch
        {
            "trusted" => () => null,
            "nobody" => () => Caller.Anonymous,
            { } name => () => new Caller(name, words.Length > 2 ? Number(words[2]) : AuthNow.Revision),
        };
        return caller() is { } now ? string.Create(CultureInfo.InvariantCulture, $"{(now.IsAnonymous ? "nobody" : now.User)} at {now.AuthRevision}") : "trusted";
    }

    private string ShowUsers() => string.Join('\n', new[] { string.Create(CultureInfo.InvariantCulture, $"{(AuthNow.IsEnabled ? "enabled" : "disabled")} at {AuthNow.Revision}") }
        .Concat(AuthNow.Users.Select(user => string.Create(CultureInfo.InvariantCulture, $"{user.Name} since {user.CredentialsRevision}: {string.Join(' ', user.Roles)}").TrimEnd()))
        .Concat(AuthNow.Roles.Select(role => $"[{role.Name}]{string.Concat(role.Permissions.Select(one => $" {one.Kind} {Text(one.Range.Start.Span)}{(one.Range.IsSingle ? "" : ".." + Text(one.Range.End.Span))}"))}")));

    private static long Number(string word) => long.Parse(word, CultureInfo.InvariantCulture);

    private string Wait(long milliseconds)
    {
        time += milliseconds * 1_000_000;
        return string.Create(CultureInfo.InvariantCulture, $"{time / 1_000_000} ms");
    }

    private string Leases() => machine.ReadLeases((table, _) => table.Count == 0 ? "none" : string.Join('\n', table.Terms().All.Select(term => string.Create(
        CultureInfo.InvariantCulture,
        $"{term.Id}: {term.RemainingSeconds(time)} of {term.GrantedSeconds} s{string.Concat(table.KeysOf(term.Id).Select(key => " " + Text(key.Span)))}"))));

    private string RunTransaction(List<string> lines)
    {
        int at = 1;
        Transaction transaction = ReadTransaction(lines, ref at, Indent(lines[1]));
        if (!transaction.IsReadOnly)
        {
            return Propose(new TransactionCommand(transaction));
        }

        if (RequestChecks.Check(transaction) is { } fault)
        {
            return $"refused: {fault.Code}";
        }

        LoomErrorCode refusal = reads.Transact(transaction, out TransactionResult? result);
        return refusal != 0 ? $"refused: {refusal}" : Show(result!) + "\n[read only]";
    }

    private string RunRange(string[] words)
    {
        RangeQuery query = Query(words);
        if (RequestChecks.Check(query) is { } fault)
        {
            return $"refused: {fault.Code}";
        }

        LoomErrorCode refusal = reads.Range(query, out RangeResult? result);
        return refusal != 0 ? $"refused: {refusal}" : Show(result!);
    }

    private string RunHash(string[] words)
    {
        long revision = words.Length > 1 ? long.Parse(words[1], CultureInfo.InvariantCulture) : 0;
        try
        {
            HashResult hash = reads.Hash(revision);
            return string.Create(CultureInfo.InvariantCulture, $"{hash.Hash} compacted {hash.CompactRevision} at {hash.HashRevision} revision {hash.Revision}");
        }
        catch (LoomException exception)
        {
            return $"refused: {exception.Code}";
        }
    }

    private string Trim()
    {
        int steps = 1;
        while (machine.TrimStep(1))
        {
            steps++;
        }

        return string.Create(CultureInfo.InvariantCulture, $"compacted {machine.TrimmedRevision}");
    }

    private int Records() => ((MemoryRecordStore)machine.Records).Count;

    private static string Show(object result, string indent = "")
    {
        switch (result)
        {
            case Revision revision:
                return $"{indent}revision {revision}";
            case AlarmResult alarm:
                return $"{indent}revision {alarm.Revision} {(alarm.Alarm is { } active ? Show(active) : "no such alarm")}";
            case RenewResult renewal:
                return string.Create(CultureInfo.InvariantCulture, $"{indent}revision {renewal.Revision} now {string.Join(' ', renewal.Seconds)} s");
            case PutResult put:
                return $"{indent}revision {put.Revision}" + Previous(put.Previous is null ? [] : [put.Previous], indent);
            case DeleteResult delete:
                return string.Create(CultureInfo.InvariantCulture, $"{indent}revision {delete.Revision} deleted {delete.Deleted}") + Previous(delete.Previous, indent);
            case RangeOperationResult range:
                return Show(range.Result, indent);
            case NestedResult nested:
                return indent + Show(nested.Result, indent)[(indent.Length + $"revision {nested.Result.Revision} ".Length)..];
            case RangeResult range:
                string pairs = string.Concat(range.Pairs.Select(pair => $"\n{indent}  {Show(pair)}"));
                return string.Create(CultureInfo.InvariantCulture, $"{indent}revision {range.Revision} count {range.Count}{(range.More ? " more" : "")}") + pairs;
            case TransactionResult transaction:
                return $"{indent}revision {transaction.Revision} {(transaction.Succeeded ? "then" : "else")}"
                    + (transaction.Results.Count > 100
                        ? string.Create(CultureInfo.InvariantCulture, $" {transaction.Results.Count} results")
                        : string.Concat(transaction.Results.Select(inner => "\n" + Show(inner, indent + "  "))));
            default:
                throw new InvalidOperationException(result.ToString());
        }
    }

    private static string Show(Alarm alarm) => string.Create(CultureInfo.InvariantCulture, $"{alarm.Kind} of {alarm.Member}{(alarm.IsAutomatic ? " (automatic)" : "")}");

    private static string Previous(IReadOnlyList<KeyValue> pairs, string indent) =>
        string.Concat(pairs.Select(pair => $"\n{indent}  was {Show(pair)}"));

    private static string Show(KeyValue pair) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Text(pair.Key.Span)} = {Text(pair.Value.Span)} (create {pair.CreateRevision} mod {pair.ModRevision} version {pair.Version}{(pair.Lease != 0 ? $" lease {pair.Lease}" : "")})");

    private static Transaction ReadTransaction(List<string> lines, ref int at, int indent)
    {
        List<Compare> compares = [];
        List<Operation> success = [];
        List<Operation> failure = [];
        List<Operation> branch = success;
        while (at < lines.Count && Indent(lines[at]) >= indent)
        {
            string[] words = Words(lines[at++]);
            switch (words[0])
            {
                case "when":
                    compares.Add(ReadCompare(words));
                    break;
                case "then":
                    branch = success;
                    break;
                case "else":
                    branch = failure;
                    break;
                case "put":
                    branch.Add(Put(words));
                    break;
                case "del":
                    branch.Add(Delete(words));
                    break;
                case "get":
                    branch.Add(new RangeOperation(Query(words)));
                    break;
                case "puts": // puts N: a put of N different keys, to reach limits
                    for (int i = 0; i < int.Parse(words[1], CultureInfo.InvariantCulture); i++)
                    {
                        branch.Add(new PutOperation(Bytes("n" + i.ToString(CultureInfo.InvariantCulture)), Bytes("v")));
                    }

                    break;
                case "txn":
                    branch.Add(new NestedOperation(at < lines.Count && Indent(lines[at]) > indent ? ReadTransaction(lines, ref at, Indent(lines[at])) : new Transaction([], [], [])));
                    break;
                default:
                    throw new FormatException("Unknown line of a transaction: " + words[0]);
            }
        }

        return new Transaction(compares, success, failure);
    }

    private static Compare ReadCompare(string[] words)
    {
        CompareTarget target = words[1] switch { "version" => CompareTarget.Version, "create" => CompareTarget.Create, "mod" => CompareTarget.Mod, "value" => CompareTarget.Value, "lease" => CompareTarget.Lease, _ => (CompareTarget)99 };
        CompareResult result = words[3] switch { "=" => CompareResult.Equal, ">" => CompareResult.Greater, "<" => CompareResult.Less, "!=" => CompareResult.NotEqual, _ => (CompareResult)99 };
        return target == CompareTarget.Value
            ? new Compare(Range(words[2]), target, result, 0, Bytes(words[4]))
            : new Compare(Range(words[2]), target, result, long.Parse(words[4], CultureInfo.InvariantCulture));
    }

    private static PutOperation Put(string[] words) => new(Bytes(words[1]), Bytes(words.Length > 2 && !IsOption(words[2]) ? words[2] : "\"\""))
    {
        Lease = Option(words, "lease"),
        PreviousPair = words.Contains("prev"),
        IgnoreValue = words.Contains("ignore-value"),
        IgnoreLease = words.Contains("ignore-lease"),
    };

    private static bool IsOption(string word) => word is "prev" or "ignore-value" or "ignore-lease" || word.StartsWith("lease=", StringComparison.Ordinal);

    private static DeleteOperation Delete(string[] words) => new(Range(words[1])) { PreviousPairs = words.Contains("prev") };

    private static RangeQuery Query(string[] words)
    {
        var query = new RangeQuery(Range(words[1]))
        {
            Limit = Option(words, "limit"),
            Revision = Option(words, "rev"),
            KeysOnly = words.Contains("keys"),
            CountOnly = words.Contains("count"),
            MinModRevision = Option(words, "min-mod"),
            MaxModRevision = Option(words, "max-mod"),
            MinCreateRevision = Option(words, "min-create"),
            MaxCreateRevision = Option(words, "max-create"),
        };
        string? order = words.FirstOrDefault(word => word.StartsWith("order=", StringComparison.Ordinal))?[6..];
        string? by = words.FirstOrDefault(word => word.StartsWith("by=", StringComparison.Ordinal))?[3..];
        return query with
        {
            SortOrder = order switch { null => SortOrder.None, "asc" => SortOrder.Ascend, "desc" => SortOrder.Descend, _ => (SortOrder)99 },
            SortTarget = by switch { null or "key" => SortTarget.Key, "version" => SortTarget.Version, "create" => SortTarget.Create, "mod" => SortTarget.Mod, "value" => SortTarget.Value, _ => (SortTarget)99 },
        };
    }

    private static long Option(string[] words, string name) =>
        words.FirstOrDefault(word => word.StartsWith(name + "=", StringComparison.Ordinal)) is { } word ? long.Parse(word[(name.Length + 1)..], CultureInfo.InvariantCulture) : 0;

    private static KeyRange Range(string word)
    {
        int dots = word.IndexOf("..", StringComparison.Ordinal);
        return dots >= 0 && word.Length > dots + 2 ? new KeyRange(Bytes(word[..dots]), Bytes(word[(dots + 2)..]))
            : dots >= 0 ? KeyRange.From(Bytes(word[..dots]))
            : word.EndsWith('*') ? KeyRange.Prefix(Bytes(word[..^1]))
            : KeyRange.Single(Bytes(word));
    }

    private static byte[] Bytes(string word)
    {
        if (word == "\"\"")
        {
            return [];
        }

        List<byte> bytes = [];
        for (int i = 0; i < word.Length; i++)
        {
            if (word[i] == '\\' && word[i + 1] == '0')
            {
                bytes.Add(0);
                i++;
            }
            else if (word[i] == '\\' && word[i + 1] == 'x')
            {
                bytes.Add(byte.Parse(word.AsSpan(i + 2, 2), NumberStyles.HexNumber, CultureInfo.InvariantCulture));
                i += 3;
            }
            else
            {
                bytes.AddRange(Encoding.UTF8.GetBytes(word[i].ToString()));
            }
        }

        return [.. bytes];
    }

    private static string Text(ReadOnlySpan<byte> bytes)
    {
        var text = new StringBuilder();
        foreach (byte value in bytes)
        {
            text.Append(value == 0 ? "\\0" : value is > 0x20 and < 0x7f ? ((char)value).ToString() : string.Create(CultureInfo.InvariantCulture, $"\\x{value:x2}"));
        }

        return text.Length == 0 ? "\"\"" : text.ToString();
    }

    private static string[] Words(string line) => line.Split(' ', StringSplitOptions.RemoveEmptyEntries);

    private static int Indent(string line) => line.Length - line.TrimStart(' ').Length;
}
