using Loom.Store.Model;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Loom.Store.Hosting;

/// <summary>Opens the store before any other service of the host starts, and closes it after all have stopped (handing leadership over).</summary>
internal sealed class LoomHostedService(HostedStore store, IOptions<LoomOptions> options, IEnumerable<StoreConfigurationSource> configurations) : IHostedLifecycleService
{
    private static readonly TimeSpan Patience = TimeSpan.FromMilliseconds(50);
    private static readonly byte[] AnyKey = [0];

    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        store.Opened(await LoomStore.OpenAsync(options.Value, cancellationToken).ConfigureAwait(false));
        foreach (StoreConfigurationSource configuration in configurations)
        {
            if (!configuration.IsOptional)
            {
                await WaitForStateAsync(cancellationToken).ConfigureAwait(false);
            }

            configuration.Attach(store);
        }
    }

    /// <summary>A member of several may be started before its cluster has formed, or with an empty directory: what is configured by keys must not start with none of them. The host's start-up timeout bounds it.</summary>
    private async Task WaitForStateAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                store.Range(new RangeQuery(KeyRange.Single(AnyKey)));
                return;
            }
            catch (LoomException exception) when (exception.Code == LoomErrorCode.StateAwaited)
            {
                await Task.Delay(Patience, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => store.DisposeAsync().AsTask();
}
