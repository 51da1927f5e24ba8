using System.Net;
using Loom.Server.Configuration;

namespace Loom.Server.Hosting;

/// <summary>
/// What etcd does before every request that is not gRPC's: pages of other origins may call (<c>--cors</c>, all by default), and on cleartext a host name that is not on the list is refused
/// (<c>--host-whitelist</c>, all by default), so that a page cannot reach the node by a name that its own server resolves to it.
/// </summary>
internal sealed class CrossOrigin(ServeSettings settings)
{
    private const string Any = "*";

    private readonly bool anyOrigin = settings.Cors.Contains(Any, StringComparer.Ordinal);
    private readonly bool anyHost = settings.HostWhitelist.Contains(Any, StringComparer.Ordinal);

    public Task RunAsync(HttpContext context, RequestDelegate next)
    {
        // Both: a page can name any content type, but no browser speaks HTTP/2 without TLS, where the list of host names holds.
        if (HttpProtocol.IsHttp2(context.Request.Protocol) && context.Request.ContentType?.StartsWith("application/grpc", StringComparison.Ordinal) == true)
        {
            return next(context);
        }

        HttpResponse response = context.Response;
        if (!anyHost && !context.Request.IsHttps && !settings.HostWhitelist.Contains(context.Request.Host.Host, StringComparer.OrdinalIgnoreCase))
        {
            response.StatusCode = (int)HttpStatusCode.MisdirectedRequest;
            return response.WriteAsync($"The host name '{context.Request.Host.Host}' is not on this node's list. Use TLS, or add the name to --host-whitelist.\n");
        }

        if (Allowed(context.Request.Headers.Origin.ToString()) is { } origin)
        {
            response.Headers.AccessControlAllowOrigin = origin;
            response.Headers.AccessControlAllowMethods = "POST, GET, OPTIONS, PUT, DELETE";
            response.Headers.AccessControlAllowHeaders = "accept, content-type, authorization";
        }

        return HttpMethods.IsOptions(context.Request.Method) ? Task.CompletedTask : next(context);
    }

    private string? Allowed(string origin) => anyOrigin ? Any : settings.Cors.Contains(origin, StringComparer.Ordinal) ? origin : null;
}
