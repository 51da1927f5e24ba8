using System.Diagnostics.CodeAnalysis;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Loom.Store.Hosting;

/// <summary>What <c>AddLoom</c> returns: extensions hang on to it.</summary>
public sealed class LoomBuilder
{
    internal LoomBuilder(IServiceCollection services) => Services = services;

    /// <summary>The services that the store was added to.</summary>
    public IServiceCollection Services { get; }

    /// <summary>
    /// Adds work that one process of the fleet does at a time: the one that leads the election of this name, in the same line as <c>etcdctl elect NAME</c>. It begins when the host has started and this process is elected;
    /// a process that dies is followed by another one after <see cref="LeaderServiceOptions.TimeToLive"/>, one that stops in order at once. Several services may be added, each under a name of its own.
    /// </summary>
    /// <param name="name">The election's name, the same in every process; no other one may begin with it and a <c>/</c>.</param>
    /// <param name="configure">Changes the settings.</param>
    /// <typeparam name="T">The service; what its constructor asks for is injected.</typeparam>
    public LoomBuilder AddLeaderService<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] T>(string name, Action<LeaderServiceOptions>? configure = null)
        where T : class, ILeaderService
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var options = new LeaderServiceOptions();
        configure?.Invoke(options);
        options.Check();
        Services.AddSingleton<IHostedService>(provider => new LeaderServiceRunner<T>(provider.GetRequiredService<ILoomStore>(), provider, name, options, provider.GetService<ILoggerFactory>()));
        return this;
    }

    /// <summary>
    /// Lets a host's configuration have the keys under a prefix: <c>config/Logging/Level</c> is <c>Logging:Level</c>. They are there from the moment at which the store is open, which is before hosted services start and after
    /// the host was built: what is read while it is built comes from its other sources. See <see cref="LoomConfigurationOptions"/> for what happens to values that cannot be read, and without a quorum.
    /// </summary>
    /// <param name="configuration">The host's: <c>builder.Configuration</c>.</param>
    /// <param name="prefix">Of the keys, with the separator: <c>config/</c>. Empty: all keys.</param>
    /// <param name="configure">Changes the settings.</param>
    public LoomBuilder AddConfiguration(IConfigurationBuilder configuration, string prefix, Action<LoomConfigurationOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        var source = new StoreConfigurationSource(LoomConfigurationOptions.Create(prefix, configure));
        configuration.Add(source);
        Services.AddSingleton(source);
        return this;
    }
}
