using System.CommandLine;
using System.Globalization;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Cli;

/// <summary><c>loom put</c>, <c>get</c>, <c>del</c>.</summary>
internal static class KvCommands
{
    public static Command Put(CommandLineOptions common)
    {
        var options = new KvOptions.Put();
        var command = new Command("put", "Put a value");
        options.AddTo(command);
        common.SetAction(command, async (parsed, session) =>
        {
            PutRequest request = options.Request(parsed, () => session.ReadInput());
            PutResponse response = await session.Client.WriteAsync((invoker, call) => new KV.KVClient(invoker).PutAsync(request, call)).ConfigureAwait(false);
            if (session.Data.IsJson)
            {
                session.Data.Json(json =>
                {
                    json.WriteNumber("revision", response.Header.Revision);
                    if (response.PrevKv is { } previous)
                    {
                        json.WriteStartObject("previous");
                        DataWriter.Pair(json, previous);
                        json.WriteEndObject();
                    }
                });
            }
            else
            {
                session.Data.Line($"OK\t{response.Header.Revision}");
                if (response.PrevKv is { } previous)
                {
                    session.Data.Line($"{DataWriter.Printable(previous.Key)}\t{DataWriter.Printable(previous.Value)}");
                }
            }

            return ExitCode.Ok;
        });
        return command;
    }

    public static Command Get(CommandLineOptions common)
    {
        var options = new KvOptions.Get();
        var valueOnly = new Option<bool>("--value-only") { Description = "only the value's bytes", Aliases = { "--print-value-only" } };
        var command = new Command("get", "Get a key or a range; exit code 3 when a single key does not exist");
        options.AddTo(command);
        command.Options.Add(valueOnly);
        common.SetAction(command, async (parsed, session) =>
        {
            RangeRequest request = options.Request(parsed);
            RangeResponse response = await session.Client.RangeAsync(request).ConfigureAwait(false);
            WriteRange(session.Data, request, response, parsed.GetValue(valueOnly));
            if (request.RangeEnd.IsEmpty && response.Count == 0 && !request.CountOnly)
            {
                session.Note($"not found: {DataWriter.Printable(request.Key)}");
                return ExitCode.NotFound;
            }

            return ExitCode.Ok;
        });
        return command;
    }

    public static Command Delete(CommandLineOptions common)
    {
        var options = new KvOptions.Delete();
        var command = new Command("del", "Delete a key or a range; shows how many keys were deleted");
        options.AddTo(command);
        common.SetAction(command, async (parsed, session) =>
        {
            DeleteRangeRequest request = options.Request(parsed);
            DeleteRangeResponse response = await session.Client.WriteAsync((invoker, call) => new KV.KVClient(invoker).DeleteRangeAsync(request, call)).ConfigureAwait(false);
            if (session.Data.IsJson)
            {
                session.Data.Json(json =>
                {
                    json.WriteNumber("revision", response.Header.Revision);
                    json.WriteNumber("deleted", response.Deleted);
                    if (request.PrevKv)
                    {
                        json.WriteStartArray("previous");
                        foreach (KeyValue pair in response.PrevKvs)
                        {
                            json.WriteStartObject();
                            DataWriter.Pair(json, pair);
                            json.WriteEndObject();
                        }

                        json.WriteEndArray();
                    }
                });
            }
            else
            {
                session.Data.Line(response.Deleted.ToString(CultureInfo.InvariantCulture));
                foreach (KeyValue pair in response.PrevKvs)
                {
                    session.Data.Line($"{DataWriter.Printable(pair.Key)}\t{DataWriter.Printable(pair.Value)}");
                }
            }

            return ExitCode.Ok;
        });
        return command;
    }

    internal static void WriteRange(DataWriter data, RangeRequest request, RangeResponse response, bool valueOnly)
    {
        if (valueOnly)
        {
            foreach (KeyValue pair in response.Kvs)
            {
                data.Raw(pair.Value);
            }
        }
        else if (data.Mode == OutputMode.Json)
        {
            data.Json(json =>
            {
                json.WriteNumber("revision", response.Header.Revision);
                json.WriteNumber("count", response.Count);
                json.WriteBoolean("more", response.More);
                json.WriteStartArray("kvs");
                foreach (KeyValue pair in response.Kvs)
                {
                    json.WriteStartObject();
                    DataWriter.Pair(json, pair, request.KeysOnly);
                    json.WriteEndObject();
                }

                json.WriteEndArray();
            });
        }
        else if (data.Mode == OutputMode.JsonLines && !request.CountOnly)
        {
            foreach (KeyValue pair in response.Kvs)
            {
                data.Json(json => DataWriter.Pair(json, pair, request.KeysOnly));
            }
        }
        else if (data.IsJson)
        {
            data.Json(json => json.WriteNumber("count", response.Count));
        }
        else if (request.CountOnly)
        {
            data.Line(response.Count.ToString(CultureInfo.InvariantCulture));
        }
        else if (request.KeysOnly && data.Mode == OutputMode.Plain)
        {
            foreach (KeyValue pair in response.Kvs)
            {
                data.Line(DataWriter.Printable(pair.Key));
            }
        }
        else if (data.Mode == OutputMode.Plain)
        {
            data.Table([], [.. response.Kvs.Select(p => (IReadOnlyList<string>)[DataWriter.Printable(p.Key), DataWriter.Printable(p.Value)])]);
        }
        else if (response.Kvs.Count > 0)
        {
            data.Table(
                ["KEY", "VALUE", "VERSION", "CREATED", "MODIFIED"],
                [.. response.Kvs.Select(p => (IReadOnlyList<string>)[DataWriter.Printable(p.Key), DataWriter.Printable(p.Value), Text(p.Version), Text(p.CreateRevision), Text(p.ModRevision)])]);
        }
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);
}
