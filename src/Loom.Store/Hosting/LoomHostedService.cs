using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Options;

namespace Loom.Store.Hosting;

/// <summary>Opens the store before any other service of the host starts, and closes it after all have stopped (handing leadership over).</summary>
internal sealed class LoomHostedService(HostedStore store, IOptions<LoomOptions> options, IEnumerable<StoreConfigurationSource> configurations) : IHostedLifecycleService
{
    public async Task StartingAsync(CancellationToken cancellationToken)
    {
        store.Opened(await LoomStore.OpenAsync(options.Value, cancellationToken).ConfigureAwait(false));
        foreach (StoreConfigurationSource configuration in configurations)
        {
            configuration.Attach(store);
        }
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StartedAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppingAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public Task StoppedAsync(CancellationToken cancellationToken) => store.DisposeAsync().AsTask();
}
