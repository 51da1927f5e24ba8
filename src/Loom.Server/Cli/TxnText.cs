using System.Globalization;
using System.Text;
using Google.Protobuf;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Cli;

/// <summary>
/// etcdctl's text of a transaction: compares, an empty line, the operations when all hold, an empty line, the operations otherwise.
/// <c>mod("key") > "0"</c>, <c>value("key") = "text"</c>, <c>put key "a value"</c>, <c>get key --prefix</c>, <c>del key</c>.
/// </summary>
internal static class TxnText
{
    private static readonly UTF8Encoding Utf8 = new(false);

    public static TxnRequest Parse(string text, Func<IReadOnlyList<string>, RequestOp> parseOperation)
    {
        var request = new TxnRequest();
        int section = 0;
        int number = 0;
        foreach (string raw in text.Split('\n'))
        {
            number++;
            string line = raw.Trim();
            if (line.Length == 0)
            {
                section++;
                continue;
            }

            try
            {
                switch (section)
                {
                    case 0:
                        request.Compare.Add(ParseCompare(line));
                        break;
                    case 1:
                        request.Success.Add(parseOperation(Words(line)));
                        break;
                    case 2:
                        request.Failure.Add(parseOperation(Words(line)));
                        break;
                    default:
                        throw new FormatException("nothing may follow the operations of the failure branch");
                }
            }
            catch (FormatException exception)
            {
                throw new CommandException(ExitCode.Usage, $"line {number} of the transaction: {exception.Message}", "see the example in: loom txn --help");
            }
        }

        return request;
    }

    internal static Compare ParseCompare(string line)
    {
        int open = line.IndexOf('(', StringComparison.Ordinal);
        if (open < 0)
        {
            throw new FormatException($"'{line}' is not a compare such as mod(\"key\") > \"0\"");
        }

        string target = line[..open].Trim();
        int at = open + 1;
        byte[] key = ReadWord(line, ref at, ')');
        Expect(line, ref at, ')');
        SkipSpaces(line, ref at);
        int operatorStart = at;
        while (at < line.Length && line[at] is '=' or '!' or '<' or '>')
        {
            at++;
        }

        string relation = line[operatorStart..at];
        SkipSpaces(line, ref at);
        byte[] operand = ReadWord(line, ref at, ' ');
        if (at < line.Length)
        {
            throw new FormatException($"'{line[at..]}' is left over after the compare");
        }

        var compare = new Compare
        {
            Key = UnsafeByteOperations.UnsafeWrap(key),
            Result = relation switch
            {
                "=" or "==" => Compare.Types.CompareResult.Equal,
                "!=" => Compare.Types.CompareResult.NotEqual,
                ">" => Compare.Types.CompareResult.Greater,
                "<" => Compare.Types.CompareResult.Less,
                _ => throw new FormatException($"'{relation}' is not one of = != < >"),
            },
        };
        SetOperand(compare, target, operand);
        return compare;
    }

    /// <summary>Splits a line into words; quotes hold spaces, and backslashes inside double quotes are Go's.</summary>
    internal static IReadOnlyList<string> Words(string line)
    {
        var words = new List<string>();
        int at = 0;
        while (true)
        {
            SkipSpaces(line, ref at);
            if (at >= line.Length)
            {
                return words;
            }

            words.Add(Utf8.GetString(ReadWord(line, ref at, ' ')));
        }
    }

    private static void SetOperand(Compare compare, string target, byte[] operand)
    {
        switch (target)
        {
            case "ver" or "version":
                compare.Target = Compare.Types.CompareTarget.Version;
                compare.Version = Number(operand);
                break;
            case "c" or "create":
                compare.Target = Compare.Types.CompareTarget.Create;
                compare.CreateRevision = Number(operand);
                break;
            case "m" or "mod":
                compare.Target = Compare.Types.CompareTarget.Mod;
                compare.ModRevision = Number(operand);
                break;
            case "val" or "value":
                compare.Target = Compare.Types.CompareTarget.Value;
                compare.Value = UnsafeByteOperations.UnsafeWrap(operand);
                break;
            case "lease":
                compare.Target = Compare.Types.CompareTarget.Lease;
                compare.Lease = LeaseId(Utf8.GetString(operand));
                break;
            default:
                throw new FormatException($"'{target}' is not one of version, create, mod, value, lease");
        }
    }

    /// <summary>Lease ids are written in hexadecimal, as etcdctl shows them.</summary>
    internal static long LeaseId(string text) => long.TryParse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out long id)
        ? id
        : throw new FormatException($"'{text}' is not a lease id in hexadecimal");

    private static long Number(byte[] operand) => long.TryParse(Utf8.GetString(operand), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long number)
        ? number
        : throw new FormatException($"'{Utf8.GetString(operand)}' is not a number");

    private static void SkipSpaces(string line, ref int at)
    {
        while (at < line.Length && char.IsWhiteSpace(line[at]))
        {
            at++;
        }
    }

    private static void Expect(string line, ref int at, char expected)
    {
        SkipSpaces(line, ref at);
        if (at >= line.Length || line[at] != expected)
        {
            throw new FormatException($"'{expected}' is missing in '{line}'");
        }

        at++;
    }

    private static byte[] ReadWord(string line, ref int at, char end)
    {
        SkipSpaces(line, ref at);
        var bytes = new List<byte>();
        char quote = '\0';
        int start = at;
        while (at < line.Length)
        {
            char c = line[at];
            if (quote == '\0' && (c == end || (end == ' ' && char.IsWhiteSpace(c))))
            {
                break;
            }

            at++;
            if (quote == '\0' && c is '"' or '\'')
            {
                quote = c;
            }
            else if (c == quote && quote != '\0')
            {
                quote = '\0';
            }
            else if (quote == '"' && c == '\\')
            {
                bytes.Add(ReadEscape(line, ref at));
            }
            else
            {
                int length = char.IsHighSurrogate(c) && at < line.Length ? 2 : 1;
                bytes.AddRange(Utf8.GetBytes(line.Substring(at - 1, length)));
                at += length - 1;
            }
        }

        if (quote != '\0')
        {
            throw new FormatException($"a quote is not closed: {line[start..]}");
        }

        if (at == start)
        {
            throw new FormatException($"a word is missing in '{line}'");
        }

        return [.. bytes];
    }

    private static byte ReadEscape(string line, ref int at)
    {
        char c = at < line.Length ? line[at++] : throw new FormatException("a backslash ends the line");
        if (c == 'x' && at + 2 <= line.Length && byte.TryParse(line.AsSpan(at, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte hex))
        {
            at += 2;
            return hex;
        }

        return c switch
        {
            'n' => (byte)'\n',
            't' => (byte)'\t',
            'r' => (byte)'\r',
            '0' => 0,
            '\\' or '"' or '\'' => (byte)c,
            _ => throw new FormatException($"'\\{c}' is not an escape; use \\n \\t \\r \\\\ \\\" or \\xNN"),
        };
    }
}
