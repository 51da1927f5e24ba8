using Microsoft.Extensions.Logging;

namespace Loom.Store.Collections;

/// <summary>Settings of locks and elections.</summary>
public sealed class LoomLockOptions
{
    /// <summary>
    /// How long a holder that cannot be heard keeps its place: the time to live of the lease under its claim, renewed three times as often. Default 15 s; whole seconds, at least one and a half election timeouts (2 s).
    /// Longer rides out longer interruptions, shorter lets another one take over sooner. Whatever it is, a holder that could renew nothing for 30 days takes its hold for lost.
    /// </summary>
    public TimeSpan TimeToLive { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>The clock of renewals. Default: the system's, counted so that a suspended machine knows how long it slept.</summary>
    public TimeProvider TimeProvider { get; set; } = TimeProvider.System;

    /// <summary>Where a lost hold is logged. Default null: nowhere.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }

    internal LoomLockOptions Copy() => (LoomLockOptions)MemberwiseClone();

    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(TimeToLive, TimeSpan.Zero, nameof(TimeToLive));
        ArgumentNullException.ThrowIfNull(TimeProvider);
    }
}
