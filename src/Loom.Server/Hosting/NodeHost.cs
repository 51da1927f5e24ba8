using System.Globalization;
using System.Runtime.InteropServices;
using Loom.Raft.Membership;
using Loom.Server.Cli;
using Loom.Server.Configuration;
using Loom.Store;
using Microsoft.Extensions.Hosting.Systemd;

namespace Loom.Server.Hosting;

/// <summary>
/// The life of a node process: open the store, serve, say "ready" once linearizable reads work, watch for a failure of the member, and on a signal hand leadership
/// over, drain and close within five seconds.
/// </summary>
internal sealed class NodeHost
{
    /// <summary>A node that cannot close in this time is left as it is: its log survives that, as it survives kill -9. The parts of a stop share it.</summary>
    private static readonly TimeSpan StopLimit = TimeSpan.FromMilliseconds(4700);

    /// <summary>What hand-over and drain leave of it to the store, which has a deadline of its own below that.</summary>
    private static readonly TimeSpan StoreShare = TimeSpan.FromMilliseconds(2800);
    private static readonly TimeSpan HandOverLimit = TimeSpan.FromMilliseconds(900);
    private static readonly TimeSpan FailurePoll = TimeSpan.FromMilliseconds(250);

    private readonly ServeSettings settings;
    private readonly Func<ServeSettings, ILoggerFactory, CancellationToken, Task<ILoomStore>> open;
    private readonly TextWriter output;

    public NodeHost(ServeSettings settings, Func<ServeSettings, ILoggerFactory, CancellationToken, Task<ILoomStore>> open, TextWriter output)
    {
        this.settings = settings;
        this.open = open;
        this.output = output;
    }

    /// <summary>Runs until a signal, <paramref name="stop"/>, or the failure of the member. Returns the exit code.</summary>
    public async Task<int> RunAsync(CancellationToken stop)
    {
        foreach (string warning in settings.Warnings)
        {
            Say("warning: " + warning);
        }

        using var stopping = CancellationTokenSource.CreateLinkedTokenSource(stop);
        using PosixSignalRegistration term = PosixSignalRegistration.Create(PosixSignal.SIGTERM, OnSignal);
        using PosixSignalRegistration interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, OnSignal);
        if (settings.ExitWithInput)
        {
            // A background thread: a read of standard input cannot be cancelled, and must not hold the process.
            new Thread(() => WaitForEndOfInput(Stop)) { IsBackground = true, Name = "loom-stdin" }.Start();
        }

        using ILoggerFactory loggers = LoggerFactory.Create(ConfigureLogging);
        try
        {
            return await RunAsync(loggers, stopping).ConfigureAwait(false);
        }
        catch (ConfigurationException exception)
        {
            ErrorText.Write(output, exception.Message, exception.Fix);
            return ExitCode.Failure;
        }
        catch (LoomException exception)
        {
            ErrorText.Write(output, exception);
            return ExitCode.Failure;
        }
        catch (OperationCanceledException) when (stopping.IsCancellationRequested)
        {
            return ExitCode.Ok;
        }

        void OnSignal(PosixSignalContext context)
        {
            context.Cancel = true;
            Stop();
        }

