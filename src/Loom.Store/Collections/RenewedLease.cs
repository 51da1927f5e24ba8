using Loom.Raft;
using Loom.Store.Model;

namespace Loom.Store.Collections;

/// <summary>
/// A lease that renews itself, and says when it is lost: when the store says that it has ended, or when no renewal could be confirmed for so long that it may have. That moment is counted by this process's own
/// monotonic clock from the moment at which the last confirmed renewal was <em>sent</em>; the cluster counts from when the renewal entered the log, which was later (T5), so this side never believes for longer (F2).
/// A tenth of the time to live is left between the two, for clocks that run at different speeds and timers that are late.
/// </summary>
internal sealed class RenewedLease : IAsyncDisposable
{
    private const int RenewalsPerLife = 3;
    private const int MaxRevokes = 3;
    private const double Trusted = 0.9;

    // A timer holds no more than 49 days. Who could not renew for so long believes in nothing, whatever the lease's time to live.
    private static readonly TimeSpan LongestTrust = TimeSpan.FromDays(30);

    // A change of leader takes less; who is cut off shall not hold up its host.
    private static readonly TimeSpan GivingBack = TimeSpan.FromSeconds(3);

    private readonly ILoomStore store;
    private readonly TimeProvider time;
    private readonly Lock gate = new();
    private readonly CancellationTokenSource lost;
    private readonly CancellationTokenSource stop = new();
    private readonly TimeSpan interval;
    private Task renewing = Task.CompletedTask;
    private long trustedFrom;
    private TimeSpan trustedFor;
    private string? reason;
    private LoomException? lastFault;

    private RenewedLease(ILoomStore store, long id, TimeSpan timeToLive, TimeProvider time)
    {
        this.store = store;
        this.time = BootTime.For(time);
        Id = id;
        interval = Shorter(timeToLive, LongestTrust) / RenewalsPerLife;
        lost = new CancellationTokenSource(Timeout.InfiniteTimeSpan, this.time);
        Lost = lost.Token;
    }

    public long Id { get; }

    /// <summary>Cancelled when the lease is lost, or given up.</summary>
    public CancellationToken Lost { get; }

    /// <summary>Asks the clock, too: a process that was stopped knows before its timers do.</summary>
    public bool Lives
    {
        get
        {
            lock (gate)
            {
                return !Lost.IsCancellationRequested && time.GetElapsedTime(trustedFrom) < trustedFor;
            }
        }
    }

    /// <summary>Why it is lost; null: it is not, or it was given up.</summary>
    public string? Reason
    {
        get
        {
            lock (gate)
            {
                return reason ?? (Lost.IsCancellationRequested ? Silence() : null);
            }
        }
    }

