using Loom.Raft;
using Loom.Raft.Membership;
using Microsoft.Extensions.Logging;

namespace Loom.Store;

/// <summary>
/// Settings of a store. Nothing is required: without any, it is a cluster of one member with its data in <c>./loom-data</c>.
/// Copied and validated once at open; all faults come in one message.
/// </summary>
public sealed class LoomOptions
{
    /// <summary>This member's name, unique in the cluster. Default "default".</summary>
    public string Name { get; set; } = "default";

    /// <summary>This member's datacenter. Default null: what <see cref="InitialCluster"/> says, else the name. A value that differs from the list is an error.</summary>
    public string? Datacenter { get; set; }

    /// <summary>Directory of everything this member keeps; locked while the store is open. Default "loom-data".</summary>
    public string DataDirectory { get; set; } = "loom-data";

    /// <summary>All members at formation, this one included. Default empty: a cluster of this one member, which opens no peer port. A list must be sound; otherwise a directory that belongs to a cluster already ignores it.</summary>
    public IReadOnlyList<InitialMember> InitialCluster { get; set; } = [];

    /// <summary>
    /// An empty directory takes no part in forming a cluster: it waits until it can join one that has formed and has a member of its name (etcd: <c>--initial-cluster-state existing</c>). Default false: it
    /// does whichever the others need.
    /// </summary>
    public bool JoinOnly { get; set; }

    /// <summary>Token that keeps clusters apart. Default "loom-cluster".</summary>
    public string ClusterToken { get; set; } = "loom-cluster";

    /// <summary>Where to listen for peers (<c>http://host:port</c>). Default empty: this member's own addresses in <see cref="InitialCluster"/>.</summary>
    public IReadOnlyList<string> ListenPeerUrls { get; set; } = [];

    /// <summary>
    /// TLS between members, for https URLs in <see cref="InitialCluster"/> and <see cref="ListenPeerUrls"/>. The certificate must be good for the host of this member's own URL, and for both ends of a
    /// connection (server and client authentication). Default null: members speak cleartext.
    /// </summary>
    public TlsOptions? PeerTls { get; set; }

    /// <summary>Where clients reach this member; told to the other members. Default empty.</summary>
    public IReadOnlyList<string> AdvertiseClientUrls { get; set; } = [];

    /// <summary>Time between heartbeats. Default 100 ms; at least 1 ms. Near the round trip between the members is right.</summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>A follower campaigns after one to two of these without a leader. Default 1 s; at least 5 heartbeats, at most 50 s.</summary>
    public TimeSpan ElectionTimeout { get; set; } = TimeSpan.FromMilliseconds(1000);

    /// <summary>What a commit must survive; set at formation. Default Majority.</summary>
    public PlacementGoal PlacementGoal { get; set; } = PlacementGoal.Majority;

    /// <summary>How long a write, a linearizable read or a wait for a revision may take. Default 7 s: 5 s and two election timeouts.</summary>
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(7);

    /// <summary>The largest value of <see cref="MaxRequestBytes"/>: 1.75 MiB. A record must fit the record store.</summary>
    public const int MaxRequestBytesLimit = 1792 * 1024;

    /// <summary>Largest write in bytes, as encoded for the log. Default 1.5 MiB (1,572,864); at most <see cref="MaxRequestBytesLimit"/>.</summary>
    public int MaxRequestBytes { get; set; } = 1536 * 1024;

    /// <summary>Memory for records in bytes; older ones are read from disk. Rounded down to a power of two. Default 64 MiB; at least 16 MiB.</summary>
    public long RecordMemoryBytes { get; set; } = 64L << 20;

    /// <summary>Memory for the hash index of records in bytes, 16 per record to be comfortable. Rounded down to a power of two. Default 32 MiB; at least 1 MiB.</summary>
    public long RecordIndexBytes { get; set; } = 32L << 20;

    /// <summary>
    /// Applied entries after which a checkpoint of the state is taken at the latest; one is also taken after 32 MiB of writes, every 10 s in which something was written, and at a clean close.
    /// A restart replays what came after the last one. Default 100,000, as etcd's <c>--snapshot-count</c>; at least 1.
    /// </summary>
    public long SnapshotCount { get; set; } = 100_000;

    /// <summary>
    /// Applied entries that stay in the log behind checkpoints, for members that are a little behind; who lacks more gets a snapshot. Default 5,000, as etcd's <c>--snapshot-catchup-entries</c>; at least 0.
    /// </summary>
    public long SnapshotCatchUpEntries { get; set; } = 5_000;

    /// <summary>
    /// Bytes per second of state that this member sends to members that need a snapshot, all together, while it has nothing else to do; where writes queue for its disk it falls to a quarter.
    /// Default 256 MiB; at least 1 MiB.
    /// </summary>
    public long SnapshotBytesPerSecond { get; set; } = 256L << 20;

    /// <summary>
    /// Most bytes of state (keys, values and what of the history is not compacted, on one replica), as etcd's <c>--quota-backend-bytes</c>. At the limit puts are refused
    /// (<see cref="LoomErrorCode.NoSpace"/>) until a tenth of it, at most 64 MiB, is free again; deletes, compactions and all else go on. Default 0: 2 GiB. Negative: no limit.
    /// The same on every member, or the smallest counts.
    /// </summary>
    public long QuotaBytes { get; set; }

    /// <summary>
    /// Free bytes of the file system of <see cref="DataDirectory"/> below which this member counts as short of disk: it leads no more where another voter can, and puts are refused once the
    /// voters that have space cannot commit without the others. Default 64 MiB; 0: do not look.
    /// </summary>
    public long MinFreeDiskBytes { get; set; } = 64L << 20;

