using System.Collections;
using System.Text;
using System.Text.Json;
using Loom.Raft;
using Loom.Server.Cli;
using Loom.Server.Tests.Hosting;
using Loom.Testing;

namespace Loom.Server.Tests.Cli;

/// <summary>The client commands against a live node, in this process: what they write, and their exit codes, which scripts depend on.</summary>
[TestFixture]
internal sealed class ClientCommandTests
{
    private TestNode node = null!;

    [SetUp]
    public async Task StartAsync() => node = await TestNode.StartAsync();

    [TearDown]
    public async Task StopAsync() => await node.DisposeAsync();

    [Test]
    public async Task Put_get_and_del_write_lines_where_no_terminal_is()
    {
        Assert.That(await RunAsync("put", "a", "1"), Is.EqualTo((0, "OK\t2\n", "")));
        Assert.That(await RunAsync("put", "b", "x y", "--prev-kv"), Is.EqualTo((0, "OK\t3\n", "")));
        Assert.That(await RunAsync("get", "", "--prefix"), Is.EqualTo((0, "a\t1\nb\tx y\n", "")));
        Assert.That(await RunAsync("get", "a", "--value-only"), Is.EqualTo((0, "1\n", "")));
        Assert.That(await RunAsync("get", "", "--prefix", "--count-only"), Is.EqualTo((0, "2\n", "")));
        Assert.That(await RunAsync("get", "", "--prefix", "--keys-only"), Is.EqualTo((0, "a\nb\n", "")));
        Assert.That(await RunAsync("del", "a", "--prev-kv"), Is.EqualTo((0, "1\na\t1\n", "")));
        Assert.That(await RunAsync("del", "a"), Is.EqualTo((0, "0\n", "")));
    }

    [Test]
    public async Task A_value_may_come_from_standard_input()
    {
        Assert.That((await RunAsync(["put", "big", "-"], "line 1\nline 2\n")).Code, Is.Zero);
        Assert.That((await RunAsync("get", "big")).Output, Is.EqualTo("big\tline 1\\x0aline 2\\x0a\n"));
        Assert.That((await RunAsync("get", "big", "--value-only")).Output, Is.EqualTo("line 1\nline 2\n\n"));
    }

    [Test]
    public async Task After_two_dashes_anything_is_a_key_or_value()
    {
        Assert.That((await RunAsync("put", "--endpoints", node.Endpoint, "--", "--a", "--1")).Code, Is.Zero);
        Assert.That((await RunAsync("get", "--endpoints", node.Endpoint, "--", "--a")).Output, Is.EqualTo("--a\t--1\n"));
    }

    [Test]
    public async Task Json_is_versioned_and_exact()
    {
        await RunAsync("put", "a", "ü\"1");
        Assert.That(
            (await RunAsync("get", "a", "-o", "json")).Output,
            Is.EqualTo("""{"format":1,"revision":2,"count":1,"more":false,"kvs":[{"key":"a","value":"ü\"1","create_revision":2,"mod_revision":2,"version":1,"lease":0}]}""" + "\n"));
        Assert.That(
            (await RunAsync("get", "a", "-o", "jsonl")).Output,
            Is.EqualTo("""{"format":1,"key":"a","value":"ü\"1","create_revision":2,"mod_revision":2,"version":1,"lease":0}""" + "\n"));
        Assert.That((await RunAsync("put", "a", "2", "-o", "json")).Output, Is.EqualTo("""{"format":1,"revision":3}""" + "\n"));
        Assert.That((await RunAsync("del", "a", "-o", "json")).Output, Is.EqualTo("""{"format":1,"revision":4,"deleted":1}""" + "\n"));
    }

    [Test]
    public async Task Bytes_that_are_no_text_come_as_base64()
    {
        await node.Store.PutAsync("bin"u8.ToArray(), new byte[] { 0xFF, 0x00 });
        Assert.That((await RunAsync("get", "bin", "-o", "json")).Output, Does.Contain("\"key\":\"bin\",\"value_base64\":\"/wA=\""));
        Assert.That((await RunAsync("get", "bin")).Output, Is.EqualTo("bin\t\\xff\\x00\n"));
    }

