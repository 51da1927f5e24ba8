using System.CommandLine;
using System.Text;
using Google.Protobuf;
using Loom.Server.Etcd.Protos;
using Loom.Store.Model;

namespace Loom.Server.Cli;

/// <summary>
/// The options of get, put and del, and the requests they make: used by the commands and by the lines of a transaction.
/// Names are etcdctl's, so that habits and scripts carry over.
/// </summary>
internal static class KvOptions
{
    internal sealed class Get
    {
        public readonly Argument<string> Key = new("key") { Description = "the key, or the first key of a range" };
        public readonly Argument<string?> End = new("end") { Arity = ArgumentArity.ZeroOrOne, Description = "end of the range, not included" };
        public readonly Option<bool> Prefix = new("--prefix") { Description = "all keys that begin with KEY ('' = all)" };
        public readonly Option<bool> FromKey = new("--from-key") { Description = "all keys from KEY on" };
        public readonly Option<long> Limit = new("--limit") { Description = "at most this many" };
        public readonly Option<long> Revision = new("--rev") { Description = "at this revision" };
        public readonly Option<string?> SortBy = new("--sort-by") { Description = "CREATE, KEY, MODIFY, VALUE or VERSION" };
        public readonly Option<string?> Order = new("--order") { Description = "ASCEND or DESCEND" };
        public readonly Option<bool> KeysOnly = new("--keys-only") { Description = "without values" };
        public readonly Option<bool> CountOnly = new("--count-only") { Description = "only the number of keys" };
        public readonly Option<string> Consistency = new("--consistency") { DefaultValueFactory = _ => "l", Description = "l: linearizable; s: this member's state, perhaps stale" };

        public void AddTo(Command command)
        {
            command.Arguments.Add(Key);
            command.Arguments.Add(End);
            foreach (Option option in (Option[])[Prefix, FromKey, Limit, Revision, SortBy, Order, KeysOnly, CountOnly, Consistency])
            {
                command.Options.Add(option);
            }
        }

        public RangeRequest Request(ParseResult parsed)
        {
            (ByteString key, ByteString end) = Range(parsed.GetValue(Key)!, parsed.GetValue(End), parsed.GetValue(Prefix), parsed.GetValue(FromKey));
            return new RangeRequest
            {
                Key = key,
                RangeEnd = end,
                Limit = parsed.GetValue(Limit),
                Revision = parsed.GetValue(Revision),
                SortTarget = Target(parsed.GetValue(SortBy)),
                SortOrder = OrderOf(parsed.GetValue(Order)),
                KeysOnly = parsed.GetValue(KeysOnly),
                CountOnly = parsed.GetValue(CountOnly),
                Serializable = parsed.GetValue(Consistency) switch
                {
                    "l" => false,
                    "s" => true,
                    { } other => throw new CommandException(ExitCode.Usage, $"--consistency is '{other}'", "write l (linearizable) or s (serializable)"),
                    null => false,
                },
            };
        }

        private static RangeRequest.Types.SortTarget Target(string? text) => text?.ToUpperInvariant() switch
        {
            null or "" or "KEY" => RangeRequest.Types.SortTarget.Key,
            "CREATE" => RangeRequest.Types.SortTarget.Create,
            "MODIFY" or "MOD" => RangeRequest.Types.SortTarget.Mod,
            "VALUE" => RangeRequest.Types.SortTarget.Value,
            "VERSION" => RangeRequest.Types.SortTarget.Version,
            _ => throw new CommandException(ExitCode.Usage, $"--sort-by is '{text}'", "write CREATE, KEY, MODIFY, VALUE or VERSION"),
        };

        private static RangeRequest.Types.SortOrder OrderOf(string? text) => text?.ToUpperInvariant() switch
        {
            null or "" => RangeRequest.Types.SortOrder.None,
            "ASCEND" => RangeRequest.Types.SortOrder.Ascend,
            "DESCEND" => RangeRequest.Types.SortOrder.Descend,
            _ => throw new CommandException(ExitCode.Usage, $"--order is '{text}'", "write ASCEND or DESCEND"),
        };
    }

