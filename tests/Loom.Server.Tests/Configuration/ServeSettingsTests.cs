using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Server.Configuration;

namespace Loom.Server.Tests.Configuration;

[TestFixture]
internal sealed class ServeSettingsTests
{
    private const string Cluster = "e1@east=http://10.0.0.1:2380,e2@east/standby=http://10.0.0.2:2380,w1@west=http://10.0.1.1:2380,w1@west=http://10.0.1.1:2390,s1=http://10.0.2.1:2380";

    [Test]
    public void No_option_is_a_cluster_of_one_on_loopback()
    {
        ServeSettings settings = From([]);
        Assert.Multiple(() =>
        {
            Assert.That(settings.Name, Is.EqualTo("default"));
            Assert.That(settings.DataDirectory, Is.EqualTo("loom-data"));
            Assert.That(settings.ListenClientUrls, Is.EqualTo(new[] { "http://127.0.0.1:2379" }));
            Assert.That(settings.AdvertiseClientUrls, Is.EqualTo(settings.ListenClientUrls));
            Assert.That(settings.InitialCluster, Is.Empty);
            Assert.That(settings.RequestTimeout, Is.EqualTo(TimeSpan.FromSeconds(7)));
        });
    }

    [TestCase("", 0, 0)]
    [TestCase("--auto-compaction-retention 1", 3600, 0)]
    [TestCase("--auto-compaction-retention=72h", 72 * 3600, 0)]
    [TestCase("--auto-compaction-mode periodic --auto-compaction-retention=1h30m", 5400, 0)]
    [TestCase("--auto-compaction-retention=1000", 1000 * 3600, 0)]
    [TestCase("--auto-compaction-mode=revision --auto-compaction-retention=1000", 0, 1000)]
    [TestCase("--auto-compaction-mode=revision", 0, 0)]
    public void Automatic_compaction_is_written_as_for_etcd(string arguments, int seconds, long revisions)
    {
        ServeSettings settings = From(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.That((settings.AutoCompactionPeriod.TotalSeconds, settings.AutoCompactionRevisions), Is.EqualTo(((double)seconds, revisions)));
    }

    [TestCase("0", 0)]
    [TestCase("-1", -1)]
    [TestCase("8589934592", 8589934592)]
    public void The_quota_is_written_as_for_etcd(string text, long bytes) => Assert.That(From(["--quota-backend-bytes=" + text]).QuotaBytes, Is.EqualTo(bytes));

    [TestCase("", 600_000)]
    [TestCase("--watch-progress-notify-interval=5s", 5000)]
    [TestCase("--experimental-watch-progress-notify-interval=100ms", 100)]
    public void Watch_progress_has_both_of_its_names(string arguments, int milliseconds) =>
        Assert.That(From(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries)).WatchProgressInterval.TotalMilliseconds, Is.EqualTo(milliseconds));

    [Test]
    public void Watch_progress_is_at_least_a_tenth_of_a_second() =>
        Assert.That(() => From(["--watch-progress-notify-interval=99ms"]), Throws.InstanceOf<ConfigurationException>());

    [Test]
    public void Members_carry_datacenter_role_and_several_urls()
    {
        IReadOnlyList<InitialMember> members = From(["--name=e1", "--initial-cluster", Cluster]).InitialCluster;
        Assert.Multiple(() =>
        {
            Assert.That(members.Select(m => (m.Name, m.Datacenter, m.Role)), Is.EqualTo(new[]
            {
                ("e1", "east", MemberRole.Voter), ("e2", "east", MemberRole.Standby), ("w1", "west", MemberRole.Voter), ("s1", "s1", MemberRole.Voter),
            }));
            Assert.That(members[2].PeerUrls, Is.EqualTo(new[] { "http://10.0.1.1:2380", "http://10.0.1.1:2390" }));
        });
    }

    [Test]
    public void The_datacenter_follows_from_the_list() => Assert.That(From(["--name", "w1", "--initial-cluster", Cluster]).Datacenter, Is.EqualTo("west"));

