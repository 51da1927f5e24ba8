using Loom.Server.Configuration;
using Loom.Store;

namespace Loom.Server.Hosting;

/// <summary>Opens the store of a node with its settings.</summary>
internal static class StoreOpening
{
    public static async Task<ILoomStore> OpenAsync(ServeSettings settings, ILoggerFactory loggers, CancellationToken cancellationToken) =>
        await LoomStore.OpenAsync(Options(settings, loggers), cancellationToken).ConfigureAwait(false);

    internal static LoomOptions Options(ServeSettings settings, ILoggerFactory? loggers) => new()
    {
        Name = settings.Name,
        Datacenter = settings.Datacenter,
        DataDirectory = settings.DataDirectory,
        InitialCluster = settings.InitialCluster,
        JoinOnly = settings.ExistingCluster,
        ClusterToken = settings.ClusterToken,
        ListenPeerUrls = settings.ListenPeerUrls,
        PeerTls = settings.PeerTls,
        AdvertiseClientUrls = settings.AdvertiseClientUrls,
        HeartbeatInterval = settings.HeartbeatInterval,
        ElectionTimeout = settings.ElectionTimeout,
        PlacementGoal = settings.PlacementGoal,
        QuotaBytes = settings.QuotaBytes,
        MinFreeDiskBytes = settings.MinFreeDiskBytes,
        SnapshotCount = settings.SnapshotCount,
        AutoCompactionPeriod = settings.AutoCompactionPeriod,
        AutoCompactionRevisions = settings.AutoCompactionRevisions,
        WatchProgressInterval = settings.WatchProgressInterval,
        AuthTokenTimeToLive = settings.AuthTokenTimeToLive,
        PasswordCost = settings.PasswordCost,
        RequestTimeout = settings.RequestTimeout,
        MaxRequestBytes = settings.Limits.MaxEncodedBytes,
        TestPeerDelays = settings.TestPeerDelays,
        LoggerFactory = loggers,
    };
}
