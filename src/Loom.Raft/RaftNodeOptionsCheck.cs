namespace Loom.Raft;

/// <summary>Copies the options once at open, so that later changes of the caller's object change nothing, and refuses what cannot work.</summary>
internal static class RaftNodeOptionsCheck
{
    public static RaftNodeOptions CopyAndValidate(RaftNodeOptions options)
    {
        if (string.IsNullOrWhiteSpace(options.Name)) throw Cannot("the name is empty");
        if (string.IsNullOrWhiteSpace(options.DataDirectory)) throw Cannot("the data directory is empty");
        if (options.HeartbeatInterval < TimeSpan.FromMilliseconds(1)) throw Cannot("the heartbeat interval is below 1 ms");
        if (options.ElectionTimeout < 5 * options.HeartbeatInterval)
            throw Cannot($"the election timeout of {options.ElectionTimeout.TotalMilliseconds} ms is below five heartbeat intervals of {options.HeartbeatInterval.TotalMilliseconds} ms");
        if (options.ElectionTimeout > TimeSpan.FromSeconds(50)) throw Cannot("the election timeout is above 50 s");
        if (options.RequestTimeout <= TimeSpan.Zero) throw Cannot("the request timeout is not positive");
        if (options.MaxProposalBytes is < 1024 or > 64 * 1024 * 1024) throw Cannot("the largest proposal must be between 1 KiB and 64 MiB");
        return new RaftNodeOptions
        {
            Name = options.Name,
            Datacenter = options.Datacenter,
            DataDirectory = options.DataDirectory,
            InitialCluster = [.. options.InitialCluster],
            ClusterToken = options.ClusterToken,
            ListenPeerUrls = [.. options.ListenPeerUrls],
            AdvertiseClientUrls = [.. options.AdvertiseClientUrls],
            HeartbeatInterval = options.HeartbeatInterval,
            ElectionTimeout = options.ElectionTimeout,
            PlacementGoal = options.PlacementGoal,
            MaxProposalBytes = options.MaxProposalBytes,
            RequestTimeout = options.RequestTimeout,
            TestPeerDelays = new SortedDictionary<string, TimeSpan>(options.TestPeerDelays.ToDictionary(), StringComparer.Ordinal),
            LoggerFactory = options.LoggerFactory,
        };
    }

    private static RaftException Cannot(string why) => new(RaftErrorCode.CannotOpen, $"The options cannot be used: {why}.");
}
