using System.Diagnostics;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Demo;

/// <summary>
/// The demo's timeline: all up, traffic in every datacenter; after a third of the time the leader's datacenter is killed; after two thirds it comes back; at the end traffic stops,
/// every datacenter is revived, and the audit holds the replicas to what was acknowledged.
/// </summary>
internal sealed class DemoRun(DemoOptions options, DemoCluster cluster, IDemoView view)
{
    private readonly DemoLedger ledger = new();
    private readonly List<DemoApplication> applications = [];
    private readonly List<DemoBalancer> balancers = [];
    private readonly Stopwatch clock = new();
    private string phase = "starting";
    private volatile bool paused;
    private volatile bool quit;

    /// <summary>Runs to the end, or until a quit key; cancellation abandons it without an audit.</summary>
    public async Task<DemoResult> RunAsync(CancellationToken token)
    {
        view.Event("starting six nodes: east, west and south, a voter and a hot standby in each");
        cluster.StartAll();
        await cluster.WaitUntilServingAsync(token);
        clock.Start();
        foreach (string datacenter in DemoCluster.Datacenters)
        {
            DemoBalancer balancer = new(cluster, datacenter);
            balancers.Add(balancer);
            applications.Add(new DemoApplication(balancer, ledger, seed: datacenter.Length * 1000 + applications.Count));
        }

        using CancellationTokenSource traffic = CancellationTokenSource.CreateLinkedTokenSource(token);
        using CancellationTokenSource picture = CancellationTokenSource.CreateLinkedTokenSource(token);
        Task showing = ShowAsync(picture.Token);
        Task working = Task.WhenAll(applications.Select(a => a.RunAsync(traffic.Token)));
        string? killed = await ScriptAsync(token);

        await StopTrafficAsync(traffic, working);
        AuditResult audit = await AuditAsync(token);
        await picture.CancelAsync();
        await showing;
        return new DemoResult(ledger.Acknowledged, ledger.Unknown, ledger.LocalReads, ledger.LongestPauseMilliseconds, killed, audit);
    }

    /// <summary>A key was pressed.</summary>
    public void Press(char key)
    {
        switch (key)
        {
            case '1' or '2' or '3':
                Toggle(DemoCluster.Datacenters[key - '1']);
                break;
            case 'p' or 'P':
                Pause(!paused);
                break;
            case 'q' or 'Q':
                quit = true;
                break;
        }
    }

    private async Task<string?> ScriptAsync(CancellationToken token)
    {
        TimeSpan total = TimeSpan.FromSeconds(options.Seconds);
        phase = "traffic in three datacenters";
        await UntilAsync(total * 0.33, token);
        string? killed = null;
        if (!quit)
        {
            killed = await cluster.LeaderDatacenterAsync(token);
            view.Event($"killing {killed}, which holds the leader: kill -9, both processes");
            phase = $"{killed} is dead";
            cluster.KillDatacenter(killed);
            Task<string> elected = cluster.LeaderDatacenterAsync(token);
            await UntilAsync(total * 0.66, token);
            view.Event($"{killed} comes back and catches up; {(elected.IsCompletedSuccessfully ? elected.Result : "nobody")} leads");
            phase = $"{killed} is back";
            cluster.StartDatacenter(killed);
        }

        await UntilAsync(total, token);
        return killed;
    }

    private async Task UntilAsync(TimeSpan moment, CancellationToken token)
    {
        while (clock.Elapsed < moment && !quit)
        {
            await Task.Delay(50, token);
        }
    }

    private async Task StopTrafficAsync(CancellationTokenSource traffic, Task working)
    {
        phase = "stopping traffic";
        Pause(false);
        foreach (string datacenter in DemoCluster.Datacenters)
        {
            cluster.StartDatacenter(datacenter); // Whatever a key killed must answer the audit too.
        }

        await traffic.CancelAsync();
        await working;
        ledger.CloseLastPause();
    }

    private async Task<AuditResult> AuditAsync(CancellationToken token)
    {
        phase = "audit";
        view.Event($"audit: reading {ledger.Acknowledged} acknowledged transactions back from every replica");
        AuditResult audit = await new DemoAudit(cluster, ledger).RunAsync(token);
        foreach (string finding in audit.Findings)
        {
            view.Event("  " + finding);
        }

        return audit;
    }

    private void Toggle(string datacenter)
    {
        bool up = cluster.IsUp(datacenter);
        view.Event(up ? $"killing {datacenter}: kill -9, both processes" : $"reviving {datacenter}");
        if (up)
        {
            cluster.KillDatacenter(datacenter);
        }
        else
        {
            cluster.StartDatacenter(datacenter);
        }
    }

    private void Pause(bool on)
    {
        paused = on;
        applications.ForEach(a => a.Paused = on);
        ledger.ForgetPause();
    }

    private async Task ShowAsync(CancellationToken token)
    {
        long writes = 0, reads = 0;
        TimeSpan last = clock.Elapsed;
        double writeRate = 0, readRate = 0;
        while (!token.IsCancellationRequested)
        {
            ClusterStatusResponse?[] all;
            try
            {
                all = await Task.WhenAll(cluster.Nodes.Select(n => cluster.StatusAsync(n, token)));
            }
            catch (OperationCanceledException)
            {
                return;
            }

            double seconds = (clock.Elapsed - last).TotalSeconds;
            if (seconds >= 0.5)
            {
                (writeRate, readRate) = ((ledger.Acknowledged - writes) / seconds, (ledger.LocalReads - reads) / seconds);
                (writes, reads, last) = (ledger.Acknowledged, ledger.LocalReads, clock.Elapsed);
            }

            view.Show(new DemoPicture
            {
                Elapsed = clock.Elapsed,
                Phase = phase,
                Nodes = [.. cluster.Nodes.Zip(all, (n, s) => new NodePicture(n.Name, n.Datacenter, n.IsStandby, n.IsRunning, s))],
                Applications = balancers.ToDictionary(b => b.Datacenter, b => b.Current.Name),
                Acknowledged = ledger.Acknowledged,
                Unknown = ledger.Unknown,
                WritesPerSecond = writeRate,
                ReadsPerSecond = readRate,
                LongestPauseMilliseconds = ledger.LongestPauseMilliseconds,
                Paused = paused,
            });
            await Task.Delay(250, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}

/// <summary>How the demo ended.</summary>
/// <param name="Acknowledged">Transactions acknowledged to the applications.</param>
/// <param name="Unknown">Transactions whose answer did not say what happened.</param>
/// <param name="LocalReads">Reads answered by local replicas.</param>
/// <param name="LongestPauseMilliseconds">Longest time without an acknowledged write, over all applications.</param>
/// <param name="Killed">The datacenter that the script killed; null: it was quit before.</param>
/// <param name="Audit">What the audit found.</param>
internal sealed record DemoResult(long Acknowledged, long Unknown, long LocalReads, double LongestPauseMilliseconds, string? Killed, AuditResult Audit);
