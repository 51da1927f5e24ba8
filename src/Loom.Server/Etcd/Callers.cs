using Grpc.Core;
using Loom.Store;
using Microsoft.Extensions.Primitives;

namespace Loom.Server.Etcd;

/// <summary>
/// Who calls: the token in a call's metadata, under <c>token</c> as gRPC clients send it, or else under <c>authorization</c> as HTTP clients do (a leading "Bearer " is not part of it). Every service serves
/// its call through the view of the store that this gives; the store itself would have every right.
/// </summary>
internal sealed class Callers(ILoomStore store)
{
    private const string Scheme = "Bearer ";

    private readonly ILoomStore anonymous = store.As(LoomIdentity.Anonymous);

    public ILoomStore For(ServerCallContext context) => For(context.GetHttpContext());

    public ILoomStore For(HttpContext context) => TokenOf(context.Request.Headers) is { } token ? store.As(LoomIdentity.OfToken(token)) : anonymous;

    /// <summary>For what any user may see and the store does not judge.</summary>
    /// <exception cref="LoomException">Nobody knows who calls.</exception>
    public async ValueTask<ILoomStore> RequireUserAsync(ServerCallContext context)
    {
        ILoomStore caller = For(context);
        await caller.Auth.RequireUserAsync(CancellationToken.None).ConfigureAwait(false);
        return caller;
    }

    /// <summary>For what only root may do and the store does not judge before something else is answered.</summary>
    /// <exception cref="LoomException">It is somebody else who calls.</exception>
    public async ValueTask<ILoomStore> RequireRootAsync(ServerCallContext context)
    {
        ILoomStore caller = For(context);
        await caller.Auth.RequireRootAsync(CancellationToken.None).ConfigureAwait(false);
        return caller;
    }

    /// <summary>Null: there is none. An empty one is one, and a wrong one.</summary>
    internal static string? TokenOf(IHeaderDictionary headers)
    {
        if (!headers.TryGetValue("token", out StringValues found) && !headers.TryGetValue("authorization", out found))
        {
            return null;
        }

        string token = found.Count == 0 ? "" : found[0] ?? "";
        return token.StartsWith(Scheme, StringComparison.Ordinal) ? token[Scheme.Length..] : token;
    }
}
