using System.Collections;
using Loom.Server.Configuration;

namespace Loom.Server.Tests.Configuration;

[TestFixture]
internal sealed class SettingSourcesTests
{
    /// <summary>Each row gives some of: flag, LOOM_, ETCD_, file; the first that is there must win.</summary>
    [TestCase("f", "l", "e", "j", "f")]
    [TestCase(null, "l", "e", "j", "l")]
    [TestCase(null, null, "e", "j", "e")]
    [TestCase(null, null, null, "j", "j")]
    [TestCase(null, null, null, null, "default")]
    [TestCase("f", null, null, "j", "f")]
    [TestCase(null, "l", null, "j", "l")]
    [TestCase("f", null, "e", null, "f")]
    public void The_first_source_wins(string? flag, string? loom, string? etcd, string? file, string expected)
    {
        var environment = new Dictionary<string, string>();
        if (loom is not null)
        {
            environment["LOOM_NAME"] = loom;
        }

        if (etcd is not null)
        {
            environment["ETCD_NAME"] = etcd;
        }

        string[] arguments = flag is null ? ["--config-file", "c.json"] : ["--name", flag, "--config-file", "c.json"];
        SettingSources sources = Read(arguments, environment, file is null ? "{}" : $$"""{ "name": "{{file}}" }""");
        Assert.That(sources.Text("name"), Is.EqualTo(expected));
    }

    [TestCase("--name x")]
    [TestCase("-name x")]
    [TestCase("--name=x")]
    [TestCase("-name=x")]
    [TestCase("--name y --name x")]
    [TestCase("--name=y -name x")]
    [TestCase("--pre-vote --name x")]
    [TestCase("--pre-vote=false --name x")]
    public void Flags_are_read_as_etcd_reads_them(string line) => Assert.That(Read(line.Split(' ')).Text("name"), Is.EqualTo("x"));

    [Test]
    public void A_flag_of_etcd_without_a_meaning_is_accepted_with_one_line()
    {
        SettingSources sources = Read(["--max-wals=5", "--enable-v2", "--backend-batch-limit", "8589934592", "--max-learners", "2"], new Dictionary<string, string> { ["ETCD_MAX_SNAPSHOTS"] = "3" });
        Assert.That(sources.Warnings, Is.EquivalentTo(new[]
        {
            "--max-wals has no meaning in Loom and is ignored", "--enable-v2 has no meaning in Loom and is ignored",
            "--backend-batch-limit has no meaning in Loom and is ignored", "ETCD_MAX_SNAPSHOTS has no meaning in Loom and is ignored",
            "--max-learners has no meaning in Loom and is ignored",
        }));
    }

    [TestCase("--ca-file=/etc/ca.pem", "--trusted-ca-file")]
    [TestCase("--client-crl-file=/etc/crl.pem", "renew the CA")]
    [TestCase("--force-new-cluster", "lost members")]
    [TestCase("--discovery=https://discovery.etcd.io/x", "--initial-cluster")]
    public void A_flag_whose_promise_would_be_broken_is_refused(string flag, string fix) =>
        Assert.That(() => Read([flag]), Throws.TypeOf<ConfigurationException>().With.Property("Fix").Contains(fix));

    [TestCase("--cert-file=")]
    [TestCase("--client-cert-auth=false")]
    [TestCase("--force-new-cluster=false")]
    public void Such_a_flag_that_is_off_starts(string flag) => Assert.That(() => Read([flag]), Throws.Nothing);

    [TestCase("--nmae=x", "--name")]
    [TestCase("--data-dri", "--data-dir")]
    [TestCase("--initial-clustr=x", "--initial-cluster")]
    public void An_unknown_flag_is_an_error_that_names_the_nearest(string flag, string near) =>
        Assert.That(() => Read([flag]), Throws.TypeOf<ConfigurationException>().With.Property("Fix").Contains($"did you mean {near}?"));

    [Test]
    public void An_unknown_key_of_the_file_is_an_error() =>
        Assert.That(() => Read(["--config-file", "c"], null, """{ "nmae": "x" }"""), Throws.TypeOf<ConfigurationException>().With.Property("Fix").Contains("--name"));

    [Test]
    public void The_file_may_be_named_by_a_variable_and_hold_comments_lists_numbers_and_switches()
    {
        SettingSources sources = Read([], new Dictionary<string, string> { ["LOOM_CONFIG_FILE"] = "c" }, """
            { // the east
              "initial-cluster": ["a@x=http://h:1", "b@y=http://h:2"], "heartbeat-interval": 50, "pre-vote": true, }
            """);
        Assert.Multiple(() =>
        {
            Assert.That(sources.Text("initial-cluster"), Is.EqualTo("a@x=http://h:1,b@y=http://h:2"));
            Assert.That(sources.Text("heartbeat-interval"), Is.EqualTo("50"));
        });
    }

    [Test]
    public void A_yaml_file_is_refused_with_its_line() =>
        Assert.That(() => Read(["--config-file", "etcd.yml"], null, "name: x\n"), Throws.TypeOf<ConfigurationException>().With.Message.Contains("etcd.yml is not JSON: line 1"));

    [Test]
    public void An_empty_variable_counts_as_not_given() =>
        Assert.That(Read([], new Dictionary<string, string> { ["ETCD_INITIAL_CLUSTER"] = "" }).IsGiven("initial-cluster"), Is.False);

    [Test]
    public void A_misspelt_variable_is_named() =>
        Assert.That(Read([], new Dictionary<string, string> { ["LOOM_DATADIR"] = "x" }).Warnings.Single(), Does.Contain("did you mean LOOM_DATA_DIR?"));

    /// <summary>All flags that etcd 3.4.23 prints must be known: a unit file may hold any of them.</summary>
    [Test]
    public void Every_flag_of_the_installed_etcd_is_known()
    {
        string help = Interop.Run("etcd", ["--help"]);
        string[] flags = [.. System.Text.RegularExpressions.Regex.Matches(help, @"^  --([a-z0-9-]+)", System.Text.RegularExpressions.RegexOptions.Multiline).Select(m => m.Groups[1].Value)];
        Assert.That(flags, Has.Length.GreaterThan(70));
        Assert.That(flags.Where(f => SettingTable.Find(f) is null && f is not ("version" or "help")), Is.Empty);
    }

    internal static SettingSources Read(string[] arguments, IDictionary? environment = null, string file = "{}") =>
        SettingSources.Read(arguments, environment ?? new Dictionary<string, string>(), _ => file);
}
