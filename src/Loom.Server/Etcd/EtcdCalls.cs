using Grpc.Core;
using Grpc.Core.Interceptors;
using Loom.Server.Etcd.Translation;
using Loom.Store;

namespace Loom.Server.Etcd;

/// <summary>
/// What every call has in common, as in etcd's own interceptor: one that asks for a leader is refused where none is known, and what the store refuses leaves in etcd's
/// words (<see cref="CallError"/>). No service does either by itself, so none can forget it.
/// </summary>
internal sealed class EtcdCalls(HeaderSource headers) : Interceptor
{
    public override async Task<TResponse> UnaryServerHandler<TRequest, TResponse>(TRequest request, ServerCallContext context, UnaryServerMethod<TRequest, TResponse> continuation)
    {
        headers.RequireLeaderIfAsked(context);
        try
        {
            return await continuation(request, context).ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            throw CallError.From(context.Method, exception);
        }
    }

    public override Task ServerStreamingServerHandler<TRequest, TResponse>(
        TRequest request, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, ServerStreamingServerMethod<TRequest, TResponse> continuation) =>
        StreamAsync(context, () => continuation(request, responseStream, context));

    public override Task DuplexStreamingServerHandler<TRequest, TResponse>(
        IAsyncStreamReader<TRequest> requestStream, IServerStreamWriter<TResponse> responseStream, ServerCallContext context, DuplexStreamingServerMethod<TRequest, TResponse> continuation) =>
        StreamAsync(context, () => continuation(requestStream, responseStream, context));

    private async Task StreamAsync(ServerCallContext context, Func<Task> stream)
    {
        headers.RequireLeaderIfAsked(context);
        try
        {
            await stream().ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            throw CallError.From(context.Method, exception);
        }
    }
}
