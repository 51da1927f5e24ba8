using Loom.Server.Etcd;
using static Loom.Server.Configuration.SettingKind;
using static Loom.Server.Configuration.SettingUse;

namespace Loom.Server.Configuration;

/// <summary>Every setting that <c>loom serve</c> knows: ours, and all flags of etcd 3.4 and 3.5.</summary>
internal static class SettingTable
{
    private const string NoRevocation = "lists of revoked certificates are not looked at: renew the CA without the certificate instead";
    private const string NoDiscovery = "list the members in --initial-cluster instead";

    public static IReadOnlyList<Setting> All { get; } =
    [
        // Member
        new("name", Text, Works, "default", "name of this member, unique in the cluster"),
        new("data-dir", Text, Works, "loom-data", "directory of this member's data"),
        new("listen-client-urls", Text, Works, "http://127.0.0.1:2379", "where to serve clients (gRPC and HTTP on one port)"),
        new("advertise-client-urls", Text, Works, "", "where clients reach this member (default: the listen URLs)"),
        new("heartbeat-interval", Milliseconds, Works, "100", "time between the leader's heartbeats, ms"),
        new("election-timeout", Milliseconds, Works, "1000", "silence after which a new leader is elected, ms; at least 5 heartbeats"),
        new("max-txn-ops", Integer, Works, "128", "most operations in a transaction; at most 128"),
        new("max-request-bytes", Integer, Works, "1572864", $"largest request, bytes; at most {EtcdLimits.MaxRequestBytesLimit}"),
        new("max-concurrent-streams", Integer, Works, "2147483647", "most streams per client connection"),
        new("grpc-keepalive-interval", Duration, Works, "2h", "silence after which a client connection is pinged"),
        new("grpc-keepalive-timeout", Duration, Works, "20s", "time after a ping until a silent connection is closed"),
        new("quota-backend-bytes", Integer, Works, "0", "most bytes of keys, values and history; 0: 2 GiB, negative: no limit"),
        new("min-free-disk-bytes", Integer, Works, "67108864", "free bytes of the data directory's file system below which this member is short of disk; 0: do not look"),
        new(AutoCompactionText.Mode, Text, Works, "periodic", "periodic or revision: what --auto-compaction-retention counts"),
        new(AutoCompactionText.Retention, Text, Works, "0", "history to keep: hours or a duration such as 30m, or a number of revisions; 0: all"),
        new("snapshot-count", Integer, Works, "100000", "applied entries after which a checkpoint of the state is taken at the latest; a restart replays what came after the last one"),
        new("watch-progress-notify-interval", Duration, Works, "10m", "silence after which a watch that asked for progress is told; at least 100ms"),
        new("experimental-watch-progress-notify-interval", Duration, Works, "", "the name of --watch-progress-notify-interval in etcd 3.4 and 3.5"),
        new("enable-grpc-gateway", SettingKind.Boolean, Works, "true", "serve the API as JSON too, under /v3/"),
        new("metrics", Text, Works, "basic", "basic, or extensive: with the times of calls"),
        new("cors", Text, Works, "*", "origins whose pages may call, comma-separated; *: all"),
        new("host-whitelist", Text, Works, "*", "host names that HTTP requests without TLS may name, comma-separated; *: all"),
        new("auth-token", Text, Works, "simple", "kind of the tokens that callers get for their password: simple"),
        new("auth-token-ttl", Integer, Works, "300", "seconds after its last use in which a token ends"),
        new("bcrypt-cost", Integer, Works, "10", "cost of hashing a password, 4 to 31; each more doubles the time"),
        new("log-level", Text, Works, "info", "debug, info, warn or error"),
        new("config-file", Text, Works, "", "JSON file with settings, keyed by flag name; flags and variables win over it"),

        // TLS
        new("cert-file", Text, Works, "", "certificate for https listen-client-urls, PEM; renewed files are picked up without a restart"),
        new("key-file", Text, Works, "", "its private key, PEM without a passphrase"),
        new("client-cert-auth", SettingKind.Boolean, Works, "false", "clients must show a certificate"),
        new("trusted-ca-file", Text, Works, "", "CA of the clients' certificates, PEM; naming it asks for one"),
        new("client-cert-allowed-hostname", Text, Works, "", "host name that a client's certificate must be good for"),
        new("auto-tls", SettingKind.Boolean, Works, "false", "make a certificate that signed itself, in the data directory"),
        new("peer-cert-file", Text, Works, "", "certificate for https peer URLs, PEM, good for both ends of a connection and for the host of this member's peer URL"),
        new("peer-key-file", Text, Works, "", "its private key, PEM without a passphrase"),
        new("peer-client-cert-auth", SettingKind.Boolean, Works, "false", "members must show a certificate when they dial this one"),
        new("peer-trusted-ca-file", Text, Works, "", "CA of the members' certificates, PEM; naming it asks for one"),
        new("peer-cert-allowed-cn", Text, Works, "", "common name that a member's certificate must have"),
        new("peer-cert-allowed-hostname", Text, Works, "", "host name that a member's certificate must be good for"),
        new("peer-auto-tls", SettingKind.Boolean, Works, "false", "make a certificate that signed itself: members are encrypted, but not checked"),
        new("self-signed-cert-validity", Integer, Works, "1", "years for which certificates of --auto-tls and --peer-auto-tls are good"),
        new(TlsSettings.MinimumVersion, Text, Works, "TLS1.2", "TLS1.2 or TLS1.3"),
        new(TlsSettings.MaximumVersion, Text, Works, "", "TLS1.2 or TLS1.3 (default: the highest)"),
        new(TlsSettings.Suites, Text, Works, "", "suites of TLS 1.2 that may be used, with commas (default: the system's)"),

        // Cluster
        new("datacenter", Text, Works, "", "datacenter of this member (default: what --initial-cluster says)"),
        new("initial-cluster", Text, Works, "", "all members at formation: name@datacenter=url,name@datacenter/standby=url,..."),
        new("initial-cluster-token", Text, Works, "loom-cluster", "keeps clusters apart"),
        new("initial-cluster-state", Text, Works, "new", "new or existing"),
        new("listen-peer-urls", Text, Works, "", "where to listen for members (default: the advertised ones)"),
        new("initial-advertise-peer-urls", Text, Works, "", "where members reach this one (default: its entry in --initial-cluster)"),
        new("placement-goal", Text, Works, "majority", "majority, or two-datacenters: a commit needs voters of two datacenters"),
        new("exit-with-stdin", SettingKind.Boolean, Hidden, "false", "stop when standard input ends: for parents that may be killed"),
        new("test-peer-delay", Text, Hidden, "", "DC=MS,...: round-trip time to add to frames from that datacenter"),

        // etcd's, without a meaning here
        .. Ignore(
            "wal-dir", "max-snapshots", "max-wals", "initial-election-tick-advance", "backend-batch-interval", "backend-batch-limit",
            "backend-bbolt-freelist-type", "grpc-keepalive-min-time", "socket-reuse-port", "socket-reuse-address", "raft-read-timeout", "raft-write-timeout",
            "strict-reconfig-check", "pre-vote", "enable-v2",
            "v2-deprecation", "discovery-fallback", "discovery-proxy",
            "enable-pprof", "listen-metrics-urls", "logger", "log-outputs", "log-package-levels", "debug",
            "enable-log-rotation", "log-rotation-config-json", "log-format", "proxy", "proxy-failure-wait", "proxy-refresh-interval", "proxy-dial-timeout",
            "proxy-write-timeout", "proxy-read-timeout", "unsafe-no-fsync", "warning-unary-request-duration", "max-learners", "snapshot-catchup-entries",
            "compact-hash-check-enabled", "compact-hash-check-time", "corrupt-check-time", "compaction-batch-limit", "compaction-sleep-interval",
            "warning-apply-duration", "bootstrap-defrag-threshold-megabytes", "memory-mlock",
            "experimental-initial-corrupt-check", "experimental-corrupt-check-time", "experimental-compact-hash-check-enabled",
            "experimental-compact-hash-check-time", "experimental-enable-v2v3", "experimental-backend-bbolt-freelist-type", "experimental-enable-lease-checkpoint",
            "experimental-enable-lease-checkpoint-persist", "experimental-compaction-batch-limit", "experimental-compaction-sleep-interval",
            "experimental-peer-skip-client-san-verification", "experimental-warning-apply-duration",
            "experimental-warning-unary-request-duration", "experimental-max-learners", "experimental-txn-mode-write-with-shared-buffer",
            "experimental-bootstrap-defrag-threshold-megabytes", "experimental-memory-mlock", "experimental-snapshot-catchup-entries",
            "experimental-stop-grpc-service-on-defrag", "experimental-wait-cluster-ready-timeout", "experimental-enable-distributed-tracing",
            "experimental-distributed-tracing-address", "experimental-distributed-tracing-service-name", "experimental-distributed-tracing-instance-id",
            "experimental-distributed-tracing-sampling-rate"),

        // etcd's, where ignoring would break a promise
        .. Refuse("name the CA in --trusted-ca-file", "ca-file"),
        .. Refuse("name the CA in --peer-trusted-ca-file", "peer-ca-file"),
        .. Refuse(NoRevocation, "client-crl-file", "peer-crl-file"),
        .. Refuse(NoDiscovery, "discovery", "discovery-srv", "discovery-srv-name"),
        .. Refuse("put the client URL into --listen-client-urls: both protocols share one port here", "listen-client-http-urls"),
        .. Refuse("recovery from a lost majority is not in this version; start the lost members instead", "force-new-cluster"),
    ];

