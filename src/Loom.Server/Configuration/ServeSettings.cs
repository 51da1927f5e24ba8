using System.Globalization;
using System.Net;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Server.Etcd;

namespace Loom.Server.Configuration;

/// <summary>The settings of a node, checked: what <see cref="SettingSources"/> gathered, in types. Each fault is one sentence with its fix.</summary>
internal sealed record ServeSettings
{
    public string Name { get; init; } = "default";

    public string? Datacenter { get; init; }

    public string DataDirectory { get; init; } = "loom-data";

    public IReadOnlyList<string> ListenClientUrls { get; init; } = ["http://127.0.0.1:2379"];

    public IReadOnlyList<string> AdvertiseClientUrls { get; init; } = [];

    public IReadOnlyList<string> ListenPeerUrls { get; init; } = [];

    public IReadOnlyList<InitialMember> InitialCluster { get; init; } = [];

    public string ClusterToken { get; init; } = "loom-cluster";

    /// <summary>This member joins a cluster that exists: it must not form one.</summary>
    public bool ExistingCluster { get; init; }

    public TimeSpan HeartbeatInterval { get; init; } = TimeSpan.FromMilliseconds(100);

    public TimeSpan ElectionTimeout { get; init; } = TimeSpan.FromMilliseconds(1000);

    public PlacementGoal PlacementGoal { get; init; } = PlacementGoal.Majority;

    /// <summary>How long frames of a datacenter are held: half of the round trip that was asked for.</summary>
    public IReadOnlyDictionary<string, TimeSpan> TestPeerDelays { get; init; } = new SortedDictionary<string, TimeSpan>(StringComparer.Ordinal);

    /// <summary>As etcd's: 0 is the default, negative is none.</summary>
    public long QuotaBytes { get; init; }

    public long MinFreeDiskBytes { get; init; } = 64L << 20;

    public TimeSpan AutoCompactionPeriod { get; init; }

    public long AutoCompactionRevisions { get; init; }

    public EtcdLimits Limits { get; init; } = new();

    /// <summary>/metrics has the times of calls too.</summary>
    public bool ExtensiveMetrics { get; init; }

    /// <summary>The JSON gateway.</summary>
    public bool EnableGateway { get; init; } = true;

    /// <summary>Origins whose pages may call; *: all.</summary>
    public IReadOnlyList<string> Cors { get; init; } = ["*"];

    /// <summary>Host names that HTTP requests without TLS may name; *: all.</summary>
    public IReadOnlyList<string> HostWhitelist { get; init; } = ["*"];

    public int MaxConcurrentStreams { get; init; } = int.MaxValue;

    public TimeSpan KeepAliveInterval { get; init; } = TimeSpan.FromHours(2);

    public TimeSpan KeepAliveTimeout { get; init; } = TimeSpan.FromSeconds(20);

    /// <summary>TLS of the https URLs of clients; null: there are none.</summary>
    public TlsOptions? ClientTls { get; init; }

    /// <summary>The pair of <see cref="ClientTls"/> is made where there is none.</summary>
    public bool ClientAutoTls { get; init; }

    /// <summary>TLS between members; null: they speak cleartext.</summary>
    public TlsOptions? PeerTls { get; init; }

    /// <summary>The pair of <see cref="PeerTls"/> is made where there is none.</summary>
    public bool PeerAutoTls { get; init; }

    public int SelfSignedYears { get; init; } = 1;

    public LogLevel LogLevel { get; init; } = LogLevel.Information;

    /// <summary>Stop when standard input ends: a node that a demo or test started must not outlive it.</summary>
    /// <summary>Applied entries from checkpoint to checkpoint.</summary>
    public long SnapshotCount { get; init; } = 100_000;

