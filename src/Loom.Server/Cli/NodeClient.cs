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
    private readonly Login? login;
    private readonly TimeSpan timeout;
    private readonly CancellationToken cancellationToken;

    public NodeClient(IReadOnlyList<string> endpoints, ClientTls tls, Login? login, TimeSpan timeout, CancellationToken cancellationToken)
    {
        Tls = tls;
        this.login = login;
        this.timeout = timeout;
        this.cancellationToken = cancellationToken;
        foreach (string endpoint in endpoints)
        {
            channels.Add((endpoint, Open(endpoint, tls)));
        }
    }

    public ClientTls Tls { get; }

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
            if (!Uri.TryCreate(Address(part, ClientTls.Default), UriKind.Absolute, out Uri? uri) || uri.Scheme is not ("http" or "https") || uri.AbsolutePath != "/")
            {
                throw new CommandException(ExitCode.Usage, $"'{part}' is not an endpoint", "write host:port, http://host:port or https://host:port");
            }
        }

        return parts;
    }

    /// <summary>The invoker with the token of the calls so far, for a member that is asked by itself.</summary>
    public CallInvoker Sign(CallInvoker invoker) => login?.Sign(invoker) ?? invoker;

    public Task<T> ReadAsync<T>(Func<CallInvoker, CallOptions, AsyncUnaryCall<T>> call) => CallAsync(call, write: false);

    public Task<T> WriteAsync<T>(Func<CallInvoker, CallOptions, AsyncUnaryCall<T>> call) => CallAsync(call, write: true);

    public Task<RangeResponse> RangeAsync(RangeRequest request) => ReadAsync((invoker, options) => new KV.KVClient(invoker).RangeAsync(request, options));

    /// <summary>Begins a stream, on the endpoint that answered the last call where there was one. The time-out is for each message (<see cref="NextAsync"/>): how long the whole takes is nobody's mistake.</summary>
    public async Task<AsyncServerStreamingCall<T>> StreamAsync<T>(Func<CallInvoker, CallOptions, AsyncServerStreamingCall<T>> call)
    {
        CommandException? unreachable = null;
        foreach ((string endpoint, GrpcChannel channel) in channels.Where(c => Answered is null || c.Endpoint == Answered))
        {
            AsyncServerStreamingCall<T>? begun = null;
            try
            {
                begun = call(await InvokerAsync(channel, endpoint).ConfigureAwait(false), new CallOptions(cancellationToken: cancellationToken));
                _ = await begun.ResponseHeadersAsync.WaitAsync(timeout, cancellationToken).ConfigureAwait(false);
                Answered = endpoint;
                return begun;
            }
            catch (Exception exception) when (exception is RpcException or TimeoutException or CommandException)
            {
                begun?.Dispose();
                CommandException translated = exception as CommandException ?? Translate(exception, endpoint);
                if (translated.ExitCode != ExitCode.Unreachable)
                {
                    throw translated;
                }

                unreachable ??= translated;
            }
        }

        throw unreachable!;
    }

    /// <summary>The next message of a stream; null: its end.</summary>
    public async Task<T?> NextAsync<T>(AsyncServerStreamingCall<T> stream)
        where T : class
    {
        try
        {
            return await stream.ResponseStream.MoveNext(cancellationToken).WaitAsync(timeout, cancellationToken).ConfigureAwait(false) ? stream.ResponseStream.Current : null;
        }
        catch (Exception exception) when (exception is RpcException or TimeoutException)
        {
            throw Translate(exception, Answered!);
        }
    }

    public void Dispose()
    {
        foreach ((_, GrpcChannel channel) in channels)
        {
            channel.Dispose();
        }
    }

    public static GrpcChannel Open(string endpoint, ClientTls tls)
    {
        var address = new Uri(Address(endpoint, tls));
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            MaxReceiveMessageSize = MaxMessageBytes,
            MaxSendMessageSize = null,

            // Without this a client on a machine with a proxy configured would send its database traffic there.
            HttpHandler = new SocketsHttpHandler
            {
                UseProxy = false, ConnectTimeout = TimeSpan.FromSeconds(2), EnableMultipleHttp2Connections = true, SslOptions = tls.Options(address.Host.Trim('[', ']')),
            },
            DisposeHttpClient = true,
        });
    }

    private CommandException Translate(Exception exception, string endpoint)
    {
        if (cancellationToken.IsCancellationRequested)
        {
            throw new OperationCanceledException("interrupted", exception, cancellationToken);
        }

        return exception is RpcException fault
            ? RpcFailure.Translate(fault, write: false, endpoint)
            : new CommandException(ExitCode.NoQuorum, $"{endpoint} sent nothing for {timeout.TotalSeconds} s", "give it more time with --timeout, or ask another member with --endpoints", "LOOM1009");
    }

    private bool IsSecure(string endpoint) => Address(endpoint, Tls).StartsWith("https:", StringComparison.OrdinalIgnoreCase);

    private static string Address(string endpoint, ClientTls tls) =>
        endpoint.Contains("://", StringComparison.Ordinal) ? endpoint : (tls.IsAsked ? "https://" : "http://") + endpoint;

    private async Task<T> CallAsync<T>(Func<CallInvoker, CallOptions, AsyncUnaryCall<T>> call, bool write)
    {
        CommandException? unreachable = null;
        foreach ((string endpoint, GrpcChannel channel) in channels)
        {
            try
            {
                if (write && IsSecure(endpoint))
                {
                    await KnockAsync(channel, endpoint).ConfigureAwait(false);
                }

                CallInvoker invoker = await InvokerAsync(channel, endpoint).ConfigureAwait(false);
                T response = await call(invoker, new CallOptions(deadline: DateTime.UtcNow + timeout, cancellationToken: cancellationToken)).ConfigureAwait(false);
                Answered = endpoint;
                return response;
            }
            catch (RpcException exception) when (cancellationToken.IsCancellationRequested)
            {
                throw new OperationCanceledException("interrupted", exception, cancellationToken);
            }
            catch (Exception exception) when (exception is RpcException or CommandException)
            {
                CommandException translated = exception as CommandException ?? RpcFailure.Translate((RpcException)exception, write, endpoint);
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

    private async ValueTask<CallInvoker> InvokerAsync(GrpcChannel channel, string endpoint)
    {
        CallInvoker invoker = channel.CreateCallInvoker();
        if (login is not null)
        {
            await login.EnterAsync(invoker, new CallOptions(deadline: DateTime.UtcNow + timeout, cancellationToken: cancellationToken), endpoint).ConfigureAwait(false);
        }

        return Sign(invoker);
    }

    /// <summary>
    /// With TLS 1.3 a server refuses a client's certificate when the client has sent its first request already, which a write would have to report as unknown. A call before it that changes nothing
    /// shows whether it is let in.
    /// </summary>
    /// <exception cref="CommandException">It is not.</exception>
    private async Task KnockAsync(GrpcChannel channel, string endpoint)
    {
        if (Answered == endpoint)
        {
            return;
        }

        try
        {
            var options = new CallOptions(deadline: DateTime.UtcNow + timeout, cancellationToken: cancellationToken);
            await new Maintenance.MaintenanceClient(channel).StatusAsync(new StatusRequest(), options).ConfigureAwait(false);
        }
        catch (RpcException exception) when (RpcFailure.Translate(exception, write: false, endpoint) is { ExitCode: ExitCode.Unreachable } refused)
        {
            throw refused;
        }
        catch (RpcException)
        {
            // Whatever it says to this call, it has let us in.
        }
    }
}
