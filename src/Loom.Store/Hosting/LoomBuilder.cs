using Microsoft.Extensions.DependencyInjection;

namespace Loom.Store.Hosting;

/// <summary>What <c>AddLoom</c> returns: extensions hang on to it.</summary>
public sealed class LoomBuilder
{
    internal LoomBuilder(IServiceCollection services) => Services = services;

    /// <summary>The services that the store was added to.</summary>
    public IServiceCollection Services { get; }
}
