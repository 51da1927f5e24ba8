using Microsoft.Extensions.Logging;

namespace Loom.Store.Watch;

/// <summary>
/// Drives the hub of a store: hands out what was published, as soon as it is, and marks progress by time. One task on the thread pool; it is at the edge, beside the facade: nothing below it
/// knows of timers or tasks (T2). Where the pool is slow, watches are late and nothing else is.
/// </summary>
internal sealed class WatchDispatcher : IAsyncDisposable
{
    private const int Budget = 64;
    private static readonly TimeSpan MaxTick = TimeSpan.FromSeconds(1);

    private readonly WatchHub hub;
    private readonly TimeProvider time;
    private readonly ILogger log;
    private readonly long progressMilliseconds;
    private readonly TimeSpan tick;
    private readonly Func<string?> failure;

    // Never disposed: nobody asks for a wait handle, and the applier may signal late.
    private readonly SemaphoreSlim signal = new(0);
    private readonly CancellationTokenSource closing = new();
    private readonly Task running;
    private int signalled;

    /// <param name="hub">What it drives.</param>
    /// <param name="failure">Why this member serves nothing more, or null; asked now and then.</param>
    /// <param name="progressInterval">When a quiet watch that wants it is told of progress.</param>
    /// <param name="time">The clock for that.</param>
    /// <param name="log">Its own failure.</param>
    public WatchDispatcher(WatchHub hub, Func<string?> failure, TimeSpan progressInterval, TimeProvider time, ILogger log)
    {
        this.hub = hub;
        this.failure = failure;
        this.time = time;
        this.log = log;
        progressMilliseconds = (long)progressInterval.TotalMilliseconds;
        tick = progressInterval / 10 < MaxTick ? progressInterval / 10 : MaxTick;
        hub.Published = Signal;
        running = RunAsync(closing.Token);
    }

    /// <summary>Ends it, and with it every watch.</summary>
    public async ValueTask DisposeAsync()
    {
        hub.Published = null;
        await closing.CancelAsync().ConfigureAwait(false);
        await running.ConfigureAwait(false);
        hub.Close();
        closing.Dispose();
    }

    // The applier's thread: once per batch, and only where the last signal was seen.
    private void Signal()
    {
        if (Interlocked.Exchange(ref signalled, 1) == 0)
        {
            signal.Release();
        }
    }

    private async Task RunAsync(CancellationToken stop)
    {
        try
        {
            long marked = Now;
            while (true)
            {
                await signal.WaitAsync(tick, stop).ConfigureAwait(false);
                Volatile.Write(ref signalled, 0);
                while (hub.Dispatch(Budget))
                {
                    stop.ThrowIfCancellationRequested();
                }

                if (Now - marked >= tick.TotalMilliseconds)
                {
                    marked = Now;
                    hub.MarkProgress(marked, Interval);
                    if (failure() is { } why)
                    {
                        hub.Fail(why);
                    }
                }
            }
        }
        catch (OperationCanceledException)
        {
        }
#pragma warning disable CA1031 // Whatever it is: no watch may fall silent without a word.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            log.LogCritical(exception, "Handing events to watches failed: every watch on this member has ended. Restart it.");
            hub.Close();
        }
    }

    private long Now => (long)time.GetElapsedTime(0).TotalMilliseconds;

    /// <summary>Up to a tenth more, each watcher another part of it: they are not all told at once.</summary>
    private long Interval(Watcher watcher) => progressMilliseconds + (progressMilliseconds * (long)(((ulong)watcher.Id * 2_654_435_761) % 100) / 1000);
}
