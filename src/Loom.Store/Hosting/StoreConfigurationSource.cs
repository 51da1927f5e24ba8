using Microsoft.Extensions.Configuration;

namespace Loom.Store.Hosting;

/// <summary>The source behind configuration from the store. Each build makes a provider; those that are made before the store is open get it when it is.</summary>
/// <param name="options">Nobody else's.</param>
internal sealed class StoreConfigurationSource(LoomConfigurationOptions options) : IConfigurationSource
{
    private readonly Lock gate = new();
    private readonly List<StoreConfigurationProvider> providers = [];
    private ILoomStore? store;

    /// <summary>A start without its keys is not wanted otherwise.</summary>
    public bool IsOptional => options.Optional;

    public IConfigurationProvider Build(IConfigurationBuilder builder)
    {
        lock (gate)
        {
            var provider = new StoreConfigurationProvider(options, store);
            if (store is null)
            {
                providers.Add(provider);
            }

            return provider;
        }
    }

    /// <summary>The store is open: whoever was built before is filled now.</summary>
    /// <exception cref="LoomException">It serves nothing, or a value is no text.</exception>
    public void Attach(ILoomStore opened)
    {
        StoreConfigurationProvider[] waiting;
        lock (gate)
        {
            store = opened;
            waiting = [.. providers];
            providers.Clear();
        }

        foreach (StoreConfigurationProvider provider in waiting)
        {
            provider.Attach(opened);
        }
    }
}