    internal sealed class Put
    {
        public readonly Argument<string> Key = new("key") { Description = "the key" };
        public readonly Argument<string?> Value = new("value") { Arity = ArgumentArity.ZeroOrOne, Description = "the value; without it, or with -, standard input" };
        public readonly Option<string?> Lease = new("--lease") { Description = "lease to attach, in hexadecimal" };
        public readonly Option<bool> PreviousPair = new("--prev-kv") { Description = "show the previous value" };
        public readonly Option<bool> IgnoreValue = new("--ignore-value") { Description = "keep the value" };
        public readonly Option<bool> IgnoreLease = new("--ignore-lease") { Description = "keep the lease" };

        public void AddTo(Command command)
        {
            command.Arguments.Add(Key);
            command.Arguments.Add(Value);
            foreach (Option option in (Option[])[Lease, PreviousPair, IgnoreValue, IgnoreLease])
            {
                command.Options.Add(option);
            }
        }

        /// <param name="parsed">The words.</param>
        /// <param name="input">Reads the value when none is given; null where there is no input of its own (a line of a transaction).</param>
        public PutRequest Request(ParseResult parsed, Func<byte[]>? input)
        {
            string? value = parsed.GetValue(Value);
            bool ignoreValue = parsed.GetValue(IgnoreValue);
            ByteString bytes = ByteString.Empty;
            if (value is not null && (value != "-" || input is null))
            {
                bytes = Bytes(value);
            }
            else if (!ignoreValue)
            {
                bytes = input is null
                    ? throw new CommandException(ExitCode.Usage, "put needs a value", "write: put KEY VALUE")
                    : UnsafeByteOperations.UnsafeWrap(input());
            }

            return new PutRequest
            {
                Key = Bytes(parsed.GetValue(Key)!),
                Value = bytes,
                Lease = LeaseOf(parsed.GetValue(Lease)),
                PrevKv = parsed.GetValue(PreviousPair),
                IgnoreValue = ignoreValue,
                IgnoreLease = parsed.GetValue(IgnoreLease),
            };
        }

        private static long LeaseOf(string? text)
        {
            try
            {
                return string.IsNullOrEmpty(text) ? 0 : TxnText.LeaseId(text);
            }
            catch (FormatException exception)
            {
                throw new CommandException(ExitCode.Usage, exception.Message, "write the id as etcdctl shows it, e.g. 694d7a3b1c2d4e5f");
            }
        }
    }

    internal sealed class Delete
    {
        public readonly Argument<string> Key = new("key") { Description = "the key, or the first key of a range" };
        public readonly Argument<string?> End = new("end") { Arity = ArgumentArity.ZeroOrOne, Description = "end of the range, not included" };
        public readonly Option<bool> Prefix = new("--prefix") { Description = "all keys that begin with KEY" };
        public readonly Option<bool> FromKey = new("--from-key") { Description = "all keys from KEY on" };
        public readonly Option<bool> PreviousPairs = new("--prev-kv") { Description = "show what was deleted" };

        public void AddTo(Command command)
        {
            command.Arguments.Add(Key);
            command.Arguments.Add(End);
            foreach (Option option in (Option[])[Prefix, FromKey, PreviousPairs])
            {
                command.Options.Add(option);
            }
        }

        public DeleteRangeRequest Request(ParseResult parsed)
        {
            (ByteString key, ByteString end) = Range(parsed.GetValue(Key)!, parsed.GetValue(End), parsed.GetValue(Prefix), parsed.GetValue(FromKey));
            return new DeleteRangeRequest { Key = key, RangeEnd = end, PrevKv = parsed.GetValue(PreviousPairs) };
        }
    }

    private static (ByteString Key, ByteString End) Range(string key, string? end, bool prefix, bool fromKey)
    {
        if ((end is not null ? 1 : 0) + (prefix ? 1 : 0) + (fromKey ? 1 : 0) > 1)
        {
            throw new CommandException(ExitCode.Usage, "an end, --prefix and --from-key exclude each other", "leave all but one out");
        }

        byte[] start = Encoding.UTF8.GetBytes(key);
        if (end is not null)
        {
            return (Bytes(key), Bytes(end));
        }

        if (!prefix && !fromKey)
        {
            return (Bytes(key), ByteString.Empty);
        }

        // An empty key with a range means "from the very first key", which etcd writes as one zero byte.
        KeyRange range = prefix ? KeyRange.Prefix(start) : KeyRange.From(start.Length == 0 ? new byte[1] : start);
        return (UnsafeByteOperations.UnsafeWrap(range.Start), UnsafeByteOperations.UnsafeWrap(range.End));
    }

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);
}