    /// <summary>Grants a lease and begins to renew it. On any error, and when the caller cancels, none is left behind.</summary>
    public static async ValueTask<RenewedLease> GrantAsync(ILoomStore store, TimeSpan timeToLive, TimeProvider time, CancellationToken cancellationToken)
    {
        // The id is chosen here, so that a grant whose answer was lost can be taken back; and one that is taken is that one.
        long id = LoomLeases.DrawId();
        var lease = new RenewedLease(store, id, timeToLive, time);
        try
        {
            long sent = lease.time.GetTimestamp();
            TimeSpan granted = await Retries.RunAsync(() => lease.GrantAsync(timeToLive, cancellationToken), cancellationToken).ConfigureAwait(false);
            lease.Confirm(sent, granted);
            lease.renewing = lease.RenewAsync(lease.stop.Token);
            return lease;
        }
        catch
        {
            await lease.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>The lease is worth nothing any more.</summary>
    public async ValueTask LoseAsync(string why)
    {
        lock (gate)
        {
            if (Lost.IsCancellationRequested)
            {
                return;
            }

            reason = why;
        }

        await lost.CancelAsync().ConfigureAwait(false);
    }

    /// <summary>Gives the lease back, and with it the keys that hang on it. Where that fails, they go when its time has passed. Never throws.</summary>
    public async ValueTask DisposeAsync()
    {
        await lost.CancelAsync().ConfigureAwait(false);
        await stop.CancelAsync().ConfigureAwait(false);
        await renewing.ConfigureAwait(false);
        using var limit = new CancellationTokenSource(GivingBack);
        for (int tries = 0; tries < MaxRevokes; tries++)
        {
            try
            {
                await store.Leases.RevokeAsync(Id, limit.Token).ConfigureAwait(false);
                break;
            }
            catch (LoomException exception) when (exception.Outcome == WriteOutcome.Unknown || exception.Code is LoomErrorCode.LeaderChanged or LoomErrorCode.Overloaded)
            {
            }
            catch (Exception exception) when (exception is LoomException or OperationCanceledException)
            {
                // It has ended already, or nobody can be reached: then it ends by itself.
                break;
            }
        }

        // The source of Lost is not disposed of: it is cancelled, so it holds nothing, and a late word that the lease is lost must find it.
        stop.Dispose();
    }

    private async ValueTask<TimeSpan> GrantAsync(TimeSpan timeToLive, CancellationToken cancellationToken)
    {
        try
        {
            return (await store.Leases.GrantAsync(timeToLive, Id, cancellationToken).ConfigureAwait(false)).TimeToLive;
        }
        catch (LoomException exception) when (exception.Code == LoomErrorCode.LeaseExists)
        {
            // Granted by a try before this one: nobody else draws this number.
            return timeToLive;
        }
    }

    private async Task RenewAsync(CancellationToken stopped)
    {
        try
        {
            TimeSpan pause = interval;
            while (true)
            {
                await Task.Delay(pause, time, stopped).ConfigureAwait(false);

                // What its holder was told to be lost must not be kept alive behind its back (F2): others wait for it.
                Lost.ThrowIfCancellationRequested();
                pause = await TryRenewAsync(stopped).ConfigureAwait(false) ? interval : interval / 4;
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    /// <summary>One renewal. False: not confirmed, and worth another try soon. A try that hangs is not waited for: the next one may meet another leader, and is sent later, so it confirms for longer.</summary>
    private async ValueTask<bool> TryRenewAsync(CancellationToken stopped)
    {
        long sent = time.GetTimestamp();
        try
        {
            LeaseRenewal renewal = await store.Leases.KeepAliveAsync(Id, stopped).AsTask().WaitAsync(interval, time, stopped).ConfigureAwait(false);
            if (renewal.Lives)
            {
                Confirm(sent, renewal.TimeToLive);
                return true;
            }

            await LoseAsync("its lease has ended").ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            return false;
        }
        catch (LoomException exception) when (exception.Code is LoomErrorCode.Stopped or LoomErrorCode.Failed)
        {
            await LoseAsync("this member does not run any more: " + exception.Message).ConfigureAwait(false);
        }
        catch (LoomException exception)
        {
            lock (gate)
            {
                lastFault = exception;
            }

            return false;
        }

        stopped.ThrowIfCancellationRequested();
        throw new OperationCanceledException("lost");
    }

    private void Confirm(long sent, TimeSpan timeToLive)
    {
        lock (gate)
        {
            if (Lost.IsCancellationRequested)
            {
                return;
            }

            trustedFrom = sent;
            trustedFor = Shorter(timeToLive * Trusted, LongestTrust);
            lastFault = null;
            TimeSpan left = trustedFor - time.GetElapsedTime(sent);

            // The confirmation of a renewal that was under way for too long comes too late.
            lost.CancelAfter(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }
    }

    private static TimeSpan Shorter(TimeSpan one, TimeSpan other) => one < other ? one : other;

    private string? Silence() => stop.IsCancellationRequested ? null : "no renewal of its lease was confirmed in time" + (lastFault is { } fault ? ": " + fault.Message : "");
}