    private static readonly Dictionary<string, Setting> ByName = All.ToDictionary(s => s.Name, StringComparer.Ordinal);
    private static readonly Dictionary<string, Setting> ByVariable = All.ToDictionary(s => s.Variable, StringComparer.Ordinal);

    public static Setting? Find(string name) => ByName.GetValueOrDefault(name);

    public static Setting? FindVariable(string name) => ByVariable.GetValueOrDefault(name);

    private static IEnumerable<Setting> Ignore(params string[] names) => names.Select(n => new Setting(n, Switches.Contains(n) ? SettingKind.Boolean : Text, Ignored, "", ""));

    private static IEnumerable<Setting> Refuse(string fix, params string[] names) => names.Select(n => new Setting(n, Switches.Contains(n) ? SettingKind.Boolean : Text, Refused, "", fix));

    /// <summary>etcd's switches: as flags they take no value of their own ("--debug", "--debug=false"), so the parser must know them.</summary>
    private static string[] Switches =>
    [
        "initial-election-tick-advance", "strict-reconfig-check", "pre-vote", "enable-v2",
        "socket-reuse-port", "socket-reuse-address", "enable-grpc-gateway", "enable-pprof", "debug", "enable-log-rotation", "unsafe-no-fsync", "force-new-cluster",
        "memory-mlock", "compact-hash-check-enabled", "experimental-initial-corrupt-check", "experimental-compact-hash-check-enabled",
        "experimental-enable-lease-checkpoint", "experimental-enable-lease-checkpoint-persist", "experimental-peer-skip-client-san-verification",
        "experimental-txn-mode-write-with-shared-buffer", "experimental-memory-mlock", "experimental-stop-grpc-service-on-defrag",
        "experimental-enable-distributed-tracing",
    ];
}
