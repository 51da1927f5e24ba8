using System.Buffers;
using System.Collections;
using System.Globalization;
using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.Core;

namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// JSON as a message, as grpc-gateway v1 reads it: names as in the proto files or in camel case, integers as numbers or strings, enums by name or number, null is absence, unknown names are
/// skipped. What does not fit is refused in the words of etcd's gateway, which are those of Go's decoder.
/// </summary>
internal static class JsonRequest
{
    private static readonly SearchValues<char> Base64 = SearchValues.Create("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
    private static readonly JsonDocumentOptions Options = new() { MaxDepth = JsonScanner.MaxDepth };

    /// <exception cref="JsonBodyException">It is no such message.</exception>
    public static IMessage Read(ReadOnlyMemory<byte> json, MessageDescriptor type)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json, Options);
            return ReadMessage(document.RootElement, type);
        }
        catch (Exception exception) when (exception is JsonException or InvalidOperationException)
        {
            // Text that is no Unicode: Go puts replacement characters there, and then means another key than the client did.
            throw Bad("invalid UTF-8 in a JSON string");
        }
    }

    public static IMessage Empty(MessageDescriptor type) => type.Parser.ParseFrom(ByteString.Empty);

    private static IMessage ReadMessage(JsonElement json, MessageDescriptor type)
    {
        IMessage message = Empty(type);
        if (json.ValueKind == JsonValueKind.Null)
        {
            return message;
        }

        Require(json, JsonValueKind.Object, "map[string]json.RawMessage");
        foreach (JsonProperty property in json.EnumerateObject())
        {
            FieldDescriptor? field = Find(type, property.Name);
            if (field is not null && property.Value.ValueKind != JsonValueKind.Null)
            {
                Set(message, field, property.Value);
            }
        }

        return message;
    }

    private static FieldDescriptor? Find(MessageDescriptor type, string name) => type.FindFieldByName(name) ?? type.Fields.InDeclarationOrder().FirstOrDefault(field => field.JsonName == name);

    private static void Set(IMessage message, FieldDescriptor field, JsonElement json)
    {
        if (!field.IsRepeated)
        {
            field.Accessor.SetValue(message, ReadValue(json, field));
            return;
        }

        Require(json, JsonValueKind.Array, "[]json.RawMessage");
        var list = (IList)field.Accessor.GetValue(message);
        foreach (JsonElement element in json.EnumerateArray())
        {
            list.Add(ReadValue(element, field));
        }
    }

    private static object ReadValue(JsonElement json, FieldDescriptor field)
    {
        switch (field.FieldType)
        {
            case FieldType.Message:
                return ReadMessage(json, field.MessageType);
            case FieldType.Enum:
                return ReadEnum(json, field.EnumType);
            case FieldType.Bytes:
                Require(json, JsonValueKind.String, "[]uint8");
                return ReadBytes(json);
            case FieldType.String:
                Require(json, JsonValueKind.String, "string");
                return json.GetString()!;
            case FieldType.Bool:
                return json.ValueKind is JsonValueKind.True or JsonValueKind.False ? json.GetBoolean() : throw Mismatch(json, "bool");
            case FieldType.Int64:
                return long.TryParse(Digits(json, "int64"), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out long signed) ? signed : throw BadNumber(json, "int64");
            case FieldType.UInt64:
                return ulong.TryParse(Digits(json, "uint64"), NumberStyles.None, CultureInfo.InvariantCulture, out ulong unsigned) ? unsigned : throw BadNumber(json, "uint64");
            default:
                throw Bad($"no request of etcd has a field of type {field.FieldType}");
        }
    }

    private static int ReadEnum(JsonElement json, EnumDescriptor type)
    {
        if (json.ValueKind != JsonValueKind.String)
        {
            return int.TryParse(Digits(json, "int32"), NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out int number) ? number : throw BadNumber(json, "int32");
        }

        string name = json.GetString()!;
        string goName = type.ContainingType is { } outer ? $"{type.File.Package}.{outer.Name}_{type.Name}" : type.FullName;
        return type.FindValueByName(name)?.Number ?? throw Bad($"unknown value \"{name}\" for enum {goName}");
    }

    private static ByteString ReadBytes(JsonElement json)
    {
        if (json.TryGetBytesFromBase64(out byte[]? bytes))
        {
            return UnsafeByteOperations.UnsafeWrap(bytes);
        }

        string text = json.GetString()!;
        int wrong = text.TrimEnd('=').AsSpan().IndexOfAnyExcept(Base64);
        throw Bad(string.Create(CultureInfo.InvariantCulture, $"illegal base64 data at input byte {(wrong >= 0 ? wrong : text.Length / 4 * 4)}"));
    }

    private static string Digits(JsonElement json, string goType) => json.ValueKind switch
    {
        JsonValueKind.Number => json.GetRawText(),
        JsonValueKind.String => json.GetString()!,
        _ => throw Mismatch(json, goType),
    };

    /// <summary>A number in quotes is JSON once more to Go's decoder, which then complains of its first character.</summary>
    private static JsonBodyException BadNumber(JsonElement json, string goType)
    {
        string text = Digits(json, goType);
        if (text.Length == 0)
        {
            return Bad("unexpected end of JSON input");
        }

        var scanner = new JsonScanner();
        string? error = text.All(next => scanner.Take(next < 0x80 ? (byte)next : (byte)'?')) ? null : scanner.Error;
        return Bad(error ?? $"json: cannot unmarshal number {text} into Go value of type {goType}");
    }

    private static void Require(JsonElement json, JsonValueKind kind, string goType)
    {
        if (json.ValueKind != kind)
        {
            throw Mismatch(json, goType);
        }
    }

    private static JsonBodyException Mismatch(JsonElement json, string goType)
    {
        string kind = json.ValueKind switch
        {
            JsonValueKind.Array => "array",
            JsonValueKind.Object => "object",
            JsonValueKind.String => "string",
            JsonValueKind.Number => "number",
            _ => "bool",
        };
        return Bad($"json: cannot unmarshal {kind} into Go value of type {goType}");
    }

    private static JsonBodyException Bad(string message) => new(StatusCode.InvalidArgument, message);
}
