using Loom.Store.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Loom.Store;

#pragma warning disable IDE0130 // extension methods stand where their type does, so that callers find them
namespace Microsoft.Extensions.DependencyInjection;

/// <summary>Adds a replica of the store to a host.</summary>
public static class LoomServiceCollectionExtensions
{
    /// <summary>
    /// Adds an <see cref="ILoomStore"/>: opened when the host starts, before its other services; closed when it stops, after them.
    /// Without settings it is a cluster of one with its data in <c>./loom-data</c>. Options are validated at start, all faults in one message.
    /// Health checks: <c>loom-live</c> (tag live), <c>loom-ready</c> (tag ready), <c>loom-quorum</c> (tag quorum).
    /// </summary>
    public static LoomBuilder AddLoom(this IServiceCollection services, Action<LoomOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        OptionsBuilder<LoomOptions> options = services.AddOptions<LoomOptions>();
        if (configure is not null)
        {
            options.Configure(configure);
        }

        return Add(services, options);
    }

    /// <summary>As above, with settings from configuration: the keys are the property names of <see cref="LoomOptions"/>; durations are written <c>00:00:01</c>.</summary>
    public static LoomBuilder AddLoom(this IServiceCollection services, IConfiguration configuration)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(configuration);
        var binder = new LoomConfiguration(configuration);
        OptionsBuilder<LoomOptions> options = services.AddOptions<LoomOptions>().Configure(binder.Bind);
        services.AddSingleton<IValidateOptions<LoomOptions>>(binder);
        return Add(services, options);
    }

    private static LoomBuilder Add(IServiceCollection services, OptionsBuilder<LoomOptions> options)
    {
        options.PostConfigure<IServiceProvider>(static (values, provider) => values.LoggerFactory ??= provider.GetService<ILoggerFactory>());
        options.ValidateOnStart();
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IValidateOptions<LoomOptions>, LoomOptionsValidator>());
        services.TryAddSingleton<HostedStore>();
        services.TryAddSingleton<ILoomStore>(static provider => provider.GetRequiredService<HostedStore>());
        services.TryAddEnumerable(ServiceDescriptor.Singleton<IHostedService, LoomHostedService>());
        services.AddHealthChecks()
            .Add(Check("loom-live", LoomHealthQuestion.Live, "live"))
            .Add(Check("loom-ready", LoomHealthQuestion.Ready, "ready"))
            .Add(Check("loom-quorum", LoomHealthQuestion.Quorum, "quorum"));
        return new LoomBuilder(services);
    }

    private static HealthCheckRegistration Check(string name, LoomHealthQuestion question, string tag) =>
        new(name, provider => new LoomHealthCheck(provider.GetRequiredService<HostedStore>(), question), HealthStatus.Unhealthy, [tag]);
}
