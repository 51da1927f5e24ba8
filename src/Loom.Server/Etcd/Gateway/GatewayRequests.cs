using Google.Protobuf;
using Google.Protobuf.Reflection;

namespace Loom.Server.Etcd.Gateway;

/// <summary>
/// The requests of a body, one at a time. Who sends one keeps nothing of it: a stream may stay open for days after its first request, and what a request took of the <see cref="JsonRoom"/> is free
/// when the service has it.
/// </summary>
internal sealed class GatewayRequests(JsonBody body, MethodDescriptor method) : IDisposable
{
    private IMessage? waiting;

    /// <summary>Size of the request that waits, in protobuf's encoding; 0: none does.</summary>
    public int WaitingBytes => waiting?.CalculateSize() ?? 0;

    /// <summary>False: the body has ended.</summary>
    /// <exception cref="JsonBodyException">What comes is no such request.</exception>
    public async ValueTask<bool> ReadAsync(CancellationToken cancellationToken)
    {
        waiting = await body.ReadAsync(cancellationToken).ConfigureAwait(false) is { } json ? JsonRequest.Read(json, method.InputType) : null;
        return waiting is not null;
    }

    /// <summary>Sends what waits; an empty request where none does.</summary>
    public async ValueTask SendAsync(GatewayCall call, CancellationToken cancellationToken)
    {
        await call.SendAsync(Take(), cancellationToken).ConfigureAwait(false);
        body.Release();
    }

    public void Dispose() => body.Release();

    private IMessage Take()
    {
        IMessage taken = waiting ?? JsonRequest.Empty(method.InputType);
        waiting = null;
        return taken;
    }
}