    /// <summary>When a quiet watch is told of progress.</summary>
    public TimeSpan WatchProgressInterval { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>How long a token lives after its last use.</summary>
    public TimeSpan AuthTokenTimeToLive { get; init; } = TimeSpan.FromSeconds(300);

    public int PasswordCost { get; init; } = 10;

    public bool ExitWithInput { get; init; }

    public IReadOnlyList<string> Warnings { get; init; } = [];

    /// <summary>5 s + 2 election timeouts, as etcd's.</summary>
    public TimeSpan RequestTimeout => TimeSpan.FromSeconds(5) + (2 * ElectionTimeout);

    /// <param name="sources">What was given.</param>
    /// <param name="serves">False: members are only named, as by a restore, so https needs no certificate.</param>
    /// <exception cref="ConfigurationException">A setting is wrong.</exception>
    public static ServeSettings From(SettingSources sources, bool serves = true)
    {
        IReadOnlyList<InitialMember> cluster = InitialClusterText.Parse(sources.Text("initial-cluster"));
        string name = sources.Text("name");
        InitialMember? self = Self(cluster, name, sources);
        IReadOnlyList<string> listen = PeerUrl.CheckAll("--listen-client-urls", sources.Text("listen-client-urls"));
        CheckListen("--listen-client-urls", listen);
        IReadOnlyList<string> listenPeers = PeerUrl.CheckAll("--listen-peer-urls", sources.Text("listen-peer-urls"));
        CheckListen("--listen-peer-urls", listenPeers);
        TimeSpan heartbeat = sources.Duration("heartbeat-interval", plainIsMilliseconds: true);
        TimeSpan election = sources.Duration("election-timeout", plainIsMilliseconds: true);
        CheckTimings(heartbeat, election);
        (TimeSpan compactionPeriod, long compactionRevisions) = AutoCompactionText.Parse(sources);
        var clientTls = new TlsSettings(sources, "", "client");
        var peerTls = new TlsSettings(sources, "peer-", "peer");
        return new ServeSettings
        {
            Name = name,
            Datacenter = DatacenterOf(self, sources),
            DataDirectory = sources.Text("data-dir"),
            ListenClientUrls = listen,
            AdvertiseClientUrls = Advertised(sources, listen),
            ListenPeerUrls = listenPeers,

            // A cluster that lists only this member is a cluster of one: it opens no peer port.
            InitialCluster = cluster,
            ClusterToken = sources.Text("initial-cluster-token"),
            ExistingCluster = OneOf(sources, "initial-cluster-state", "new", "existing") == "existing",
            HeartbeatInterval = heartbeat,
            ElectionTimeout = election,
            PlacementGoal = Goal(sources, cluster),
            TestPeerDelays = Delays(sources),
            QuotaBytes = sources.Bytes("quota-backend-bytes", long.MinValue),
            MinFreeDiskBytes = sources.Bytes("min-free-disk-bytes", 0),
            SnapshotCount = sources.Integer("snapshot-count", 1, int.MaxValue),
            AutoCompactionPeriod = compactionPeriod,
            AutoCompactionRevisions = compactionRevisions,
            WatchProgressInterval = WatchProgress(sources),
            Limits = new EtcdLimits
            {
                MaxTxnOperations = sources.Integer("max-txn-ops", 1, 128),
                MaxRequestBytes = sources.Integer("max-request-bytes", 1024, EtcdLimits.MaxRequestBytesLimit),
            },
            ExtensiveMetrics = OneOf(sources, "metrics", "basic", "extensive") == "extensive",
            EnableGateway = SettingSources.ParseBoolean(sources.Text("enable-grpc-gateway")) != false,
            Cors = Words(sources.Text("cors")),
            HostWhitelist = Words(sources.Text("host-whitelist")),
            MaxConcurrentStreams = sources.Integer("max-concurrent-streams", 1, int.MaxValue),
            KeepAliveInterval = sources.Duration("grpc-keepalive-interval", plainIsMilliseconds: false),
            KeepAliveTimeout = sources.Duration("grpc-keepalive-timeout", plainIsMilliseconds: false),
            ClientTls = clientTls.Of(listen, sources.Text("data-dir")),
            ClientAutoTls = clientTls.IsAuto,
            PeerTls = !serves ? null : peerTls.OfMembers(listenPeers.Count > 0 ? listenPeers : self?.PeerUrls ?? [], [.. cluster.SelectMany(m => m.PeerUrls)], sources.Text("data-dir")),
            PeerAutoTls = peerTls.IsAuto,
            SelfSignedYears = sources.Integer("self-signed-cert-validity", 1, 100),
            AuthTokenTimeToLive = TokenTimeToLive(sources),
            PasswordCost = sources.Integer("bcrypt-cost", 4, 31),
            LogLevel = Level(sources),
            ExitWithInput = SettingSources.ParseBoolean(sources.Text("exit-with-stdin")) == true,
            Warnings = sources.Warnings,
        };
    }

    /// <summary>An empty list is etcd's for "all".</summary>
    private static string[] Words(string text) => text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries) is { Length: > 0 } words ? words : ["*"];

