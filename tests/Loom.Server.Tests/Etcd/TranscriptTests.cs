using Grpc.Core;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// Goal: the node answers as etcd does, field by field. Method: the calls of <see cref="KvScript"/>, <see cref="AlarmScript"/>, <see cref="LeaseScript"/>, <see cref="RecipeScript"/> and <see cref="AuthScript"/> on a new, empty store; etcd's answers are
/// recorded in Transcripts/, and where etcd is installed the record itself is checked against it. LOOM_RECORD=DIRECTORY writes new records.
/// </summary>
[TestFixture]
internal sealed class TranscriptTests
{
    private static readonly string[] Scripts = ["kv", "alarms", "leases", "recipes", "auth"];

    [TestCaseSource(nameof(Scripts))]
    public async Task The_node_answers_as_recorded_from_etcd(string script)
    {
        await using TestNode node = await TestNode.StartAsync();
        Compare(await Transcript.RecordAsync(node.Channel.CreateCallInvoker(), Calls(script)), Recorded(script));
    }

    [TestCaseSource(nameof(Scripts))]
    public async Task Etcd_answers_as_recorded(string script)
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        string now = await Transcript.RecordAsync(etcd.Channel.CreateCallInvoker(), Calls(script));
        if (Environment.GetEnvironmentVariable("LOOM_RECORD") is { Length: > 0 } directory)
        {
            await File.WriteAllTextAsync(Path.Combine(directory, script + ".txt"), now);
            Assert.Ignore($"recorded to {directory}/{script}.txt");
        }

        Compare(now, Recorded(script));
    }

    /// <summary>Late etcd 3.5 hashes at the compacted revision itself; 3.4, which the record is from, refuses.</summary>
    [Test]
    public async Task The_compacted_revision_can_be_hashed()
    {
        await using TestNode node = await TestNode.StartAsync();
        var maintenance = new Maintenance.MaintenanceClient(node.Channel);
        for (int i = 0; i < 4; i++)
        {
            await node.Kv.PutAsync(new PutRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8($"k{i % 2}") });
        }

        await node.Kv.CompactAsync(new CompactionRequest { Revision = 4 });
        HashKVResponse hash = await maintenance.HashKVAsync(new HashKVRequest { Revision = 4 });
        Assert.That((hash.CompactRevision, hash.Header.Revision), Is.EqualTo((4, 5)));
    }

    [Test]
    public async Task A_message_beyond_grpc_s_limit_has_its_own_code()
    {
        await using TestNode node = await TestNode.StartAsync();
        var put = new PutRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("k"), Value = Google.Protobuf.ByteString.CopyFrom(new byte[2 * 1024 * 1024]) };
        RpcException exception = (await Assert.ThrowsAsync<RpcException>(async () => await node.Kv.PutAsync(put)))!;
        Assert.That(exception.StatusCode, Is.EqualTo(StatusCode.ResourceExhausted));
    }

    [Test]
    public async Task What_is_not_served_yet_says_so()
    {
        await using TestNode node = await TestNode.StartAsync();
        var options = new CallOptions(deadline: DateTime.UtcNow.AddSeconds(10));
        RpcException[] exceptions =
        [
            (await Assert.ThrowsAsync<RpcException>(async () => await new Maintenance.MaintenanceClient(node.Channel).DowngradeAsync(new DowngradeRequest(), options)))!,
            (await Assert.ThrowsAsync<RpcException>(async () => await new Cluster.ClusterClient(node.Channel).MemberAddAsync(new MemberAddRequest(), options)))!,
        ];
        Assert.That(exceptions.Select(e => e.StatusCode), Is.All.EqualTo(StatusCode.Unimplemented));
    }

    [Test]
    public async Task Hash_and_defragment_answer()
    {
        await using TestNode node = await TestNode.StartAsync();
        var maintenance = new Maintenance.MaintenanceClient(node.Channel);
        await node.Kv.PutAsync(new PutRequest { Key = Google.Protobuf.ByteString.CopyFromUtf8("k") });
        HashResponse hash = await maintenance.HashAsync(new HashRequest());
        HashKVResponse history = await maintenance.HashKVAsync(new HashKVRequest());
        Assert.That((hash.Hash, hash.Header.Revision), Is.EqualTo((history.Hash, 2)));
        Assert.That((await maintenance.DefragmentAsync(new DefragmentRequest())).Header, Is.Null);
    }

    private static IEnumerable<(string Title, Google.Protobuf.IMessage Request)> Calls(string script) => script switch
    {
        "kv" => KvScript.Calls(),
        "alarms" => AlarmScript.Calls(),
        "recipes" => RecipeScript.Calls(),
        "auth" => AuthScript.Calls(),
        _ => LeaseScript.Calls(),
    };

    internal static string Recorded(string script) => File.ReadAllText(Path.Combine(TestContext.CurrentContext.TestDirectory, $"Etcd/Transcripts/{script}.txt"));

    /// <summary>Shows the first call that differs, not two files.</summary>
    internal static void Compare(string actual, string expected)
    {
        string[] actualCalls = actual.Split("\n\n");
        string[] expectedCalls = expected.Split("\n\n");
        var differences = new List<string>();
        for (int i = 0; i < Math.Max(actualCalls.Length, expectedCalls.Length); i++)
        {
            string a = i < actualCalls.Length ? actualCalls[i] : "(missing)";
            string e = i < expectedCalls.Length ? expectedCalls[i] : "(missing)";
            if (a != e)
            {
                differences.Add($"--- got\n{a}\n--- etcd\n{e}");
            }
        }

        Assert.That(differences, Is.Empty, $"{differences.Count} of {expectedCalls.Length} calls differ:\n{string.Join("\n\n", differences.Take(12))}");
    }
}
