using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json;
using Google.Protobuf.Collections;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Cli;

/// <summary><c>loom txn</c>: one transaction, in etcdctl's text, from standard input.</summary>
internal static class TxnCommand
{
    private const string Help = """
        Run a transaction read from standard input, in etcdctl's text; exit code 4 when a compare failed.
        Compares, an empty line, the operations when all hold, an empty line, the operations otherwise:

          mod("jobs/7") = "12"
          value("jobs/7/owner") = "east1"

          put jobs/7/state done
          get jobs/ --prefix

          get jobs/7
        """;

    public static Command Create(CommandLineOptions common)
    {
        var command = new Command("txn", Help);
        common.SetAction(command, async (_, session) =>
        {
            TxnRequest request = TxnText.Parse(Encoding.UTF8.GetString(session.ReadInput()), ParseOperation);
            TxnResponse response = await session.Client.WriteAsync((invoker, call) => new KV.KVClient(invoker).TxnAsync(request, call)).ConfigureAwait(false);
            Write(session.Data, request, response);
            return response.Succeeded ? ExitCode.Ok : ExitCode.CompareFailed;
        });
        return command;
    }

    /// <summary>A line of a branch has the words of the command of that name.</summary>
    private static RequestOp ParseOperation(IReadOnlyList<string> words)
    {
        var get = new KvOptions.Get();
        var put = new KvOptions.Put();
        var delete = new KvOptions.Delete();
        var command = new Command(words[0]);
        switch (words[0])
        {
            case "get":
                get.AddTo(command);
                return new RequestOp { RequestRange = get.Request(Parse(command, words)) };
            case "put":
                put.AddTo(command);
                return new RequestOp { RequestPut = put.Request(Parse(command, words), null) };
            case "del":
                delete.AddTo(command);
                return new RequestOp { RequestDeleteRange = delete.Request(Parse(command, words)) };
            default:
                throw new FormatException($"'{words[0]}' is not one of put, get, del");
        }
    }

    private static ParseResult Parse(Command command, IReadOnlyList<string> words)
    {
        ParseResult parsed = command.Parse([.. words.Skip(1)]);
        return parsed.Errors.Count == 0 ? parsed : throw new FormatException(parsed.Errors[0].Message);
    }

    private static void Write(DataWriter data, TxnRequest request, TxnResponse response)
    {
        RepeatedField<RequestOp> operations = response.Succeeded ? request.Success : request.Failure;
        if (data.IsJson)
        {
            data.Json(json =>
            {
                json.WriteNumber("revision", response.Header.Revision);
                json.WriteBoolean("succeeded", response.Succeeded);
                json.WriteStartArray("responses");
                for (int i = 0; i < response.Responses.Count; i++)
                {
                    WriteOperation(json, operations[i], response.Responses[i]);
                }

                json.WriteEndArray();
            });
            return;
        }

        data.Line(response.Succeeded ? "SUCCESS" : "FAILURE");
        for (int i = 0; i < response.Responses.Count; i++)
        {
            ResponseOp operation = response.Responses[i];
            if (operation.ResponseRange is { } range)
            {
                KvCommands.WriteRange(data, operations[i].RequestRange, range, valueOnly: false);
            }
            else
            {
                data.Line(operation.ResponseDeleteRange is { } delete ? delete.Deleted.ToString(CultureInfo.InvariantCulture) : "OK");
            }
        }
    }

    private static void WriteOperation(Utf8JsonWriter json, RequestOp request, ResponseOp response)
    {
        json.WriteStartObject();
        if (response.ResponseRange is { } range)
        {
            json.WriteString("operation", "get");
            json.WriteNumber("count", range.Count);
            json.WriteBoolean("more", range.More);
            json.WriteStartArray("kvs");
            foreach (KeyValue pair in range.Kvs)
            {
                json.WriteStartObject();
                DataWriter.Pair(json, pair, request.RequestRange.KeysOnly);
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }
        else if (response.ResponseDeleteRange is { } delete)
        {
            json.WriteString("operation", "del");
            json.WriteNumber("deleted", delete.Deleted);
        }
        else
        {
            json.WriteString("operation", "put");
        }

        json.WriteEndObject();
    }
}
