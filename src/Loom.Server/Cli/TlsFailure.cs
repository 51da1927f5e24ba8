using System.Security.Authentication;
using Grpc.Core;

namespace Loom.Server.Cli;

/// <summary>What a failed TLS connection says, in words: such calls never reached the server, whatever the call was.</summary>
internal static class TlsFailure
{
    /// <summary>OpenSSL's texts of the alerts by which a server refuses a client's certificate. With TLS 1.3 they come when the client thinks that the handshake is done.</summary>
    private static readonly string[] Refusals = ["certificate required", "bad certificate", "unknown ca", "certificate unknown", "handshake failure", "certificate expired", "unsupported certificate"];

    /// <summary>Null: the failure is none of TLS.</summary>
    /// <param name="exception">Of the call.</param>
    /// <param name="write">Only what certainly never reached the server may be said of a write.</param>
    /// <param name="endpoint">As the user wrote it.</param>
    public static CommandException? Translate(RpcException exception, bool write, string endpoint)
    {
        for (Exception? inner = exception.Status.DebugException; inner is not null; inner = inner.InnerException)
        {
            if (Array.Find(Refusals, text => inner.Message.Contains("alert " + text, StringComparison.OrdinalIgnoreCase)) is { } refusal)
            {
                return new CommandException(ExitCode.Unreachable, $"{endpoint} refused this client's certificate ({refusal})", "name one that its CA signed with --cert and --key");
            }
        }

        // The handler sends nothing of a request on a connection that never came about.
        if (exception.Status.DebugException?.Message.Contains("HTTP/2 connection could not be established", StringComparison.Ordinal) == true)
        {
            return Ended(endpoint);
        }

        for (Exception? inner = exception.Status.DebugException; inner is not null; inner = inner.InnerException)
        {
            switch (inner)
            {
                case AuthenticationException when inner.Message.Contains("frame", StringComparison.Ordinal):
                    return new CommandException(ExitCode.Unreachable, $"{endpoint} does not speak TLS", "write http:// before it, and leave --cacert, --cert and --key out");
                case AuthenticationException when inner.Message.Contains("not good for the host", StringComparison.Ordinal):
                    return new CommandException(ExitCode.Unreachable, $"{endpoint}: {inner.Message}", "name the member by a host that its certificate holds; for a try: --insecure-skip-tls-verify");
                case AuthenticationException:
                    return new CommandException(
                        ExitCode.Unreachable, $"{endpoint}: {inner.Message}", "name the CA that signed it with --cacert FILE; for a try: --insecure-skip-tls-verify");
                case HttpRequestException { HttpRequestError: HttpRequestError.SecureConnectionError } when inner.InnerException is IOException broken:
                    return new CommandException(ExitCode.Unreachable, $"{endpoint} ended the TLS handshake: {broken.Message}", "its log says why");
                case HttpRequestException { StatusCode: null, HttpRequestError: HttpRequestError.Unknown or HttpRequestError.ResponseEnded or HttpRequestError.HttpProtocolError or HttpRequestError.InvalidResponse } when !write:
                    return Ended(endpoint);
            }
        }

        return null;
    }

    private static CommandException Ended(string endpoint) => new(
        ExitCode.Unreachable, $"{endpoint} ended the connection before it answered",
        "if it speaks TLS, write https:// before it; if it asks for a certificate, name one that its CA signed with --cert and --key");
}
