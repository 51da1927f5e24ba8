using Loom.Server.Health;
using Loom.Store;

namespace Loom.Server.Metrics;

/// <summary>/metrics: etcd's names, <c>loom_*</c> and the process, in Prometheus' text. One scrape at a time; others wait for it.</summary>
internal sealed class NodeMetrics : IAsyncDisposable
{
    private static readonly TimeSpan SampleInterval = TimeSpan.FromSeconds(1);

    private readonly MeterReadings readings;
    private readonly EtcdMetrics etcd;
    private readonly CallMetrics calls;
    private readonly Lock gate = new();
    private readonly CancellationTokenSource closing = new();
    private readonly Task sampling;

    public NodeMetrics(ILoomStore store, string member, CallMetrics calls)
    {
        this.calls = calls;
        readings = new MeterReadings(member);
        etcd = new EtcdMetrics(store, readings);
        sampling = SampleAsync(closing.Token);
    }

    public void Map(IEndpointRouteBuilder routes) => HealthEndpoints.Map(routes, "/metrics", context => HealthEndpoints.WriteAsync(context, 200, PrometheusText.ContentType, Text()));

    public string Text()
    {
        var text = new PrometheusText();
        lock (gate)
        {
            var own = new PrometheusText();
            readings.Write(own);
            etcd.Write(text);
            calls.Write(text);
            ProcessMetrics.Write(text);
            return text.ToString() + own;
        }
    }

    public async ValueTask DisposeAsync()
    {
        await closing.CancelAsync().ConfigureAwait(false);
        await sampling.ConfigureAwait(false);
        readings.Dispose();
        closing.Dispose();
    }

    private async Task SampleAsync(CancellationToken stop)
    {
        using var timer = new PeriodicTimer(SampleInterval);
        try
        {
            while (await timer.WaitForNextTickAsync(stop).ConfigureAwait(false))
            {
                etcd.SampleRoundTrips();
            }
        }
        catch (OperationCanceledException)
        {
            // The node closes.
        }
    }
}
