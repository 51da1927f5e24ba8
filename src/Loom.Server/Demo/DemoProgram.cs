using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Spectre.Console;

namespace Loom.Server.Demo;

/// <summary><c>loom demo</c>: chooses the view, runs the timeline, prints the verdict, and cleans up however it ends.</summary>
internal static class DemoProgram
{
    private const int Interrupted = 130;

    /// <summary>Exit code: 0 only if the audit passed.</summary>
    public static async Task<int> RunAsync(DemoOptions options)
    {
        using CancellationTokenSource stop = new();
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => Stop(context, stop));
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, context => Stop(context, stop));
        using PosixSignalRegistration hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => Stop(context, stop));
        TextWriter narration = options.Json ? Console.Error : Console.Out;
        try
        {
            await using DemoCluster cluster = DemoCluster.Create(options);
            bool live = !options.Json && !Console.IsOutputRedirected && !Console.IsInputRedirected;
            DemoResult result = live ? await RunLiveAsync(options, cluster, stop.Token) : await new DemoRun(options, cluster, new PlainView(narration)).RunAsync(stop.Token);
            Print(options, result, narration);
            if (options.Keep)
            {
                await KeepAsync(cluster, narration, stop.Token);
            }

            return result.Audit.Passed && result.Acknowledged > 0 ? 0 : 1;
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            narration.WriteLine("interrupted: processes and files are removed; nothing was audited");
            return Interrupted;
        }
        catch (DemoException problem)
        {
            Console.Error.WriteLine("error: " + problem.Message);
            return 1;
        }
    }

    private static void Stop(PosixSignalContext context, CancellationTokenSource stop)
    {
        context.Cancel = true; // The process ends by returning from Main, after the clean-up.
        stop.Cancel();
    }

    private static async Task<DemoResult> RunLiveAsync(DemoOptions options, DemoCluster cluster, CancellationToken token)
    {
        DemoResult? result = null;
        await AnsiConsole.Live(new Markup("starting six nodes…")).AutoClear(false).StartAsync(async context =>
        {
            DemoRun run = new(options, cluster, new LiveView(context));
            Task<DemoResult> running = run.RunAsync(token);
            while (!running.IsCompleted)
            {
                while (Console.KeyAvailable)
                {
                    run.Press(Console.ReadKey(intercept: true).KeyChar);
                }

                await Task.WhenAny(running, Task.Delay(50, CancellationToken.None));
            }

            result = await running;
        });
        return result!;
    }

    private static void Print(DemoOptions options, DemoResult result, TextWriter narration)
    {
        AuditResult audit = result.Audit;
        narration.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"audit {(audit.Passed ? "passed" : "FAILED")}: {result.Acknowledged} acknowledged, {audit.Lost} lost, longest pause {result.LongestPauseMilliseconds:0} ms, {result.Unknown} with unknown outcome, {result.LocalReads} local reads; {(audit.ReplicasEqual ? $"all six replicas equal at revision {audit.Revision} (hash {audit.Hash:x8})" : "replicas DIFFER")}"));
        if (options.Json)
        {
            Console.Out.WriteLine(JsonSerializer.Serialize(new
            {
                acknowledged = result.Acknowledged,
                lost = audit.Lost,
                longest_pause_ms = Math.Round(result.LongestPauseMilliseconds),
                replicas_equal = audit.ReplicasEqual,
                unknown = result.Unknown,
                local_reads = result.LocalReads,
                killed_datacenter = result.Killed,
                revision = audit.Revision,
                hash = audit.Hash,
                audit_passed = audit.Passed,
                findings = audit.Findings,
            }));
        }
    }

    private static async Task KeepAsync(DemoCluster cluster, TextWriter narration, CancellationToken token)
    {
        string endpoints = string.Join(',', cluster.Nodes.Select(n => n.Endpoint));
        narration.WriteLine("the cluster goes on; Ctrl-C ends it. Endpoints:");
        foreach (DemoNode node in cluster.Nodes)
        {
            narration.WriteLine($"  {node.Name,-7} {node.Datacenter,-6} {(node.IsStandby ? "standby" : "voter"),-8} {node.Endpoint}");
        }

        string first = cluster.Nodes[0].Endpoint;
        narration.WriteLine($"""
            try:
              loom status --endpoints {endpoints}
              loom put greeting hello --endpoints {first}
              loom get greeting --endpoints {cluster.Nodes[^1].Endpoint}
              etcdctl --endpoints {endpoints} endpoint status -w table
              etcdctl --endpoints {first} get clusters/ --prefix --keys-only --limit 5
            """);
        await Task.Delay(Timeout.Infinite, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }
}
