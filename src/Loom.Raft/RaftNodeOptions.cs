using Loom.Raft.Membership;
using Microsoft.Extensions.Logging;

namespace Loom.Raft;

/// <summary>One member of the initial cluster, as the operator lists it.</summary>
/// <param name="Name">Unique name.</param>
/// <param name="Datacenter">Its datacenter; the name itself where none is given.</param>
/// <param name="Role">Voter or Standby.</param>
/// <param name="PeerUrls">At least one <c>http://host:port</c>, or <c>https://host:port</c> for TLS.</param>
public sealed record InitialMember(string Name, string Datacenter, MemberRole Role, IReadOnlyList<string> PeerUrls);

/// <summary>Settings of a <c>RaftNode</c>. Copied and validated once at open; nothing is required.</summary>
public sealed class RaftNodeOptions
{
    /// <summary>This member's name. Default "default".</summary>
    public string Name { get; set; } = "default";

    /// <summary>This member's datacenter; null: what <see cref="InitialCluster"/> says, else the name. A value that differs from the list is an error.</summary>
    public string? Datacenter { get; set; }

    /// <summary>Data directory. Default "loom-data". Locked for the life of the node.</summary>
    public string DataDirectory { get; set; } = "loom-data";

    /// <summary>All members at formation, this one included; empty: a cluster of this one member, which opens no peer port. Ignored by a used directory (N5).</summary>
    public IReadOnlyList<InitialMember> InitialCluster { get; set; } = [];

    /// <summary>
    /// An empty directory takes no part in forming a cluster: it waits until it can join one that has formed and has a member of its name (etcd: <c>--initial-cluster-state existing</c>). Default false: it
    /// does whichever the others need.
    /// </summary>
    public bool JoinOnly { get; set; }

    /// <summary>Token that keeps clusters apart. Default "loom-cluster".</summary>
    public string ClusterToken { get; set; } = "loom-cluster";

    /// <summary>Where to listen for peers (<c>http://host:port</c>); empty: the advertised ones.</summary>
    public IReadOnlyList<string> ListenPeerUrls { get; set; } = [];

    /// <summary>
    /// TLS of https peer URLs, for the listening side and the dialling one. The certificate must be good for the host of this member's own URL, and for both ends of a connection. Default null: members
    /// speak cleartext.
    /// </summary>
    public TlsOptions? PeerTls { get; set; }

    /// <summary>Where clients reach this member; told to the other members.</summary>
    public IReadOnlyList<string> AdvertiseClientUrls { get; set; } = [];

    /// <summary>Time between heartbeats. Default 100 ms.</summary>
    public TimeSpan HeartbeatInterval { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>Election timeout E: a follower campaigns after a random time in (E, 2E] without a leader. Default 1 s; at least 5 heartbeats.</summary>
    public TimeSpan ElectionTimeout { get; set; } = TimeSpan.FromMilliseconds(1000);

    /// <summary>What a commit must survive; set at formation. Default Majority.</summary>
    public PlacementGoal PlacementGoal { get; set; } = PlacementGoal.Majority;

    /// <summary>Largest payload of one proposal in bytes. Default 2 MiB.</summary>
    public int MaxProposalBytes { get; set; } = 2 * 1024 * 1024;

    /// <summary>
    /// Applied entries after which a checkpoint of the state is taken at the latest; it is also taken after 32 MiB of applied bodies, every 10 s in which something was applied, and at a clean close.
    /// A restart replays at most what came after the last one. Default 100,000, as etcd's <c>--snapshot-count</c>.
    /// </summary>
    public long SnapshotCount { get; set; } = 100_000;

    /// <summary>
    /// Applied entries that stay in the log behind checkpoints, for members that are a little behind; who lacks more gets a snapshot. Default 5,000, as etcd's <c>--snapshot-catchup-entries</c>.
    /// </summary>
    public long SnapshotCatchUpEntries { get; set; } = 5_000;

    /// <summary>
    /// Bytes per second of state that this member sends to members that need a snapshot, all together, while it has nothing else to do; where entries queue for its disk it falls to a quarter.
    /// Default 256 MiB.
    /// </summary>
    public long SnapshotBytesPerSecond { get; set; } = 256 * 1024 * 1024;

    /// <summary>How long a proposal or linearizable read without a deadline of its own may take. Default 7 s: 5 s + 2 election timeouts, as etcd.</summary>
    public TimeSpan RequestTimeout { get; set; } = TimeSpan.FromSeconds(7);

    /// <summary>For tests: frames received from a datacenter are held, in order per peer, for this time (the demo's WAN).</summary>
    public IReadOnlyDictionary<string, TimeSpan> TestPeerDelays { get; set; } = new SortedDictionary<string, TimeSpan>(StringComparer.Ordinal);

    /// <summary>Where logs go; null: nowhere.</summary>
    public ILoggerFactory? LoggerFactory { get; set; }

    /// <summary>
    /// Every fault, as sentences that name the property and the fix; empty when all is well. Opening a node checks the same, but looks at <see cref="InitialCluster"/>
    /// only when it forms one.
    /// </summary>
    public IReadOnlyList<string> Faults() => InitialCluster.Count == 0
        ? RaftNodeOptionsCheck.Faults(this)
        : [.. RaftNodeOptionsCheck.Faults(this), .. InitialConfiguration.Faults(InitialCluster, this)];
}
