using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Cli;
using Loom.Server.Etcd.Protos;
using Loom.Testing;

namespace Loom.Server.Tests.Hosting;

/// <summary>Goal: an operator who knows etcd's quota finds it here, with etcd's variable, words and tools, and needs neither defragmentation nor disarming.</summary>
[TestFixture]
internal sealed class QuotaProcessTests
{
    private string directory = "";

    [SetUp]
    public void MakeDirectory() => directory = Directory.CreateTempSubdirectory("loom-quota-").FullName;

    [TearDown]
    public void RemoveDirectory() => Directory.Delete(directory, recursive: true);

    [Test]
    public async Task A_store_at_its_quota_says_so_and_recovers_by_deleting_and_compacting()
    {
        Interop.Require("etcdctl");
        string url = $"http://127.0.0.1:{FreePorts.Take()}", endpoint = url["http://".Length..];
        var environment = new Dictionary<string, string> { ["ETCD_LISTEN_CLIENT_URLS"] = url, ["ETCD_QUOTA_BACKEND_BYTES"] = "300000" };
        using var serve = new ServeProcess(directory, [], environment);
        await serve.WaitUntilReadyAsync();
        string Ctl(bool mayFail, params string[] arguments) => Interop.Run("etcdctl", ["--endpoints", endpoint, .. arguments], mayFail: mayFail);
        using GrpcChannel channel = GrpcChannel.ForAddress(url);
        var kv = new KV.KVClient(channel);
        RpcException? full = null;
        for (int i = 0; full is null; i++)
        {
            try
            {
                await kv.PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8($"k{i}"), Value = ByteString.CopyFrom(new byte[10_000]) });
            }
            catch (RpcException exception)
            {
                full = exception;
            }
        }

        Assert.That((full.StatusCode, full.Status.Detail), Is.EqualTo((StatusCode.ResourceExhausted, "etcdserver: mvcc: database space exceeded")));
        Assert.That(Ctl(false, "alarm", "list"), Does.Match("^memberID:[0-9]+ alarm:NOSPACE \n$"));
        Assert.That(Ctl(true, "put", "a", "1"), Does.Contain("etcdserver: mvcc: database space exceeded"));
        (int code, string status) = await LoomAsync("status", "-o", "table", "--endpoints", endpoint);
        Assert.That(code, Is.Zero, status);
        Assert.That(status, Does.Contain("alarm NOSPACE of default: puts are refused").And.Contains(" of 293 KiB").And.Contains("free disk: default "));
        Assert.That(Ctl(false, "get", "k1", "--keys-only"), Is.EqualTo("k1\n\n"));

        Assert.That(Ctl(false, "del", "k", "--prefix"), Does.Match("^[0-9]+\n$"));
        long revision = (await kv.RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("k") })).Header.Revision;
        Ctl(false, "compaction", revision.ToString(CultureInfo.InvariantCulture));
        for (int i = 0; Ctl(false, "alarm", "list").Length > 0; i++)
        {
            Assert.That(i, Is.LessThan(100), "the alarm does not clear itself");
            await Task.Delay(50);
        }

        Assert.That(Ctl(false, "put", "a", "1"), Is.EqualTo("OK\n"));
        Assert.That(serve.Error, Does.Contain("Alarm NoSpace of default is raised").And.Contains("Alarm NoSpace of default is over"));
    }

    private static async Task<(int Code, string Output)> LoomAsync(params string[] arguments)
    {
        var output = new StringWriter();
        var context = new CommandContext { Input = Stream.Null, Output = output, Error = output, Environment = new Dictionary<string, string>(), IsInputRedirected = true };
        return (await LoomCommandLine.RunAsync(arguments, context, [], CancellationToken.None), output.ToString());
    }
}
