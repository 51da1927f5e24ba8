using System.Text;
using System.Text.Json;
using Loom.Server.Etcd;
using Loom.Server.Hosting;

namespace Loom.Server.Health;

/// <summary>etcd's plain HTTP endpoints: /health, /livez, /readyz (and each check under them), /version.</summary>
internal static class HealthEndpoints
{
    private static readonly string[] LiveChecks = ["serializable_read"];
    private static readonly string[] ReadyChecks = ["data_corruption", "serializable_read", "linearizable_read", "non_learner"];

    public static void MapHealth(this IEndpointRouteBuilder routes, HealthProbe probe)
    {
        Map(routes, "/version", context => WriteAsync(
            context, 200, "application/json", $$"""{"etcdserver":"{{EtcdVersion.Server}}","etcdcluster":"{{EtcdVersion.Cluster}}","loom":"{{NodeVersion.Text}}"}"""));
        Map(routes, "/health", context => HealthAsync(context, probe));
        MapChecks(routes, "/livez", LiveChecks, probe);
        MapChecks(routes, "/readyz", ReadyChecks, probe);
    }

    private static void MapChecks(IEndpointRouteBuilder routes, string path, string[] checks, HealthProbe probe)
    {
        Map(routes, path, context => ChecksAsync(context, path[1..], checks, probe));
        foreach (string check in checks)
        {
            Map(routes, $"{path}/{check}", context => ChecksAsync(context, check, [check], probe));
        }
    }

    internal static void Map(IEndpointRouteBuilder routes, string path, RequestDelegate handle) => routes.Map(path, context =>
    {
        if (HttpMethods.IsGet(context.Request.Method) || HttpMethods.IsHead(context.Request.Method))
        {
            return handle(context);
        }

        context.Response.Headers.Allow = "GET";
        return WriteAsync(context, 405, "text/plain; charset=utf-8", "Method Not Allowed\n");
    });

    private static async Task HealthAsync(HttpContext context, HealthProbe probe)
    {
        string reason = "";
        if (!IsExcluded(context, "CORRUPT") && probe.Failure is not null)
        {
            reason = "ALARM CORRUPT";
        }
        else if (probe.Alarm(name => IsExcluded(context, name)) is { } alarm)
        {
            reason = "ALARM " + alarm;
        }
        else if (context.Request.Query["serializable"] == "true")
        {
            reason = probe.LocalRead() is { } unwell ? "RANGE ERROR:" + unwell : "";
        }
        else if (!probe.HasLeader)
        {
            reason = "RAFT NO LEADER";
        }
        else if (await probe.LinearizableReadAsync(context.RequestAborted).ConfigureAwait(false) is { } unwell)
        {
            reason = "RANGE ERROR:" + unwell;
        }

        string health = reason.Length == 0 ? "true" : "false";
        string body = $$"""{"health":"{{health}}","reason":"{{JsonEncodedText.Encode(reason)}}"}""";
        await WriteAsync(context, reason.Length == 0 ? 200 : 503, reason.Length == 0 ? "application/json" : "text/plain; charset=utf-8", body).ConfigureAwait(false);
    }

    private static async Task ChecksAsync(HttpContext context, string name, string[] checks, HealthProbe probe)
    {
        var lines = new StringBuilder();
        bool well = true;
        foreach (string check in checks)
        {
            if (IsExcluded(context, check))
            {
                lines.Append("[+]").Append(check).Append(" excluded: ok\n");
                continue;
            }

            string? reason = await RunAsync(check, probe, context.RequestAborted).ConfigureAwait(false);
            well &= reason is null;
            lines.Append(reason is null ? $"[+]{check} ok\n" : $"[-]{check} failed: {reason}\n");
        }

        if (!well)
        {
            await WriteAsync(context, 503, "text/plain; charset=utf-8", lines.Append(name).Append(" check failed\n").ToString()).ConfigureAwait(false);
            return;
        }

        bool verbose = context.Request.Query.ContainsKey("verbose");
        await WriteAsync(context, 200, "text/plain; charset=utf-8", verbose ? lines.Append("ok\n").ToString() : "ok\n").ConfigureAwait(false);
    }

    private static async ValueTask<string?> RunAsync(string check, HealthProbe probe, CancellationToken cancellationToken) => check switch
    {
        "serializable_read" => probe.SerializableRead(),
        "linearizable_read" => await probe.LinearizableReadAsync(cancellationToken).ConfigureAwait(false),
        "data_corruption" => probe.DataCorruption(),
        _ => probe.IsLearner ? "member is a learner" : null,
    };

    private static bool IsExcluded(HttpContext context, string name) => context.Request.Query["exclude"].Contains(name);

    internal static Task WriteAsync(HttpContext context, int status, string contentType, string body)
    {
        context.Response.StatusCode = status;
        context.Response.ContentType = contentType;
        context.Response.ContentLength = Encoding.UTF8.GetByteCount(body);
        return HttpMethods.IsHead(context.Request.Method) ? Task.CompletedTask : context.Response.WriteAsync(body, context.RequestAborted);
    }
}
