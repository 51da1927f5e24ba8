using System.Buffers;
using System.Collections;
using System.Globalization;
using System.Text.Encodings.Web;
using System.Text.Json;
using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// Messages as JSON, as grpc-gateway v1 writes them: names of the proto files, 64-bit integers as strings, bytes as base64, enums by name, no field that has its default, no space between
/// tokens. Google's formatter would do but for the spaces; scripts compare bytes, so ours are etcd's.
/// </summary>
internal static class JsonMessage
{
    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    public static void Write(IBufferWriter<byte> output, IMessage message)
    {
        using var writer = new Utf8JsonWriter(output, Options);
        WriteMessage(writer, message);
    }

    private static void WriteMessage(Utf8JsonWriter writer, IMessage message)
    {
        writer.WriteStartObject();
        foreach (FieldDescriptor field in message.Descriptor.Fields.InFieldNumberOrder())
        {
            object? value = field.Accessor.GetValue(message);
            if (field.IsRepeated)
            {
                WriteList(writer, field, (IList)value);
            }
            else if (field.HasPresence ? field.Accessor.HasValue(message) : !IsDefault(value))
            {
                writer.WritePropertyName(field.Name);
                WriteValue(writer, field, value);
            }
        }

        writer.WriteEndObject();
    }

    private static void WriteList(Utf8JsonWriter writer, FieldDescriptor field, IList values)
    {
        if (values.Count == 0)
        {
            return;
        }

        writer.WriteStartArray(field.Name);
        foreach (object? value in values)
        {
            WriteValue(writer, field, value!);
        }

        writer.WriteEndArray();
    }

    private static bool IsDefault(object value) => value switch
    {
        long number => number == 0,
        ulong number => number == 0,
        ByteString bytes => bytes.IsEmpty,
        string text => text.Length == 0,
        bool flag => !flag,
        _ => Convert.ToInt64(value, CultureInfo.InvariantCulture) == 0,
    };

    private static void WriteValue(Utf8JsonWriter writer, FieldDescriptor field, object value)
    {
        switch (value)
        {
            case IMessage message:
                WriteMessage(writer, message);
                break;
            case ByteString bytes:
                writer.WriteBase64StringValue(bytes.Span);
                break;
            case long or ulong:
                writer.WriteStringValue(((IFormattable)value).ToString(null, CultureInfo.InvariantCulture));
                break;
            case string text:
                writer.WriteStringValue(text);
                break;
            case bool flag:
                writer.WriteBooleanValue(flag);
                break;
            case uint number:
                writer.WriteNumberValue(number);
                break;
            default:
                WriteEnum(writer, field, Convert.ToInt32(value, CultureInfo.InvariantCulture));
                break;
        }
    }

    private static void WriteEnum(Utf8JsonWriter writer, FieldDescriptor field, int value)
    {
        if (field.EnumType.FindValueByNumber(value) is { } named)
        {
            writer.WriteStringValue(named.Name);
        }
        else
        {
            writer.WriteNumberValue(value);
        }
    }
}