        void Stop()
        {
            try
            {
                stopping.Cancel();
            }
            catch (ObjectDisposedException)
            {
                // The node has just ended by itself.
            }
        }
    }

    private static void WaitForEndOfInput(Action stop)
    {
        byte[] ignored = new byte[256];
        using Stream input = Console.OpenStandardInput();
        try
        {
            while (input.Read(ignored) > 0)
            {
            }
        }
        catch (IOException)
        {
            // As good as its end.
        }

        stop();
    }

    private async Task<int> RunAsync(ILoggerFactory loggers, CancellationTokenSource stopping)
    {
        RefuseToFormWhatExists();
        NodeServer.RequireFreePorts(settings);
        TlsPort? tls = NodeCertificates.OpenClients(settings, loggers, Say);
        NodeCertificates.CheckPeers(settings, loggers, Say);
        ILoomStore store = await open(settings, loggers, stopping.Token).ConfigureAwait(false);
        NodeServer? server = null;
        try
        {
            server = await NodeServer.StartAsync(store, settings, tls, ConfigureLogging, stopping.Token).ConfigureAwait(false);
            Task ready = AnnounceWhenReadyAsync(store, server, stopping.Token);
            string? failure = await WatchAsync(store, stopping.Token).ConfigureAwait(false);
            if (failure is not null)
            {
                await stopping.CancelAsync().ConfigureAwait(false);
                await ready.ConfigureAwait(false);
                Say($"error: this member failed and serves nothing more: {failure}");
                using var drained = new CancellationTokenSource(StopLimit - StoreShare);
                await EndAsync(store, server, drained.Token).WaitAsync(StopLimit, CancellationToken.None).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                return ExitCode.Failure;
            }

            await ready.ConfigureAwait(false);
            return await StopAsync(store, server).ConfigureAwait(false);
        }
        catch when (server is null)
        {
            await store.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>etcd's "existing" says: never form a cluster. Beside others an empty directory then joins them; alone it could only form one.</summary>
    private void RefuseToFormWhatExists()
    {
        if (settings.ExistingCluster && settings.InitialCluster.Count <= 1 &&
            (!Directory.Exists(settings.DataDirectory) || !Directory.EnumerateFileSystemEntries(settings.DataDirectory).Any()))
        {
            throw new ConfigurationException(
                $"--initial-cluster-state is existing, but {settings.DataDirectory} is empty and --initial-cluster names no other member to be filled from",
                "point --data-dir to this member's data, or list the other members; to form a new cluster write --initial-cluster-state new");
        }
    }

    /// <summary>Returns the failure of the member, or null when the node is asked to stop.</summary>
    private static async Task<string?> WatchAsync(ILoomStore store, CancellationToken stop)
    {
        using var timer = new PeriodicTimer(FailurePoll);
        try
        {
            while (await timer.WaitForNextTickAsync(stop).ConfigureAwait(false))
            {
                if (store.Status.Raft.Failure is { } failure)
                {
                    return failure;
                }
            }
        }
        catch (OperationCanceledException)
        {
            // Asked to stop.
        }

        return null;
    }

    /// <summary>Ready = this member has just served a linearizable read: it knows a leader with a quorum, and it has caught up.</summary>
    private async Task AnnounceWhenReadyAsync(ILoomStore store, NodeServer server, CancellationToken stop)
    {
        long told = Environment.TickCount64;
        try
        {
            while (true)
            {
                try
                {
                    using var attempt = CancellationTokenSource.CreateLinkedTokenSource(stop);
                    attempt.CancelAfter(TimeSpan.FromSeconds(1));
                    await store.ReadBarrierAsync(attempt.Token).ConfigureAwait(false);
                    break;
                }
                catch (Exception exception) when (exception is LoomException or OperationCanceledException && !stop.IsCancellationRequested)
                {
                    if (store.Status.Raft.Failure is not null)
                    {
                        return;
                    }
                }

                if (Environment.TickCount64 - told > 5000)
                {
                    told = Environment.TickCount64;
                    Say(WaitingFor(store.Status));
                }

                await Task.Delay(50, stop).ConfigureAwait(false);
            }

            Say(ReadyLine(store.Status, server.Addresses));
            var systemd = new SystemdNotifier();
            if (systemd.IsEnabled)
            {
                systemd.Notify(ServiceState.Ready);
            }
        }
        catch (OperationCanceledException)
        {
            // Asked to stop before it was ready.
        }
    }

    private async Task<int> StopAsync(ILoomStore store, NodeServer server)
    {
        Say("stopping: handing over, draining, closing");
        var systemd = new SystemdNotifier();
        if (systemd.IsEnabled)
        {
            systemd.Notify(ServiceState.Stopping);
        }

        server.Health.Stopping = true;
        Task end = HandOverAndEndAsync(store, server);
        if (await Task.WhenAny(end, Task.Delay(StopLimit)).ConfigureAwait(false) == end)
        {
            await end.ConfigureAwait(false);
            Say("stopped");
        }
        else
        {
            Say($"warning: not closed within {StopLimit.TotalSeconds} s; leaving now, which the log survives");
        }

        return ExitCode.Ok;
    }

    private async Task HandOverAndEndAsync(ILoomStore store, NodeServer server)
    {
        // From now on, whoever took long leaves less to the next.
        using var drained = new CancellationTokenSource(StopLimit - StoreShare);
        LoomStatus status = store.Status;
        bool leads = status.Raft.Leader == status.Raft.MemberId;
        if (leads && status.Configuration.Members.Count(m => m.Role == MemberRole.Voter) > 1)
        {
            try
            {
                using var limit = CancellationTokenSource.CreateLinkedTokenSource(drained.Token);
                limit.CancelAfter(HandOverLimit);
                await store.TransferLeadershipAsync(0, limit.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is LoomException or OperationCanceledException)
            {
                Say($"warning: leadership was not handed over ({exception.Message}); the others will elect");
            }
        }

        await EndAsync(store, server, drained.Token).ConfigureAwait(false);
    }

    private static async Task EndAsync(ILoomStore store, NodeServer server, CancellationToken drained)
    {
        Task ended = server.StopAsync(drained);
        await ended.WaitAsync(drained).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

        // Calls that still wait are answered by the store that closes, while the web server aborts their connections, for which it takes a second of its own.
        await store.DisposeAsync().ConfigureAwait(false);
        await ended.ConfigureAwait(false);
        await server.DisposeAsync().ConfigureAwait(false);
    }

    private static string ReadyLine(LoomStatus status, NodeAddresses addresses)
    {
        Member? self = status.Configuration.Find(status.Raft.MemberId);
        int members = status.Configuration.Members.Count;
        int datacenters = status.Configuration.Members.Select(m => m.Datacenter).Distinct(StringComparer.Ordinal).Count();
        string role = (self?.Role ?? MemberRole.Learner).ToString().ToLowerInvariant();
        string cluster = members == 1
            ? "a cluster of one member"
            : string.Create(CultureInfo.InvariantCulture, $"{members} members in {datacenters} datacenter{(datacenters == 1 ? "" : "s")}");
        return $"ready: {self?.Name} ({role} in {self?.Datacenter}) serves {string.Join(' ', addresses.Bound)}; {cluster}. {status.Placement}".TrimEnd();
    }

    private static string WaitingFor(LoomStatus status)
    {
        string[] silent = [.. status.Raft.Peers.Where(p => !p.Connected).Select(p => status.Configuration.Find(p.Id)?.Name ?? p.Id.ToString()).Order(StringComparer.Ordinal)];
        string not = silent.Length == 0 ? "" : $"; not connected: {string.Join(", ", silent)}";
        return $"waiting: {status.Raft.Role}, term {status.Raft.Term}, no leader with a quorum yet or not caught up{not}";
    }

    private void ConfigureLogging(ILoggingBuilder logging)
    {
        logging.SetMinimumLevel(settings.LogLevel);

        // Frameworks log per call at Information and below: never on the hot path.
        logging.AddFilter("Microsoft", settings.LogLevel > LogLevel.Warning ? settings.LogLevel : LogLevel.Warning);
        logging.AddFilter("Grpc", settings.LogLevel > LogLevel.Warning ? settings.LogLevel : LogLevel.Warning);

        // Its one warning at start is about the mixed endpoint, which OnePort takes care of.
        logging.AddFilter("Microsoft.AspNetCore.Server.Kestrel", LogLevel.Error);

        // A start that fails is told in one sentence by RunAsync.
        logging.AddFilter("Microsoft.Extensions.Hosting.Internal.Host", LogLevel.None);
        logging.AddSimpleConsole(console =>
        {
            console.SingleLine = true;
            console.TimestampFormat = "HH:mm:ss.fff ";
            console.ColorBehavior = Microsoft.Extensions.Logging.Console.LoggerColorBehavior.Disabled;
        });
        logging.Services.Configure<Microsoft.Extensions.Logging.Console.ConsoleLoggerOptions>(o => o.LogToStandardErrorThreshold = LogLevel.Trace);
    }

    private void Say(string line) => output.WriteLine("loom: " + line);
}
