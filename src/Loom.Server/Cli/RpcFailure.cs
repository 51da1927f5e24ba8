using System.Net.Sockets;
using Grpc.Core;
using Loom.Server.Etcd.Translation;

namespace Loom.Server.Cli;

/// <summary>
/// Turns a failed call into an exit code and a sentence. The one thing it must never get wrong: a write whose outcome is not known is reported as unknown.
/// </summary>
internal static class RpcFailure
{
    /// <summary>Nothing was sent: the next endpoint may be tried, a write too. Only errors that a connection gives while it is made count.</summary>
    public static bool NeverConnected(RpcException exception)
    {
        for (Exception? inner = exception.Status.DebugException; inner is not null; inner = inner.InnerException)
        {
            bool connecting = inner switch
            {
                HttpRequestException http => http.HttpRequestError is HttpRequestError.ConnectionError or HttpRequestError.NameResolutionError,
                SocketException socket => socket.SocketErrorCode is SocketError.ConnectionRefused or SocketError.HostNotFound or SocketError.TryAgain or SocketError.NoData
                    or SocketError.HostUnreachable or SocketError.NetworkUnreachable,

                // The connect time-out of SocketsHttpHandler has no code of its own.
                TimeoutException timeout => timeout.Message.Contains("ConnectTimeout", StringComparison.Ordinal),
                _ => false,
            };
            if (connecting)
            {
                return true;
            }
        }

        return false;
    }

    public static CommandException Translate(RpcException exception, bool write, string endpoint)
    {
        string? code = exception.Trailers.GetValue(EtcdError.CodeTrailer);
        string? outcome = exception.Trailers.GetValue(EtcdError.OutcomeTrailer);
        string text = exception.Status.Detail.Length > 0 ? exception.Status.Detail : WithoutDetail(exception.StatusCode, endpoint);
        bool own = false;
        if (exception.Trailers.GetValueBytes(EtcdError.MessageTrailer) is { } bytes)
        {
            // The store's message holds the outcome and the fix already.
            text = System.Text.Encoding.UTF8.GetString(bytes);
            own = true;
        }

        if (TlsFailure.Translate(exception, write, endpoint) is { } refused)
        {
            return refused;
        }

        if (NeverConnected(exception))
        {
            return new CommandException(
                ExitCode.Unreachable, $"{endpoint} cannot be reached", "start a node with: loom serve, or name another with --endpoints host:port (or LOOM_ENDPOINTS)");
        }

        if (write && (outcome == "unknown" || (outcome is null && IsAmbiguous(exception))))
        {
            string unknown = Outcome(WithoutCode(text, code), "unknown: it may have been applied, or may still be");
            return new CommandException(ExitCode.OutcomeUnknown, unknown, own ? null : "read the key back before you write again", code ?? "LOOM1009");
        }

        string? fix = code is null || own ? null : ErrorCatalogue.Find(code)?.Fix;
        int exit = code switch
        {
            "LOOM1007" => ExitCode.NoQuorum,
            "LOOM1009" or "LOOM1017" when !write => ExitCode.NoQuorum,
            "LOOM1003" or "LOOM1014" => ExitCode.NotFound,
            _ => FromStatus(exception.StatusCode, write),
        };
        text = WithoutCode(text, code);
        return new CommandException(exit, write && outcome == "not-applied" ? Outcome(text, "not applied") : text, fix, code);
    }

    /// <summary>What this side of the connection ended by itself comes without words.</summary>
    private static string WithoutDetail(StatusCode status, string endpoint) => status switch
    {
        StatusCode.DeadlineExceeded => $"{endpoint} gave no answer in time (--timeout)",
        StatusCode.Cancelled => $"the call to {endpoint} was cancelled",
        _ => $"{endpoint} answered {status}",
    };

    private static string WithoutCode(string text, string? code) =>
        code is not null && text.StartsWith(code, StringComparison.Ordinal) ? text[code.Length..].TrimStart(':', ' ') : text;

    private static int FromStatus(StatusCode status, bool write) => status switch
    {
        StatusCode.NotFound => ExitCode.NotFound,
        StatusCode.Unavailable or StatusCode.DeadlineExceeded when !write => ExitCode.NoQuorum,
        _ => ExitCode.Failure,
    };

    /// <summary>Without our trailers (an etcd, or a connection that broke) only these codes say that nothing happened.</summary>
    private static bool IsAmbiguous(RpcException exception) => exception.StatusCode is not (
        StatusCode.InvalidArgument or StatusCode.OutOfRange or StatusCode.NotFound or StatusCode.FailedPrecondition or StatusCode.ResourceExhausted
        or StatusCode.PermissionDenied or StatusCode.Unauthenticated or StatusCode.Unimplemented) && exception.Status.Detail != EtcdError.NoLeader;

    /// <summary>The store's own messages may say the outcome already.</summary>
    private static string Outcome(string text, string outcome) => text.Contains("Outcome of this write", StringComparison.Ordinal)
        ? text
        : $"{text.TrimEnd('.')}. Outcome of this write: {outcome}.";
}
