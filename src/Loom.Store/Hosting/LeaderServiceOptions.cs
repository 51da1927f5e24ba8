namespace Loom.Store.Hosting;

/// <summary>Settings of a leader service.</summary>
public sealed class LeaderServiceOptions
{
    /// <summary>
    /// How long a leader that cannot be heard stays one, as <see cref="Collections.LoomLockOptions.TimeToLive"/>. Default 15 s. A leader that is stopped in order hands over at once.
    /// </summary>
    public TimeSpan TimeToLive { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// The datacenter where the work should be done. Default null: anywhere. A leader elsewhere gives way as soon as a candidate from there stands in the line; without one from there the others do it.
    /// </summary>
    public string? PreferredDatacenter { get; set; }

    /// <summary>Pause before this process stands for election again after its service has ended or failed. Doubles while it fails. Default 1 s.</summary>
    public TimeSpan RestartDelay { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>The longest such pause; a term that lasts for longer than this counts as sound. Default 1 min.</summary>
    public TimeSpan MaxRestartDelay { get; set; } = TimeSpan.FromMinutes(1);

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(TimeToLive, TimeSpan.Zero, nameof(TimeToLive));
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(RestartDelay, TimeSpan.Zero, nameof(RestartDelay));
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxRestartDelay, RestartDelay, nameof(MaxRestartDelay));
    }
}
