using System.Diagnostics.CodeAnalysis;
using System.Text;
using Loom.Store.Collections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Hosting;

/// <summary>Stands for election, runs the service while it leads, and begins again. Never ends before the host does: what a service throws is logged, and its process stands again later.</summary>
internal sealed class LeaderServiceRunner<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] T>(
    ILoomStore store, IServiceProvider services, string name, LeaderServiceOptions options, ILoggerFactory? logs) : BackgroundService
    where T : class, ILeaderService
{
    private static readonly TimeSpan Complaint = TimeSpan.FromSeconds(10);

    private readonly ILogger? log = logs?.CreateLogger("Loom.Store.LeaderService");

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        TimeSpan pause = options.RestartDelay;
        while (!stoppingToken.IsCancellationRequested)
        {
            try
            {
                bool sound = await CampaignAsync(stoppingToken).ConfigureAwait(false);
                pause = sound ? options.RestartDelay : Longer(pause);
                await Task.Delay(pause, stoppingToken).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
            {
                break;
            }
        }
    }

    private TimeSpan Longer(TimeSpan pause) => pause * 2 < options.MaxRestartDelay ? pause * 2 : options.MaxRestartDelay;

    /// <summary>One term. True: it was sound.</summary>
    private async Task<bool> CampaignAsync(CancellationToken stopping)
    {
        try
        {
            Candidate self = Candidate.Of(store);
            LoomElection election = new(store, name, new LoomLockOptions { TimeToLive = options.TimeToLive, LoggerFactory = logs });
            await using LoomHold lead = await election.CampaignAsync(Encoding.UTF8.GetBytes(self.ToString()), stopping).ConfigureAwait(false);
            return await LeadAsync(lead, self, stopping).ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            log?.LogWarning("Standing for {Name} failed, and is tried again: {Message}", name, exception.Message);
            return false;
        }
    }

    private async Task<bool> LeadAsync(LoomHold lead, Candidate self, CancellationToken stopping)
    {
        using var ending = CancellationTokenSource.CreateLinkedTokenSource(stopping, lead.Lost);
        Task giving = options.PreferredDatacenter is { } preferred && preferred != self.Datacenter
            ? GiveWayAsync(preferred, ending)
            : Task.CompletedTask;

        // Somebody from where the work belongs may stand in the line already: then it is not even begun.
        if (ending.IsCancellationRequested)
        {
            await giving.ConfigureAwait(false);
            return true;
        }

        log?.LogInformation("This process leads {Name} ({Token}).", name, lead.Token);
        long began = Environment.TickCount64;
        Exception? fault = await RunAsync(lead, ending.Token).ConfigureAwait(false);
        bool ended = ending.IsCancellationRequested;
        await ending.CancelAsync().ConfigureAwait(false);
        await giving.ConfigureAwait(false);
        if (fault is null or FenceLostException || (fault is OperationCanceledException && ended))
        {
            log?.LogInformation("This process does not lead {Name} any more: {Why}.", name, lead.LostReason ?? (stopping.IsCancellationRequested ? "the host stops" : fault?.Message ?? (ended ? "it gives way" : "the service returned")));
            return true;
        }

        log?.LogError(fault, "The service of {Name} failed. Another process may lead next; this one stands again after a pause.", name);
        return Environment.TickCount64 - began > options.MaxRestartDelay.TotalMilliseconds;
    }

    /// <summary>What the service threw, or null.</summary>
    private async Task<Exception?> RunAsync(LoomHold lead, CancellationToken ending)
    {
        AsyncServiceScope scope = services.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            T? service = null;
            try
            {
                service = ActivatorUtilities.CreateInstance<T>(scope.ServiceProvider);
                Task running = service.RunAsync(lead, ending);
                await ComplainAsync(running, ending).ConfigureAwait(false);
                await running.ConfigureAwait(false);
                return null;
            }
#pragma warning disable CA1031 // Whatever a service throws ends its term, not the host.
            catch (Exception exception)
#pragma warning restore CA1031
            {
                return exception;
            }
            finally
            {
                await DisposeAsync(service).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask DisposeAsync(T? service)
    {
        try
        {
            if (service is IAsyncDisposable asynchronous)
            {
                await asynchronous.DisposeAsync().ConfigureAwait(false);
            }
            else
            {
                (service as IDisposable)?.Dispose();
            }
        }
#pragma warning disable CA1031 // As above.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            log?.LogError(exception, "Disposing of the service of {Name} failed.", name);
        }
    }

    /// <summary>A service that goes on after its term holds up only this process; its writes are refused by the fence. That it does is said again and again.</summary>
    private async Task ComplainAsync(Task running, CancellationToken ending)
    {
        try
        {
            await running.WaitAsync(ending).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (ending.IsCancellationRequested)
        {
        }

        while (await Task.WhenAny(running, Task.Delay(Complaint, CancellationToken.None)).ConfigureAwait(false) != running)
        {
            log?.LogWarning("The service of {Name} still runs, though its leadership has ended: let it return when its token is cancelled.", name);
        }
    }

    /// <summary>Ends the term once a candidate of a datacenter stands in the line. Never throws; returns at once if one does already.</summary>
    private Task GiveWayAsync(string datacenter, CancellationTokenSource ending)
    {
        byte[] prefix = Encoding.UTF8.GetBytes(name + "/");
        Model.RangeResult line;
        try
        {
            line = store.Range(new Model.RangeQuery(Model.KeyRange.Prefix(prefix)));
        }
        catch (LoomException)
        {
            // This member serves nothing: its hold is as good as lost.
            return Task.CompletedTask;
        }

        if (line.Pairs.Any(pair => Candidate.IsFrom(pair.Value, datacenter)))
        {
            return ending.CancelAsync();
        }

        return FollowAsync(prefix, line.Revision.Next, datacenter, ending);
    }

    private async Task FollowAsync(byte[] prefix, Model.Revision from, string datacenter, CancellationTokenSource ending)
    {
        try
        {
            await foreach (Model.WatchBatch batch in store.WatchAsync(new Model.WatchQuery(Model.KeyRange.Prefix(prefix)) { From = from, Deletes = false }, ending.Token).ConfigureAwait(false))
            {
                if (batch.Events.Any(change => Candidate.IsFrom(change.Pair.Value, datacenter)))
                {
                    log?.LogInformation("This process gives {Name} over to a candidate in {Datacenter}.", name, datacenter);
                    await ending.CancelAsync().ConfigureAwait(false);
                    return;
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
        catch (LoomException exception)
        {
            // It leads on, where it is: a preference is no promise.
            log?.LogWarning("The line of {Name} cannot be followed: {Message}", name, exception.Message);
        }
    }

    /// <summary>What a candidate says of itself: <c>east1@east</c>.</summary>
    private sealed record Candidate(string Name, string Datacenter)
    {
        public static Candidate Of(ILoomStore store)
        {
            LoomStatus status = store.Status;
            Raft.Membership.Member? self = status.Configuration.Find(status.Raft.MemberId);
            return new Candidate(self?.Name ?? status.Raft.MemberId.ToString(), self?.Datacenter ?? "");
        }

        public static bool IsFrom(ReadOnlyMemory<byte> said, string datacenter) => said.Span.EndsWith(Encoding.UTF8.GetBytes("@" + datacenter));

        public override string ToString() => $"{Name}@{Datacenter}";
    }
}