    [Test]
    public async Task A_table_is_aligned()
    {
        await RunAsync("put", "long-key", "1");
        Assert.That((await RunAsync("get", "long-key", "-o", "table")).Output, Is.EqualTo("KEY       VALUE  VERSION  CREATED  MODIFIED\nlong-key  1      1        2        2\n"));
    }

    [Test]
    public async Task A_key_that_is_not_there_is_exit_code_3()
    {
        Assert.That(await RunAsync("get", "none"), Is.EqualTo((3, "", "not found: none\n")));
        Assert.That(await RunAsync("get", "none", "--quiet"), Is.EqualTo((3, "", "")));
        Assert.That((await RunAsync("get", "none", "--prefix")).Code, Is.Zero);
    }

    [Test]
    public async Task A_compare_that_fails_is_exit_code_4()
    {
        const string Text = "create(k) = 0\n\nput k 1\nget k\n\nget k\n";
        Assert.That(await RunAsync(["txn"], Text), Is.EqualTo((0, "SUCCESS\nOK\nk\t1\n", "")));
        Assert.That(await RunAsync(["txn"], Text), Is.EqualTo((4, "FAILURE\nk\t1\n", "")));
        Assert.That(
            (await RunAsync(["txn", "-o", "json"], Text)).Output,
            Does.StartWith("{\"format\":1,\"revision\":2,\"succeeded\":false,\"responses\":[{\"operation\":\"get\",\"count\":1,\"more\":false,\"kvs\":[{\"key\":\"k\",\"value\":\"1\","));
    }

    [Test]
    public async Task Without_a_quorum_it_is_exit_code_5_and_says_what_became_of_the_write()
    {
        node.Node.Fault = _ => new RaftException(RaftErrorCode.NoQuorum, "no quorum: 1 of 3 datacenters reachable (east)");
        (int code, _, string error) = await RunAsync("put", "a", "1");
        Assert.That(code, Is.EqualTo(5));
        Assert.That(error, Does.StartWith("error LOOM1007: no quorum: 1 of 3 datacenters reachable (east). Outcome of this write: not applied."));
        Assert.That((await RunAsync("get", "a")).Code, Is.EqualTo(5));
        Assert.That((await RunAsync("get", "a", "--consistency", "s")).Code, Is.EqualTo(3));
    }

    [Test]
    public async Task An_unknown_outcome_is_exit_code_7_and_never_called_failed()
    {
        node.Node.Fault = write => new RaftException(RaftErrorCode.DeadlineExceeded, "no answer within 7 s", write ? WriteOutcome.Unknown : WriteOutcome.NotApplied);
        (int code, _, string error) = await RunAsync("put", "a", "1");
        Assert.That(code, Is.EqualTo(7));
        Assert.That(error, Does.StartWith("error LOOM1009: ").And.Contains("Outcome of this write: unknown").And.Not.Contains("not applied"));
        Assert.That((await RunAsync("get", "a")).Code, Is.EqualTo(5), "a read has no outcome to be unknown");
    }

    [Test]
    public async Task A_node_that_is_not_there_is_exit_code_6()
    {
        string nobody = $"127.0.0.1:{FreePorts.Take()}";
        (int code, _, string error) = await RunAsync("put", "a", "1", "--endpoints", nobody);
        Assert.That(code, Is.EqualTo(6));
        Assert.That(error, Does.StartWith($"error: {nobody} cannot be reached\nhint: start a node with: loom serve"));
        Assert.That((await RunAsync("put", "a", "1", "--endpoints", $"{nobody},{node.Endpoint}")).Code, Is.Zero, "the next endpoint is tried");
    }

    [Test]
    public async Task Too_large_is_refused_with_the_fix()
    {
        (int code, _, string error) = await RunAsync(["put", "a"], new string('x', 1_600_000));
        Assert.That(code, Is.EqualTo(1));
        Assert.That(error, Does.StartWith("error LOOM1006: ").And.Contains("hint: split the value"));
    }