    /// <summary>Compacts history older than this by itself, as etcd's <c>--auto-compaction-mode periodic</c>. Default zero: never. At least 1 s.</summary>
    public TimeSpan AutoCompactionPeriod { get; set; }

    /// <summary>Compacts all but the newest so many revisions by itself, every five minutes, as etcd's <c>--auto-compaction-mode revision</c>. Default 0: never. Not together with a period.</summary>
    public long AutoCompactionRevisions { get; set; }

    /// <summary>
    /// A watch that asked for progress is told after this time without an event (and up to a tenth more), as with etcd's <c>--experimental-watch-progress-notify-interval</c>. Default 10 min;
    /// at least 100 ms.
    /// </summary>
    public TimeSpan WatchProgressInterval { get; set; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a token lives after it was used last on a member, as etcd's <c>--auth-token-ttl</c>. Default 300 s; at least 1 s, at most a year.</summary>
    public TimeSpan AuthTokenTimeToLive { get; set; } = TimeSpan.FromSeconds(300);

    /// <summary>Cost of hashing a password, as etcd's <c>--bcrypt-cost</c>: each more doubles the time it takes. Default 10, about 50 ms; 4 to 31.</summary>
    public int PasswordCost { get; set; } = 10;

    /// <summary>For tests: frames received from a datacenter are held, in order per peer, for this time. Default empty.</summary>
    public IReadOnlyDictionary<string, TimeSpan> TestPeerDelays { get; set; } = new SortedDictionary<string, TimeSpan>(StringComparer.Ordinal);

    /// <summary>Where logs go. Default null: nowhere.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }

    /// <summary>What <see cref="QuotaBytes"/> stands for; 0: no limit.</summary>
    internal long EffectiveQuotaBytes => QuotaBytes switch
    {
        < 0 => 0,
        0 => 2L << 30,
        _ => QuotaBytes,
    };

    /// <summary>For tests: throws in place of a full disk.</summary>
    internal Action<long>? BeforeAllocateRecords { get; set; }

    internal LoomOptions Copy() => (LoomOptions)MemberwiseClone();

    internal RaftNodeOptions ToRaft() => new()
    {
        Name = Name,
        Datacenter = Datacenter,
        DataDirectory = DataDirectory,
        InitialCluster = InitialCluster,
        JoinOnly = JoinOnly,
        ClusterToken = ClusterToken,
        ListenPeerUrls = ListenPeerUrls,
        PeerTls = PeerTls,
        AdvertiseClientUrls = AdvertiseClientUrls,
        HeartbeatInterval = HeartbeatInterval,
        ElectionTimeout = ElectionTimeout,
        PlacementGoal = PlacementGoal,
        MaxProposalBytes = Math.Min(MaxRequestBytes, MaxRequestBytesLimit) + (512 * 1024),
        SnapshotCount = SnapshotCount,
        SnapshotCatchUpEntries = SnapshotCatchUpEntries,
        SnapshotBytesPerSecond = SnapshotBytesPerSecond,
        RequestTimeout = RequestTimeout,
        TestPeerDelays = TestPeerDelays,
        LoggerFactory = LoggerFactory,
    };

    /// <summary>Every fault, as sentences that name the property and the fix; empty when all is well.</summary>
    internal List<string> Faults()
    {
        List<string> faults = [.. ToRaft().Faults()];
        if (MaxRequestBytes is < 1024 or > MaxRequestBytesLimit)
        {
            faults.Add($"MaxRequestBytes is {MaxRequestBytes}: use 1024 to {MaxRequestBytesLimit} (a record must fit the record store).");
        }

        if (RecordMemoryBytes < 16L << 20)
        {
            faults.Add($"RecordMemoryBytes is {RecordMemoryBytes}: use at least 16,777,216.");
        }

        if (RecordIndexBytes < 1L << 20)
        {
            faults.Add($"RecordIndexBytes is {RecordIndexBytes}: use at least 1,048,576.");
        }

        if (MinFreeDiskBytes < 0)
        {
            faults.Add($"MinFreeDiskBytes is {MinFreeDiskBytes}: use 0 to leave disks unwatched, or at least 67,108,864.");
        }

        if (WatchProgressInterval < TimeSpan.FromMilliseconds(100) || WatchProgressInterval > TimeSpan.FromDays(365))
        {
            faults.Add($"WatchProgressInterval is {WatchProgressInterval.TotalMilliseconds} ms: use at least 100 ms, and at most a year.");
        }

        if (AuthTokenTimeToLive < TimeSpan.FromSeconds(1) || AuthTokenTimeToLive > TimeSpan.FromDays(365))
        {
            faults.Add($"AuthTokenTimeToLive is {AuthTokenTimeToLive.TotalSeconds} s: use at least 1 s, and at most a year.");
        }

        if (PasswordCost is < 4 or > 31)
        {
            faults.Add($"PasswordCost is {PasswordCost}: use 4 to 31; 10 is the default.");
        }

        if (AutoCompactionPeriod != TimeSpan.Zero && AutoCompactionPeriod < TimeSpan.FromSeconds(1))
        {
            faults.Add($"AutoCompactionPeriod is {AutoCompactionPeriod.TotalMilliseconds} ms: use zero for never, or at least one second.");
        }

        if (AutoCompactionRevisions < 0 || (AutoCompactionRevisions > 0 && AutoCompactionPeriod != TimeSpan.Zero))
        {
            faults.Add($"AutoCompactionRevisions is {AutoCompactionRevisions}: use 0 for never, or a number of revisions without AutoCompactionPeriod.");
        }

        return faults;
    }
}
