using Loom.Store;
using Loom.Store.Hosting;

#pragma warning disable IDE0130 // extension methods stand where their type does, so that callers find them
namespace Microsoft.Extensions.Configuration;

/// <summary>Configuration from a store that is open.</summary>
public static class LoomConfigurationBuilderExtensions
{
    /// <summary>
    /// Adds the keys under a prefix: <c>config/Logging/Level</c> is <c>Logging:Level</c>. Later changes reload it. For a store that a host opens use <see cref="LoomBuilder.AddConfiguration"/>.
    /// </summary>
    /// <param name="builder">The configuration.</param>
    /// <param name="store">An open store; it stays its caller's.</param>
    /// <param name="prefix">Of the keys, with the separator: <c>config/</c>. Empty: all keys.</param>
    /// <param name="configure">Changes the settings.</param>
    /// <exception cref="LoomException">When the configuration is built: the store serves nothing, or a value is no text (<see cref="LoomConfigurationOptions"/>).</exception>
    public static IConfigurationBuilder AddLoom(this IConfigurationBuilder builder, ILoomStore store, string prefix, Action<LoomConfigurationOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(builder);
        ArgumentNullException.ThrowIfNull(store);
        var source = new StoreConfigurationSource(LoomConfigurationOptions.Create(prefix, configure));
        source.Attach(store);
        return builder.Add(source);
    }
}