    [TestCase("put a --lese=1 x", "error: unknown option --lese=1\nhint: did you mean --lease?\n")]
    [TestCase("gte a", "error: unknown command 'gte'\nhint: did you mean get?\n")]
    [TestCase("watch a --prefix", "error: unknown command 'watch'\nhint: use etcdctl watch: a node speaks etcd's v3 API\n")]
    [TestCase("get a --prefx", "error: unknown option --prefx\nhint: did you mean --prefix?\n")]
    [TestCase("get", "error: Required argument 'key' missing for command: 'get'.\nhint: loom get --help shows the usage\n")]
    [TestCase("member", "error: 'member' needs a command\nhint: write one of: list\n")]
    [TestCase("get a b c", "error: 'c' is one argument too many\nhint: loom get --help shows the usage\n")]
    [TestCase("get a -o xml", "error: the output mode 'xml' does not exist\nhint: write -o json, jsonl, table or plain\n")]
    [TestCase("get a --timeout soon", "error: --timeout is 'soon'\nhint: write a duration such as 5s\n")]
    [TestCase("get a b --prefix", "error: an end, --prefix and --from-key exclude each other\nhint: leave all but one out\n")]
    [TestCase("get a --order up", "error: --order is 'up'\nhint: write ASCEND or DESCEND\n")]
    public async Task A_usage_error_is_two_lines_and_exit_code_2(string line, string expected)
    {
        (int code, string output, string error) = await RunAsync(line.Split(' '));
        Assert.That((code, output, error), Is.EqualTo((2, "", expected)));
    }

    [Test]
    public async Task Status_shows_the_map_and_what_may_be_lost()
    {
        await RunAsync("put", "a", "1");
        (int code, string output, _) = await RunAsync("status");
        Assert.That(code, Is.Zero);
        Assert.That(output, Is.EqualTo($"default\tdefault\tleader\t2\t1\t0\t-\thttp://127.0.0.1:2379\nOne member: losing it loses the service.\n"));
        using JsonDocument json = JsonDocument.Parse((await RunAsync("status", "-o", "json")).Output);
        JsonElement member = json.RootElement.GetProperty("members")[0];
        Assert.That((json.RootElement.GetProperty("quorum").GetBoolean(), member.GetProperty("state").GetString(), member.GetProperty("revision").GetInt64(), member.GetProperty("epoch").GetInt64()), Is.EqualTo((true, "leader", 2, 0)));
        Assert.That((await RunAsync("status", "-o", "table")).Output, Does.Contain("revision 2  epoch 0\n"));
    }

    [Test]
    public async Task Member_list_shows_datacenter_and_role() =>
        Assert.That((await RunAsync("member", "list")).Output, Is.EqualTo("1001\tdefault\tdefault\tvoter\t\thttp://127.0.0.1:2379\n"));

    [Test]
    public async Task Explain_knows_every_code_of_the_store()
    {
        foreach (Loom.Store.LoomErrorCode code in Enum.GetValues<Loom.Store.LoomErrorCode>())
        {
            (int exit, string output, _) = await RunAsync("explain", ErrorText.Code(code));
            Assert.That((exit, output.Contains("Fix: ", StringComparison.Ordinal)), Is.EqualTo((0, true)), code.ToString());
        }

        Assert.That(await RunAsync("explain", "1066"), Is.EqualTo(await RunAsync("explain", "LOOM1066")));
        Assert.That((await RunAsync("explain", "LOOM9999")).Code, Is.EqualTo(3));
    }

    [Test]
    public async Task Endpoints_come_from_the_environment_too()
    {
        (int code, _, _) = await RunAsync(["put", "a", "1"], "", new Dictionary<string, string> { ["LOOM_ENDPOINTS"] = node.Endpoint });
        Assert.That(code, Is.Zero);
    }

    private Task<(int Code, string Output, string Error)> RunAsync(params string[] arguments) => RunAsync(arguments, "");

    private async Task<(int Code, string Output, string Error)> RunAsync(string[] arguments, string input, IDictionary? environment = null)
    {
        var output = new StringWriter();
        var error = new StringWriter();
        var context = new CommandContext
        {
            Input = new MemoryStream(Encoding.UTF8.GetBytes(input)),
            Output = output,
            Error = error,
            Environment = environment ?? new Dictionary<string, string>(),
            IsInputRedirected = true,
        };
        string[] all = environment is null && !arguments.Contains("--endpoints") ? [.. arguments, "--endpoints", node.Endpoint] : arguments;
        int code = await LoomCommandLine.RunAsync(all, context, [], CancellationToken.None);
        return (code, output.ToString(), error.ToString());
    }
}
