using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Cli;

/// <summary>
/// Calls of the command line: each goes to the first endpoint that can be connected to. An endpoint that took the request is never left for another one,
/// because a write might then happen twice.
/// </summary>
internal sealed class NodeClient : IDisposable
{
    public const string DefaultEndpoint = "127.0.0.1:2379";
    private const int MaxMessageBytes = 256 * 1024 * 1024;

    private readonly List<(string Endpoint, GrpcChannel Channel)> channels = [];
    private readonly TimeSpan timeout;
    private readonly CancellationToken cancellationToken;

    public NodeClient(IReadOnlyList<string> endpoints, TimeSpan timeout, CancellationToken cancellationToken)
    {
        this.timeout = timeout;
        this.cancellationToken = cancellationToken;
        foreach (string endpoint in endpoints)
        {
            channels.Add((endpoint, Open(endpoint)));
        }
    }

    public IReadOnlyList<string> Endpoints => [.. channels.Select(c => c.Endpoint)];

    /// <summary>The endpoint that answered last.</summary>
    public string? Answered { get; private set; }

    /// <summary>"host:port", or a URL; several with commas.</summary>
    public static IReadOnlyList<string> ParseEndpoints(string text)
    {
        string[] parts = text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
        if (parts.Length == 0)
        {
            throw new CommandException(ExitCode.Usage, "no endpoint is given", "write --endpoints host:port,host:port");
        }

        foreach (string part in parts)
        {
            if (part.StartsWith("https://", StringComparison.OrdinalIgnoreCase))
            {
                throw new CommandException(ExitCode.Usage, $"the endpoint {part} is https, and this version speaks cleartext only", "write http://host:port");
            }

            if (!Uri.TryCreate(Address(part), UriKind.Absolute, out Uri? uri) || uri.Scheme != "http" || uri.AbsolutePath != "/")
            {
                throw new CommandException(ExitCode.Usage, $"'{part}' is not an endpoint", "write host:port or http://host:port");
            }
        }

        return parts;
    }

    public Task<T> ReadAsync<T>(Func<CallInvoker, CallOptions, AsyncUnaryCall<T>> call) => CallAsync(call, write: false);

    public Task<T> WriteAsync<T>(Func<CallInvoker, CallOptions, AsyncUnaryCall<T>> call) => CallAsync(call, write: true);

    public Task<RangeResponse> RangeAsync(RangeRequest request) => ReadAsync((invoker, options) => new KV.KVClient(invoker).RangeAsync(request, options));

    public void Dispose()
    {
        foreach ((_, GrpcChannel channel) in channels)
        {
            channel.Dispose();
        }
    }

    public static GrpcChannel Open(string endpoint) => GrpcChannel.ForAddress(Address(endpoint), new GrpcChannelOptions
    {
        MaxReceiveMessageSize = MaxMessageBytes,
        MaxSendMessageSize = null,

        // Without this a client on a machine with a proxy configured would send its database traffic there.
        HttpHandler = new SocketsHttpHandler { UseProxy = false, ConnectTimeout = TimeSpan.FromSeconds(2), EnableMultipleHttp2Connections = true },
        DisposeHttpClient = true,
    });

    private static string Address(string endpoint) => endpoint.Contains("://", StringComparison.Ordinal) ? endpoint : "http://" + endpoint;

    private async Task<T> CallAsync<T>(Func<CallInvoker, CallOptions, AsyncUnaryCall<T>> call, bool write)
    {
        CommandException? unreachable = null;
        foreach ((string endpoint, GrpcChannel channel) in channels)
        {
            try
            {
                T response = await call(channel.CreateCallInvoker(), new CallOptions(deadline: DateTime.UtcNow + timeout, cancellationToken: cancellationToken)).ConfigureAwait(false);
                Answered = endpoint;
                return response;
            }
            catch (RpcException exception) when (cancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException("interrupted", exception, cancellationToken);
            }
            catch (RpcException exception)
            {
                CommandException translated = RpcFailure.Translate(exception, write, endpoint);
                if (translated.ExitCode != ExitCode.Unreachable)
                {
                    throw translated;
                }

                unreachable ??= translated;
            }
        }

        throw channels.Count == 1
            ? unreachable!
            : new CommandException(ExitCode.Unreachable, $"none of {string.Join(", ", Endpoints)} can be reached", unreachable!.Fix);
    }
}
