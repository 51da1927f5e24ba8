using System.Collections.Frozen;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Google.Protobuf.Reflection;
using Grpc.AspNetCore.Server;
using Grpc.Core;
using Microsoft.AspNetCore.Http.Features;

namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// etcd's API as JSON over HTTP: a POST of a request gives its answer, or a stream of answers, one line each. The services are those of gRPC (<see cref="GatewayCall"/>); here is only what
/// happens between a body and a call.
/// </summary>
internal sealed partial class JsonGateway(EtcdLimits limits)
{
    private readonly JsonRoom room = JsonRoom.For(limits);
    private FrozenDictionary<string, Endpoint> endpoints = FrozenDictionary<string, Endpoint>.Empty;

    public void Map(IEndpointRouteBuilder routes)
    {
        // etcd rewrites the older name; /v3alpha is gone there too.
        routes.Map("/v3/{**path}", HandleAsync);
        routes.Map("/v3beta/{**path}", HandleAsync);
    }

    /// <summary>Looks up what is served. To be called when every service is mapped, before the first request.</summary>
    public void Bind(IEnumerable<Endpoint> served) => endpoints = served
        .Where(endpoint => endpoint.Metadata.GetMetadata<GrpcMethodMetadata>() is not null)
        .ToFrozenDictionary(endpoint => endpoint.Metadata.GetMetadata<GrpcMethodMetadata>()!.Method.FullName, StringComparer.Ordinal);

    private async Task HandleAsync(HttpContext context)
    {
        if (!GatewayRoutes.All.TryGetValue(context.Request.RouteValues["path"] as string ?? "", out MethodDescriptor? method))
        {
            await GatewayAnswer.WriteTextAsync(context.Response, StatusCodes.Status404NotFound).ConfigureAwait(false);
            return;
        }

        if (!HttpMethods.IsPost(context.Request.Method))
        {
            await GatewayAnswer.WriteTextAsync(context.Response, StatusCodes.Status405MethodNotAllowed).ConfigureAwait(false);
            return;
        }

        // The size of a value is bounded by JsonBody, and a body may hold many.
        if (context.Features.Get<IHttpMaxRequestBodySizeFeature>() is { IsReadOnly: false } size)
        {
            size.MaxRequestBodySize = null;
        }

        try
        {
            await CallAsync(context, method).ConfigureAwait(false);
        }
        catch (Exception exception) when (context.RequestAborted.IsCancellationRequested && exception is OperationCanceledException or IOException)
        {
            // The client has gone: nobody is there to be told.
        }
    }

    private async Task CallAsync(HttpContext context, MethodDescriptor method)
    {
        using var requests = new GatewayRequests(new JsonBody(context.Request.BodyReader, room, limits.BodyPatience), method);
        bool isAny;
        Endpoint? endpoint;
        try
        {
            RequireTimeout(context.Request);
            isAny = await requests.ReadAsync(context.RequestAborted).ConfigureAwait(false);
            RequireSize(requests.WaitingBytes);
            endpoint = endpoints.GetValueOrDefault(GatewayRoutes.GrpcPath(method)) ?? throw new JsonBodyException(StatusCode.Unimplemented, $"unknown service {method.Service.FullName}");
        }
        catch (JsonBodyException exception)
        {
            // grpc-gateway has no code for the first request of a stream of requests that cannot be read.
            StatusCode code = method.IsClientStreaming && exception.Code == StatusCode.InvalidArgument ? StatusCode.Unknown : exception.Code;
            await GatewayAnswer.WriteAsync(context.Response, new Status(code, exception.Message), context.RequestAborted).ConfigureAwait(false);
            return;
        }

        await using GatewayCall call = GatewayCall.Start(context, endpoint, method);
        if (method.IsClientStreaming)
        {
            await StreamBothWaysAsync(context, call, requests, isAny).ConfigureAwait(false);
            return;
        }

        await requests.SendAsync(call, context.RequestAborted).ConfigureAwait(false);
        await call.EndRequestsAsync().ConfigureAwait(false);
        Task answer = method.IsServerStreaming ? StreamAsync(context, call) : AnswerAsync(context, call);
        await answer.ConfigureAwait(false);
    }

