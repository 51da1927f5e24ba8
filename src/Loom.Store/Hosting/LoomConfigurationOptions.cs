namespace Loom.Store.Hosting;

/// <summary>
/// How keys of the store become configuration. Values are UTF-8 text; they are read from this process's replica, so no network call is made and no quorum is needed, and what others change arrives by a watch: added, changed and
/// deleted keys, a transaction's at once.
/// </summary>
/// <remarks>
/// <b>Start.</b> A replica that is cut off gives what it knows, and follows when it is back. A store that serves nothing (closed, failed, or without a state yet) is an error of the load, unless <see cref="Optional"/>.
/// <b>Values that are no text.</b> At the load an error that names the key (LOOM1072); in a later change that key keeps its last value, or stays absent, everything else is taken over, and <see cref="OnFault"/> is told.
/// <b>Listeners that throw</b> (a change token's callback, an option's validation) end nothing: the data is taken over, <see cref="OnFault"/> is told (LOOM1072), and the next change is followed.
/// Keys that differ only in case are one to configuration: the one that is last in key order counts.
/// </remarks>
public sealed class LoomConfigurationOptions
{
    private LoomConfigurationOptions(string prefix) => Prefix = prefix;

    /// <summary>What the keys begin with; not part of the configuration's keys.</summary>
    public string Prefix { get; }

    /// <summary>What stands for <c>:</c> in the store's keys. Default <c>/</c>.</summary>
    public char Separator { get; set; } = '/';

    /// <summary>A store that serves nothing gives an empty configuration, which is filled when it does (it is asked once a second). Default false: the load throws.</summary>
    public bool Optional { get; set; }

    /// <summary>Told of what goes wrong after the load; configuration has no log of its own. The close of the store is nothing wrong. Called from the thread that follows the store; what it throws is nobody's. Default null.</summary>
    public Action<LoomException>? OnFault { get; set; }

    internal static LoomConfigurationOptions Create(string prefix, Action<LoomConfigurationOptions>? configure)
    {
        ArgumentNullException.ThrowIfNull(prefix);
        var options = new LoomConfigurationOptions(prefix);
        configure?.Invoke(options);
        return options;
    }
}
