using System.Buffers;
using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Google.Protobuf;
using Loom.Server.Etcd.Protos;
using Spectre.Console;

namespace Loom.Server.Cli;

/// <summary>
/// Writes what commands found. JSON has <c>"format":1</c>: fields are only added while that number stays. Keys and values are text where they are UTF-8, else they
/// come as <c>key_base64</c>, <c>value_base64</c>.
/// </summary>
internal sealed class DataWriter(TextWriter output, OutputMode mode, bool isTerminal)
{
    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);
    private static readonly JsonWriterOptions JsonOptions = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public OutputMode Mode { get; } = mode;

    public bool IsJson => Mode is OutputMode.Json or OutputMode.JsonLines;

    /// <summary>One JSON object on one line.</summary>
    public void Json(Action<Utf8JsonWriter> fill)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, JsonOptions))
        {
            json.WriteStartObject();
            json.WriteNumber("format", 1);
            fill(json);
            json.WriteEndObject();
        }

        output.WriteLine(Encoding.UTF8.GetString(buffer.WrittenSpan));
    }

    public void Line(string text) => output.WriteLine(text);

    /// <summary>One of several facts about one thing, each on a line of its own: they differ too much in length for a table.</summary>
    public void Fact(string name, string text) => output.WriteLine(Mode == OutputMode.Plain ? $"{name}\t{text}" : $"{name,-11} {text}");

    /// <summary>The exact bytes of a value, and a line end.</summary>
    public void Raw(ByteString value) => output.WriteLine(TryText(value) ?? Encoding.Latin1.GetString(value.Span));

    public void Table(IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        if (Mode == OutputMode.Plain)
        {
            foreach (IReadOnlyList<string> row in rows)
            {
                output.WriteLine(string.Join('\t', row));
            }
        }
        else if (isTerminal)
        {
            // Only on a terminal: elsewhere Spectre wraps at 80 columns.
            IAnsiConsole console = AnsiConsole.Create(new AnsiConsoleSettings { Out = new AnsiConsoleOutput(output) });
            var table = new Table().Border(TableBorder.Rounded);
            foreach (string header in headers)
            {
                table.AddColumn(new TableColumn(Markup.Escape(header)).NoWrap());
            }

            foreach (IReadOnlyList<string> row in rows)
            {
                table.AddRow([.. row.Select(Markup.Escape)]);
            }

            console.Write(table);
        }
        else
        {
            Aligned(headers, rows);
        }
    }

    public static void Pair(Utf8JsonWriter json, KeyValue pair, bool keysOnly = false)
    {
        Bytes(json, "key", pair.Key);
        if (!keysOnly)
        {
            Bytes(json, "value", pair.Value);
        }

        json.WriteNumber("create_revision", pair.CreateRevision);
        json.WriteNumber("mod_revision", pair.ModRevision);
        json.WriteNumber("version", pair.Version);
        json.WriteNumber("lease", pair.Lease);
    }

    /// <summary>Text for people and lines: control characters and bytes that are no UTF-8 as \xNN, so that a line stays a line.</summary>
    public static string Printable(ByteString bytes)
    {
        string? text = TryText(bytes);
        if (text is not null && !text.Any(char.IsControl))
        {
            return text;
        }

        var builder = new StringBuilder();
        if (text is null)
        {
            foreach (byte b in bytes.Span)
            {
                builder.Append(b is >= 0x20 and < 0x7F ? ((char)b).ToString() : string.Create(CultureInfo.InvariantCulture, $"\\x{b:x2}"));
            }
        }
        else
        {
            foreach (char c in text)
            {
                builder.Append(char.IsControl(c) ? string.Create(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}") : c.ToString());
            }
        }

        return builder.ToString();
    }

    private static void Bytes(Utf8JsonWriter json, string name, ByteString bytes)
    {
        if (TryText(bytes) is { } text)
        {
            json.WriteString(name, text);
        }
        else
        {
            json.WriteBase64String(name + "_base64", bytes.Span);
        }
    }

    private static string? TryText(ByteString bytes)
    {
        try
        {
            return StrictUtf8.GetString(bytes.Span);
        }
        catch (DecoderFallbackException)
        {
            return null;
        }
    }

    private void Aligned(IReadOnlyList<string> headers, IReadOnlyList<IReadOnlyList<string>> rows)
    {
        int[] widths = [.. headers.Select((h, i) => rows.Select(r => r[i].Length).Append(h.Length).Max())];
        foreach (IReadOnlyList<string> row in rows.Prepend(headers))
        {
            output.WriteLine(string.Join("  ", row.Select((cell, i) => cell.PadRight(widths[i]))).TrimEnd());
        }
    }
}
