using Loom.Store.Model;
using Microsoft.Extensions.Configuration;

namespace Loom.Store.Hosting;

/// <summary>Configuration from keys of the store: read from the local replica, followed by a watch. Its data is replaced whole with each change, so nobody sees half of a transaction.</summary>
internal sealed class StoreConfigurationProvider : ConfigurationProvider, IDisposable
{
    private static readonly TimeSpan Pause = TimeSpan.FromSeconds(1);

    private readonly LoomConfigurationOptions options;
    private readonly ConfigurationPairs pairs;
    private readonly KeyRange range;
    private readonly Lock gate = new();
    private readonly CancellationTokenSource stop = new();
    private ILoomStore? store;
    private Task? following;

    /// <param name="options">Whose keys.</param>
    /// <param name="store">Null: it comes later.</param>
    public StoreConfigurationProvider(LoomConfigurationOptions options, ILoomStore? store)
    {
        this.options = options;
        this.store = store;
        pairs = new ConfigurationPairs(options);
        range = KeyRange.Prefix(options.Prefix);
    }

    public void Attach(ILoomStore opened)
    {
        store = opened;
        Load();
        Announce();
    }

    /// <summary>Synchronous, as configuration is: a read of this process's own replica.</summary>
    public override void Load()
    {
        if (store is not { } known)
        {
            return;
        }

        Revision at = default;
        try
        {
            at = ReadAll(known, isLoad: true);
        }
        catch (LoomException exception) when (options.Optional && exception.Code != LoomErrorCode.InvalidConfiguration)
        {
            Tell(exception);
        }

        lock (gate)
        {
            following ??= FollowAsync(known, at, stop.Token);
        }
    }

    /// <summary>Follows no more; what was read stays.</summary>
    public void Dispose() => stop.Cancel();

    /// <summary>Takes over what comes after a revision; 0: nothing could be read yet.</summary>
    private async Task FollowAsync(ILoomStore known, Revision from, CancellationToken stopped)
    {
        bool wasOpen = false;
        try
        {
            while (true)
            {
                LoomException? end = from.Number == 0 ? ReadAgain(known, ref from) : null;
                if (end is null)
                {
                    wasOpen = true;
                    end = await WatchAsync(known, from, stopped).ConfigureAwait(false);
                }

                if (wasOpen && end.Code == LoomErrorCode.Stopped)
                {
                    // The store was closed, by whoever closes this process down: what was read stays, and nothing went wrong. One that was never open is still being opened.
                    return;
                }

                Tell(end);
                from = default;
                await Task.Delay(Pause, stopped).ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException)
        {
        }
    }

    private async Task<LoomException> WatchAsync(ILoomStore known, Revision from, CancellationToken stopped)
    {
        try
        {
            await foreach (WatchBatch batch in known.WatchAsync(range, from.Next, stopped).ConfigureAwait(false))
            {
                Take(batch.Events);
            }

            return Faults.Closed();
        }
        catch (LoomException end)
        {
            return end;
        }
    }

    /// <summary>Null: it was read.</summary>
    private LoomException? ReadAgain(ILoomStore known, ref Revision from)
    {
        try
        {
            from = ReadAll(known, isLoad: false);
            Announce();
            return null;
        }
        catch (LoomException exception)
        {
            return exception;
        }
    }

    private Revision ReadAll(ILoomStore known, bool isLoad)
    {
        RangeResult read = known.Range(new RangeQuery(range));
        lock (gate)
        {
            LoomException? fault = pairs.Replace(read.Pairs);
            if (isLoad && fault is not null)
            {
                throw fault;
            }

            Data = pairs.ToData();
            if (fault is not null)
            {
                Tell(fault);
            }
        }

        return read.Revision;
    }

    private void Take(IReadOnlyList<WatchEvent> events)
    {
        if (events.Count == 0)
        {
            return;
        }

        lock (gate)
        {
            foreach (WatchEvent change in events)
            {
                if (pairs.Take(change) is { } fault)
                {
                    Tell(fault);
                }
            }

            Data = pairs.ToData();
        }

        Announce();
    }

    /// <summary>Tells whoever listens for changes. What a listener throws is not the provider's end: the data is taken over already, and the next change is followed.</summary>
    private void Announce()
    {
        try
        {
            OnReload();
        }
#pragma warning disable CA1031 // Anybody's code, and nobody else is there to be told.
        catch (Exception exception)
#pragma warning restore CA1031
        {
            Exception cause = exception.GetBaseException();
            Tell(new LoomException(
                LoomErrorCode.InvalidConfiguration, $"LOOM1072: what listens for changes of the configuration threw {cause.GetType().Name}: {cause.Message} The configuration itself is taken over, and followed on.", inner: exception));
        }
    }

    private void Tell(LoomException fault)
    {
        try
        {
            options.OnFault?.Invoke(fault);
        }
#pragma warning disable CA1031 // Said so on the option: following goes on.
        catch (Exception)
#pragma warning restore CA1031
        {
        }
    }
}