    private static TimeSpan WatchProgress(SettingSources sources)
    {
        const string Old = "experimental-watch-progress-notify-interval";
        string name = sources.IsGiven(Old) ? Old : "watch-progress-notify-interval";
        TimeSpan interval = sources.Duration(name, plainIsMilliseconds: false);
        return interval >= TimeSpan.FromMilliseconds(100) && interval <= TimeSpan.FromDays(365) ? interval : throw sources.Bad(name, sources.Text(name), "a duration of at least 100ms, such as 10m");
    }

    private static TimeSpan TokenTimeToLive(SettingSources sources)
    {
        string kind = sources.Text("auth-token");
        return kind == "simple"
            ? TimeSpan.FromSeconds(sources.Integer("auth-token-ttl", 1, 365 * 24 * 3600))
            : throw new ConfigurationException($"--auth-token is '{kind}'{sources.Origin("auth-token")}, and this version makes simple tokens only", "leave it out, or write --auth-token simple");
    }

    private static InitialMember? Self(IReadOnlyList<InitialMember> cluster, string name, SettingSources sources)
    {
        if (cluster.Count == 0)
        {
            return null;
        }

        InitialMember self = cluster.FirstOrDefault(m => m.Name == name) ?? throw new ConfigurationException(
            $"this member's name '{name}'{sources.Origin("name")} is not in --initial-cluster ({string.Join(", ", cluster.Select(m => m.Name))})",
            "set --name to one of the listed names, or add this member to the list on every member");
        IReadOnlyList<string> advertised = PeerUrl.CheckAll("--initial-advertise-peer-urls", sources.Text("initial-advertise-peer-urls"));
        if (advertised.Count > 0 && !advertised.Order(StringComparer.Ordinal).SequenceEqual(self.PeerUrls.Order(StringComparer.Ordinal)))
        {
            throw new ConfigurationException(
                $"--initial-cluster has {string.Join(" and ", self.PeerUrls)} for {name}, but --initial-advertise-peer-urls has {string.Join(" and ", advertised)}",
                "make them equal, or leave --initial-advertise-peer-urls out");
        }

        return self;
    }

    private static string? DatacenterOf(InitialMember? self, SettingSources sources)
    {
        string? given = sources.IsGiven("datacenter") ? sources.Text("datacenter") : null;
        if (self is not null && given is not null && given != self.Datacenter)
        {
            throw new ConfigurationException(
                $"--datacenter is {given}{sources.Origin("datacenter")}, but --initial-cluster puts {self.Name} into {self.Datacenter}",
                $"write {self.Name}@{given} in --initial-cluster on every member, or leave --datacenter out");
        }

        return given ?? self?.Datacenter;
    }

    private static void CheckListen(string setting, IReadOnlyList<string> urls)
    {
        if (urls.GroupBy(url => new Uri(url).Authority, StringComparer.Ordinal).FirstOrDefault(same => same.Count() > 1 && new Uri(same.First()).Port != 0) is { } twice)
        {
            throw new ConfigurationException($"{setting} has {string.Join(" and ", twice)}: one port serves either with TLS or without", "give each a port of its own");
        }

        foreach (string url in urls)
        {
            string host = new Uri(url).Host.Trim('[', ']');
            if (host != "localhost" && !IPAddress.TryParse(host, out _))
            {
                throw new ConfigurationException($"{setting} has {url}: a name cannot be listened on", "write the machine's IP address, 127.0.0.1 or 0.0.0.0");
            }
        }
    }

