using Loom.Server.Configuration;

namespace Loom.Server.Health;

/// <summary>/lb/read, /lb/write, /lb/leader: 200 or 503, with one line of reason. For HAProxy's httpchk and its like; GET and HEAD.</summary>
internal static class BalancerEndpoints
{
    private static readonly TimeSpan DefaultAge = TimeSpan.FromSeconds(10);

    public static void MapBalancer(this IEndpointRouteBuilder routes, BalancerProbe probe)
    {
        HealthEndpoints.Map(routes, "/lb/read", context => ReadAsync(context, probe));
        HealthEndpoints.Map(routes, "/lb/write", async context => await AnswerAsync(context, await probe.WritesAsync(context.RequestAborted).ConfigureAwait(false)).ConfigureAwait(false));
        HealthEndpoints.Map(routes, "/lb/leader", async context => await AnswerAsync(context, await probe.LeadsAsync(context.RequestAborted).ConfigureAwait(false)).ConfigureAwait(false));
    }

    private static async Task ReadAsync(HttpContext context, BalancerProbe probe)
    {
        string text = context.Request.Query["age"].ToString();
        TimeSpan? age = text.Length == 0 ? DefaultAge : GoDuration.Parse(text, plainIsMilliseconds: false);
        if (age is null || age < TimeSpan.Zero)
        {
            await HealthEndpoints.WriteAsync(context, 400, "text/plain; charset=utf-8", "age is not a duration such as 500ms or 10s\n").ConfigureAwait(false);
            return;
        }

        await AnswerAsync(context, await probe.ReadsAsync(age.Value, context.RequestAborted).ConfigureAwait(false)).ConfigureAwait(false);
    }

    private static Task AnswerAsync(HttpContext context, BalancerAnswer answer) =>
        HealthEndpoints.WriteAsync(context, answer.IsWell ? 200 : 503, "text/plain; charset=utf-8", $"{(answer.IsWell ? "ok" : "no")}: {answer.Reason.ReplaceLineEndings(" ")}\n");
}
