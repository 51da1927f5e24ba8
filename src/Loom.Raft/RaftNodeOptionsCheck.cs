namespace Loom.Raft;

/// <summary>Copies the options once at open, so that later changes of the caller's object change nothing, and refuses what cannot work.</summary>
internal static class RaftNodeOptionsCheck
{
    public static RaftNodeOptions CopyAndValidate(RaftNodeOptions options)
    {
        List<string> faults = Faults(options);
        if (faults.Count > 0) throw new RaftException(RaftErrorCode.CannotOpen, "The options cannot be used. " + string.Join(" ", faults));
        return new RaftNodeOptions
        {
            Name = options.Name,
            Datacenter = options.Datacenter,
            DataDirectory = options.DataDirectory,
            InitialCluster = [.. options.InitialCluster],
            JoinOnly = options.JoinOnly,
            ClusterToken = options.ClusterToken,
            ListenPeerUrls = [.. options.ListenPeerUrls],
            PeerTls = options.PeerTls?.Copy(),
            AdvertiseClientUrls = [.. options.AdvertiseClientUrls],
            HeartbeatInterval = options.HeartbeatInterval,
            ElectionTimeout = options.ElectionTimeout,
            PlacementGoal = options.PlacementGoal,
            MaxProposalBytes = options.MaxProposalBytes,
            SnapshotCount = options.SnapshotCount,
            SnapshotCatchUpEntries = options.SnapshotCatchUpEntries,
            SnapshotBytesPerSecond = options.SnapshotBytesPerSecond,
            RequestTimeout = options.RequestTimeout,
            TestPeerDelays = new SortedDictionary<string, TimeSpan>(options.TestPeerDelays.ToDictionary(), StringComparer.Ordinal),
            LoggerFactory = options.LoggerFactory,
        };
    }

    /// <summary>Faults of the single settings; those of the list of members are in <see cref="Membership.InitialConfiguration"/>, because a used directory ignores the list (N5).</summary>
    public static List<string> Faults(RaftNodeOptions options)
    {
        List<string> faults = [];
        if (string.IsNullOrWhiteSpace(options.Name)) faults.Add("Name is empty: give this member a name that no other member has.");
        if (string.IsNullOrWhiteSpace(options.DataDirectory)) faults.Add("DataDirectory is empty: name a directory on a local disk.");
        if (options.Datacenter is not null && string.IsNullOrWhiteSpace(options.Datacenter)) faults.Add("Datacenter is blank: leave it null or name one.");
        if (options.PeerTls is { } tls && (tls.CertificateFile.Length == 0 || tls.KeyFile.Length == 0)) faults.Add("PeerTls needs both CertificateFile and KeyFile: name the certificate and its private key.");
        if (options.PeerTls is null && options.ListenPeerUrls.Any(url => url.StartsWith("https:", StringComparison.OrdinalIgnoreCase)))
            faults.Add("ListenPeerUrls has an https address and PeerTls is null: set PeerTls, or write http://.");
        if (options.HeartbeatInterval < TimeSpan.FromMilliseconds(1))
            faults.Add($"HeartbeatInterval is {options.HeartbeatInterval.TotalMilliseconds} ms: use at least 1 ms, such as 100 ms.");
        if (options.ElectionTimeout < 5 * options.HeartbeatInterval)
            faults.Add($"ElectionTimeout is {options.ElectionTimeout.TotalMilliseconds} ms: use at least 5 heartbeats ({5 * options.HeartbeatInterval.TotalMilliseconds} ms).");
        if (options.ElectionTimeout > TimeSpan.FromSeconds(50)) faults.Add($"ElectionTimeout is {options.ElectionTimeout.TotalMilliseconds} ms: use at most 50,000 ms.");
        if (options.RequestTimeout <= TimeSpan.Zero) faults.Add($"RequestTimeout is {options.RequestTimeout.TotalMilliseconds} ms: use more than zero, such as 7 s.");
        if (options.SnapshotCatchUpEntries < 0) faults.Add($"SnapshotCatchUpEntries is {options.SnapshotCatchUpEntries}: use 0 or more, such as 5,000.");
        if (options.SnapshotBytesPerSecond < 1024 * 1024) faults.Add($"SnapshotBytesPerSecond is {options.SnapshotBytesPerSecond}: use at least 1 MiB, such as 256 MiB (268,435,456).");
        if (options.SnapshotCount < 1) faults.Add($"SnapshotCount is {options.SnapshotCount}: use at least 1, such as 100,000.");
        if (options.MaxProposalBytes is < 1024 or > 64 * 1024 * 1024) faults.Add($"MaxProposalBytes is {options.MaxProposalBytes}: use 1 KiB to 64 MiB.");
        return faults;
    }
}
