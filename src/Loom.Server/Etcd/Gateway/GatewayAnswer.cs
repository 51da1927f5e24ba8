using System.Buffers;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.WebUtilities;

namespace Loom.Server.Etcd.Gateway;

/// <summary>What the gateway sends, in the shapes of grpc-gateway v1: a message, an error, a piece of a stream.</summary>
internal static class GatewayAnswer
{
    // Most events fit; larger ones make it grow.
    private const int LineBytes = 1024;

    private static readonly JsonWriterOptions Options = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, SkipValidation = true };

    /// <summary>grpc-gateway v1's table; the one of v2 has 400 for FailedPrecondition.</summary>
    public static int HttpStatus(StatusCode code) => code switch
    {
        StatusCode.OK => 200,
        StatusCode.InvalidArgument or StatusCode.OutOfRange => 400,
        StatusCode.Unauthenticated => 401,
        StatusCode.PermissionDenied => 403,
        StatusCode.NotFound => 404,
        StatusCode.Cancelled => 408,
        StatusCode.AlreadyExists or StatusCode.Aborted => 409,
        StatusCode.FailedPrecondition => 412,
        StatusCode.ResourceExhausted => 429,
        StatusCode.Unimplemented => 501,
        StatusCode.Unavailable => 503,
        StatusCode.DeadlineExceeded => 504,
        _ => 500,
    };

    public static async Task WriteAsync(HttpResponse response, IMessage message, CancellationToken cancellationToken)
    {
        Begin(response, StatusCode.OK);
        JsonMessage.Write(response.BodyWriter, message);
        response.ContentLength = response.BodyWriter.UnflushedBytes;
        await response.BodyWriter.FlushAsync(cancellationToken).ConfigureAwait(false);
    }

    public static Task WriteAsync(HttpResponse response, Status error, CancellationToken cancellationToken)
    {
        Begin(response, error.StatusCode);
        return WriteAsync(response, writer =>
        {
            writer.WriteString("error", error.Detail);
            writer.WriteString("message", error.Detail);
            writer.WriteNumber("code", (int)error.StatusCode);
        }, cancellationToken);
    }

    /// <summary>One line per message, in one chunk, sent at once: most clients read lines, but python-etcd3gw takes a chunk for a message.</summary>
    public static async Task WritePieceAsync(HttpResponse response, IMessage message, CancellationToken cancellationToken)
    {
        if (!response.HasStarted)
        {
            Begin(response, StatusCode.OK);
        }

        var line = new ArrayBufferWriter<byte>(LineBytes);
        line.Write("{\"result\":"u8);
        JsonMessage.Write(line, message);
        line.Write("}\n"u8);
        await response.BodyWriter.WriteAsync(line.WrittenMemory, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The end of a stream that failed. Its HTTP status is long gone when messages came before.</summary>
    public static Task WritePieceAsync(HttpResponse response, Status error, CancellationToken cancellationToken)
    {
        if (!response.HasStarted)
        {
            Begin(response, error.StatusCode);
        }

        int status = HttpStatus(error.StatusCode);
        return WriteAsync(response, writer =>
        {
            writer.WriteStartObject("error");
            writer.WriteNumber("grpc_code", (int)error.StatusCode);
            writer.WriteNumber("http_code", status);
            writer.WriteString("message", error.Detail);
            writer.WriteString("http_status", ReasonPhrases.GetReasonPhrase(status));
            writer.WriteEndObject();
        }, cancellationToken);
    }

    public static Task WriteTextAsync(HttpResponse response, int status)
    {
        response.StatusCode = status;
        response.ContentType = "text/plain; charset=utf-8";
        response.Headers.XContentTypeOptions = "nosniff";
        string text = ReasonPhrases.GetReasonPhrase(status) + "\n";
        response.ContentLength = Encoding.ASCII.GetByteCount(text);
        return response.WriteAsync(text, response.HttpContext.RequestAborted);
    }

    public static void Begin(HttpResponse response, StatusCode code)
    {
        response.StatusCode = HttpStatus(code);
        response.ContentType = "application/json";
        if (code == StatusCode.OK)
        {
            response.Headers["Grpc-Metadata-Content-Type"] = "application/grpc";
        }
    }

    private static async Task WriteAsync(HttpResponse response, Action<Utf8JsonWriter> properties, CancellationToken cancellationToken)
    {
        using (var writer = new Utf8JsonWriter(response.BodyWriter, Options))
        {
            writer.WriteStartObject();
            properties(writer);
            writer.WriteEndObject();
        }

        await response.BodyWriter.FlushAsync(cancellationToken).ConfigureAwait(false);
    }
}