    private static async Task AnswerAsync(HttpContext context, GatewayCall call)
    {
        IMessage? message = await call.ReadAsync(context.RequestAborted).ConfigureAwait(false);

        // A message without the status that follows it is none.
        IMessage? end = message is null ? null : await call.ReadAsync(context.RequestAborted).ConfigureAwait(false);
        Status status = call.Status;
        if (message is not null && end is null && status.StatusCode == StatusCode.OK)
        {
            await GatewayAnswer.WriteAsync(context.Response, message, context.RequestAborted).ConfigureAwait(false);
        }
        else
        {
            await GatewayAnswer.WriteAsync(context.Response, status, context.RequestAborted).ConfigureAwait(false);
        }

        // Now, not when the service has ended too: behind a deadline that passed it may still be at work.
        await context.Response.CompleteAsync().ConfigureAwait(false);
    }

    private static async Task StreamAsync(HttpContext context, GatewayCall call)
    {
        while (await call.ReadAsync(context.RequestAborted).ConfigureAwait(false) is { } message)
        {
            await GatewayAnswer.WritePieceAsync(context.Response, message, context.RequestAborted).ConfigureAwait(false);
        }

        if (call.Status.StatusCode != StatusCode.OK)
        {
            await GatewayAnswer.WritePieceAsync(context.Response, call.Status, context.RequestAborted).ConfigureAwait(false);
        }
        else if (!context.Response.HasStarted)
        {
            // A stream without messages is a stream all the same: chunked.
            GatewayAnswer.Begin(context.Response, StatusCode.OK);
            await context.Response.StartAsync(context.RequestAborted).ConfigureAwait(false);
        }

        await context.Response.CompleteAsync().ConfigureAwait(false);
    }

    private static async Task StreamBothWaysAsync(HttpContext context, GatewayCall call, GatewayRequests requests, bool isAny)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted);
        Task sending = SendAllAsync(call, requests, isAny, ending.Token);
        try
        {
            await StreamAsync(context, call).ConfigureAwait(false);
        }
        finally
        {
            await ending.CancelAsync().ConfigureAwait(false);
            await sending.ConfigureAwait(false);
        }
    }

    /// <summary>Requests, as the body brings them. The first that cannot be read ends them, as in etcd; the answers go on.</summary>
    private static async Task SendAllAsync(GatewayCall call, GatewayRequests requests, bool isAny, CancellationToken ending)
    {
        try
        {
            for (bool isNext = isAny; isNext; isNext = await requests.ReadAsync(ending).ConfigureAwait(false))
            {
                await requests.SendAsync(call, ending).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is JsonBodyException or OperationCanceledException or IOException)
        {
            // The stream's own end says the rest.
        }

        await call.EndRequestsAsync().ConfigureAwait(false);
    }

    /// <summary>gRPC's limit, in the words of etcd's.</summary>
    private void RequireSize(int bytes)
    {
        if (bytes > limits.MaxMessageBytes)
        {
            throw new JsonBodyException(StatusCode.ResourceExhausted, $"grpc: received message larger than max ({bytes} vs. {limits.MaxMessageBytes})");
        }
    }

    private static void RequireTimeout(HttpRequest request)
    {
        if (request.Headers.TryGetValue("Grpc-Timeout", out var timeout) && !Timeout().IsMatch(timeout.ToString()))
        {
            throw new JsonBodyException(StatusCode.InvalidArgument, $"invalid grpc-timeout: {timeout}");
        }
    }

    [GeneratedRegex("^[0-9]{1,8}[HMSmun]$")]
    private static partial Regex Timeout();
}