    /// <summary>A wildcard address means nothing to a client, so the machine's name stands in for it.</summary>
    private static IReadOnlyList<string> Advertised(SettingSources sources, IReadOnlyList<string> listen) => sources.IsGiven("advertise-client-urls")
        ? PeerUrl.CheckAll("--advertise-client-urls", sources.Text("advertise-client-urls"))
        : [.. listen.Select(url => new Uri(url) is { Host: "0.0.0.0" or "[::]" } wild ? $"{wild.Scheme}://{Dns.GetHostName()}:{wild.Port}" : url).Distinct(StringComparer.Ordinal)];

    private static void CheckTimings(TimeSpan heartbeat, TimeSpan election)
    {
        if (heartbeat < TimeSpan.FromMilliseconds(1))
        {
            throw new ConfigurationException("--heartbeat-interval is below 1 ms", "set it near the round trip between the members, e.g. 100");
        }

        if (election < 5 * heartbeat)
        {
            throw new ConfigurationException(
                $"--election-timeout ({election.TotalMilliseconds} ms) is less than 5 heartbeats of {heartbeat.TotalMilliseconds} ms",
                $"set --election-timeout to at least {5 * heartbeat.TotalMilliseconds}, better {10 * heartbeat.TotalMilliseconds}");
        }

        if (election > TimeSpan.FromSeconds(50))
        {
            throw new ConfigurationException("--election-timeout is more than 50000 ms", "set it to about ten times the longest round trip between members");
        }
    }

    private static PlacementGoal Goal(SettingSources sources, IReadOnlyList<InitialMember> cluster)
    {
        if (OneOf(sources, "placement-goal", "majority", "two-datacenters") == "majority")
        {
            return PlacementGoal.Majority;
        }

        string[] datacenters = [.. cluster.Where(m => m.Role == MemberRole.Voter).Select(m => m.Datacenter).Distinct(StringComparer.Ordinal)];
        return datacenters.Length >= 2
            ? PlacementGoal.TwoDatacenters
            : throw new ConfigurationException(
                "--placement-goal two-datacenters needs voters in two datacenters, and all are in one", "put a voter into another datacenter, or leave the goal out");
    }

    private static SortedDictionary<string, TimeSpan> Delays(SettingSources sources)
    {
        var delays = new SortedDictionary<string, TimeSpan>(StringComparer.Ordinal);
        string text = sources.Text("test-peer-delay");
        foreach (string part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            int equals = part.IndexOf('=', StringComparison.Ordinal);
            if (equals <= 0 || !double.TryParse(part[(equals + 1)..], NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double roundTrip) || roundTrip > 60_000)
            {
                throw sources.Bad("test-peer-delay", text, "DC=MS,DC=MS");
            }

            // Both ends hold what they receive, so each holds half of the round trip.
            delays[part[..equals]] = TimeSpan.FromMilliseconds(roundTrip / 2);
        }

        return delays;
    }

    private static LogLevel Level(SettingSources sources) => sources.Text("log-level").ToUpperInvariant() switch
    {
        "DEBUG" => LogLevel.Debug,
        "INFO" => LogLevel.Information,
        "WARN" or "WARNING" => LogLevel.Warning,
        "ERROR" or "PANIC" or "FATAL" or "DPANIC" => LogLevel.Error,
        _ => throw sources.Bad("log-level", sources.Text("log-level"), "debug, info, warn or error"),
    };

    private static string OneOf(SettingSources sources, string name, string first, string second)
    {
        string text = sources.Text(name);
        return text == first || text == second ? text : throw sources.Bad(name, text, $"{first} or {second}");
    }
}