    [Test]
    public void A_round_trip_is_held_for_half_at_each_end() =>
        Assert.That(From(["--test-peer-delay", "west=20,south=7"]).TestPeerDelays, Is.EqualTo(new Dictionary<string, TimeSpan>
        {
            ["south"] = TimeSpan.FromMilliseconds(3.5), ["west"] = TimeSpan.FromMilliseconds(10),
        }));

    [TestCase("--auto-compaction-mode=hourly", "--auto-compaction-mode is 'hourly'", "periodic or revision")]
    [TestCase("--auto-compaction-mode=revision --auto-compaction-retention=1h", "is '1h'", "a number of revisions")]
    [TestCase("--auto-compaction-retention=soon", "is 'soon'", "a number of hours")]
    [TestCase("--auto-compaction-retention=10ms", "is '10ms'", "at least a second")]
    [TestCase("--auto-compaction-retention=-1", "is '-1'", "a number of hours")]
    [TestCase("--quota-backend-bytes=2GiB", "is '2GiB'", "a number of bytes")]
    [TestCase("--min-free-disk-bytes=-1", "is '-1'", "at least 0")]
    [TestCase("--name=x --initial-cluster a=http://h:1,b=http://h:2", "not in --initial-cluster", "--name")]
    [TestCase("--name=e1 --datacenter west --initial-cluster CLUSTER", "puts e1 into east", "e1@west")]
    [TestCase("--name=e1 --initial-advertise-peer-urls http://h:9 --initial-cluster CLUSTER", "--initial-advertise-peer-urls has", "make them equal")]
    [TestCase("--name=a --initial-cluster a=h:1", "not http://host:port", "http://")]
    [TestCase("--name=a --initial-cluster a@x=http://h:1,a@y=http://h:2", "two datacenters", "a@x")]
    [TestCase("--name=a --initial-cluster a@x/spare=http://h:1", "the role 'spare'", "/standby")]
    [TestCase("--name=a --initial-cluster a@x/standby=http://h:1", "only standbys", "/standby")]
    [TestCase("--name=a --initial-cluster a=http://h:1,b=http://h:1", "to a and to b", "URLs of its own")]
    [TestCase("--name=a --initial-cluster a", "not name@datacenter=url", "name@datacenter")]
    [TestCase("--name=a --initial-cluster a=https://h:1", "--peer-cert-file and --peer-key-file must be given for https://h:1", "--peer-auto-tls")]
    [TestCase("--name=a --initial-cluster a=http://h:1,b=https://h:2", "must be given for https://h:2", "--peer-auto-tls")]
    [TestCase("--name=a --initial-cluster a=https://h:1 --peer-auto-tls --peer-cert-allowed-cn a --peer-cert-allowed-hostname b", "are both given", "one of them")]
    [TestCase("--peer-key-file a.pem", "--peer-key-file is given without --peer-cert-file", "name both")]
    [TestCase("--listen-client-urls https://127.0.0.1:2379", "--cert-file and --key-file must be given for https://127.0.0.1:2379", "--auto-tls")]
    [TestCase("--cert-file a.pem", "--cert-file is given without --key-file", "name both")]
    [TestCase("--key-file a.pem", "--key-file is given without --cert-file", "name both")]
    [TestCase("--listen-client-urls https://127.0.0.1:2379 --auto-tls --tls-min-version TLS1.1", "'TLS1.1'", "TLS1.2 or TLS1.3")]
    [TestCase("--listen-client-urls https://127.0.0.1:2379 --auto-tls --tls-min-version TLS1.3 --tls-max-version TLS1.2", "--tls-min-version is TLS1.3", "no higher")]
    [TestCase("--listen-client-urls https://127.0.0.1:2379 --auto-tls --cipher-suites TLS_NONE", "'TLS_NONE'", "names of suites")]
    [TestCase("--listen-client-urls https://127.0.0.1:2379 --auto-tls --tls-min-version TLS1.3 --cipher-suites TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "not chosen", "--cipher-suites")]
    [TestCase("--listen-client-urls https://127.0.0.1:2379,http://127.0.0.1:2379 --auto-tls", "one port serves either", "port of its own")]
    [TestCase("--listen-client-urls http://db.example:2379", "a name cannot be listened on", "IP address")]
    [TestCase("--listen-client-urls 127.0.0.1:2379", "not http://host:port", "http://")]
    [TestCase("--heartbeat-interval 300", "less than 5 heartbeats", "1500")]
    [TestCase("--election-timeout 60000", "more than 50000", "ten times")]
    [TestCase("--heartbeat-interval soon", "'soon'", "milliseconds")]
    [TestCase("--placement-goal two-datacenters --name a --initial-cluster a@x=http://h:1,b@x=http://h:2", "two datacenters", "another datacenter")]
    [TestCase("--placement-goal all", "majority or two-datacenters", "majority")]
    [TestCase("--initial-cluster-state old", "new or existing", "new")]
    [TestCase("--auth-token jwt,pub-key=a.pem", "simple tokens only", "--auth-token simple")]
    [TestCase("--auth-token-ttl 0", "at least 1", "at least 1")]
    [TestCase("--bcrypt-cost 32", "at most 31", "at most 31")]
    [TestCase("--max-concurrent-streams 0", "at least 1", "at least 1")]
    [TestCase("--max-request-bytes 1769473", "at most 1769472", "at most 1769472")]
    [TestCase("--test-peer-delay west", "DC=MS", "DC=MS")]
    public void A_fault_is_one_sentence_with_its_fix(string line, string problem, string fix)
    {
        string[] arguments = line.Replace("CLUSTER", Cluster, StringComparison.Ordinal).Split(' ');
        Assert.That(() => From(arguments), Throws.TypeOf<ConfigurationException>().With.Message.Contains(problem).And.Property("Fix").Contains(fix));
    }

    [Test]
    public void A_fault_names_the_variable_that_it_came_from() =>
        Assert.That(
            () => ServeSettings.From(SettingSourcesTests.Read([], new Dictionary<string, string> { ["ETCD_ELECTION_TIMEOUT"] = "x" })),
            Throws.TypeOf<ConfigurationException>().With.Message.Contains("(from ETCD_ELECTION_TIMEOUT)"));

    [Test]
    public void Tokens_and_the_cost_of_passwords_are_etcd_s_settings()
    {
        ServeSettings settings = From(["--auth-token", "simple", "--auth-token-ttl", "60", "--bcrypt-cost=4"]);
        Assert.That((settings.AuthTokenTimeToLive, settings.PasswordCost), Is.EqualTo((TimeSpan.FromMinutes(1), 4)));
        Assert.That((From([]).AuthTokenTimeToLive, From([]).PasswordCost), Is.EqualTo((TimeSpan.FromMinutes(5), 10)));
    }

    [Test]
    public void Etcd_s_own_default_for_streams_starts() => Assert.That(From(["--max-concurrent-streams", "4294967295"]).MaxConcurrentStreams, Is.EqualTo(int.MaxValue));

    [Test]
    public void A_limit_above_ours_starts_with_ours_and_says_so()
    {
        ServeSettings settings = From(["--max-txn-ops=10000"]);
        Assert.That(settings.Limits.MaxTxnOperations, Is.EqualTo(128));
        Assert.That(settings.Warnings.Single(), Does.Contain("the limit here is 128"));
    }

    [TestCase("100ms", 100)]
    [TestCase("1m30s", 90_000)]
    [TestCase("1.5s", 1500)]
    [TestCase("250", 250)]
    public void Durations_are_Go_s(string text, int milliseconds) =>
        Assert.That(GoDuration.Parse(text, plainIsMilliseconds: true), Is.EqualTo(TimeSpan.FromMilliseconds(milliseconds)));

    private static ServeSettings From(string[] arguments) => ServeSettings.From(SettingSourcesTests.Read(arguments));
}
