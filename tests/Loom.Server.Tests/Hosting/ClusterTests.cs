using System.Globalization;
using System.Text.Json;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Cli;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting;
using Loom.Server.Tests.Cli;
using Loom.Testing;

namespace Loom.Server.Tests.Hosting;

/// <summary>
/// Goal: every member serves everything, the standby too. Method: three voters in three datacenters and a standby, as <c>loom serve</c> would run them, in this process.
/// </summary>
[TestFixture]
internal sealed class ClusterTests
{
    [Test]
    public async Task Any_member_takes_writes_and_serves_reads_and_status_shows_the_map()
    {
        string directory = Directory.CreateTempSubdirectory("loom-cluster-").FullName;
        string[] members = ["east1@east", "east2@east/standby", "west1@west", "south1@south"];
        int[] ports = FreePorts.Take(2 * members.Length);
        int[] peers = ports[..members.Length];
        string[] endpoints = [.. ports[members.Length..].Select(port => string.Create(CultureInfo.InvariantCulture, $"127.0.0.1:{port}"))];
        string cluster = string.Join(',', members.Select((m, i) => string.Create(CultureInfo.InvariantCulture, $"{m}=http://127.0.0.1:{peers[i]}")));
        using var stop = new CancellationTokenSource();
        SharedText[] errors = [.. members.Select(_ => new SharedText())];
        Task<int>[] nodes = [.. members.Select((m, i) => Task.Run(() => ServeCommand.RunAsync(
            ["--name", m.Split('@')[0], "--initial-cluster", cluster, "--data-dir", Path.Combine(directory, m.Split('@')[0]), "--listen-client-urls", "http://" + endpoints[i], "--log-level", "error"],
            new Dictionary<string, string>(), TextWriter.Null, errors[i].Writer, StoreOpening.OpenAsync, stop.Token)))];
        try
        {
            await WaitUntilAsync(() => errors.All(e => e.Read().Contains("ready:", StringComparison.Ordinal)), () => string.Join("\n", errors.Select(e => e.Read())));
            await UseEveryMemberAsync(directory, endpoints);
            await LookAtTheMapAsync(endpoints);
        }
        finally
        {
            await stop.CancelAsync();
        }

        int[] codes = await Task.WhenAll(nodes).WaitAsync(TimeSpan.FromSeconds(30));
        Assert.That(codes, Is.All.Zero, string.Join("\n", errors.Select(e => e.Read())));
        Assert.That(errors[1].Read(), Does.Contain("ready: east2 (standby in east) serves").And.Contains("4 members in 3 datacenters. You can lose any one datacenter."));
        Directory.Delete(directory, recursive: true);
    }

    private static async Task UseEveryMemberAsync(string directory, string[] endpoints)
    {
        GrpcChannel[] channels = [.. endpoints.Select(e => GrpcChannel.ForAddress("http://" + e))];
        for (int i = 0; i < channels.Length; i++)
        {
            PutResponse put = await new KV.KVClient(channels[i]).PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8($"k{i}"), Value = ByteString.CopyFromUtf8("v") });

            // No member says of a revision that another has given out that it is in the future, also where it may answer from what it has.
            var read = new RangeRequest { Key = ByteString.CopyFromUtf8($"k{i}"), Revision = put.Header.Revision, Serializable = true };
            await Task.WhenAll(channels.Select(async other => await new KV.KVClient(other).RangeAsync(read)));
            await Task.WhenAll(channels.Select(async other => await new KV.KVClient(other).TxnAsync(new TxnRequest { Success = { new RequestOp { RequestRange = read } } })));
            foreach (GrpcChannel other in channels)
            {
                RangeResponse range = await new KV.KVClient(other).RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8($"k{i}") });
                Assert.That((range.Count, range.Header.Revision), Is.EqualTo((1, put.Header.Revision)));
            }
        }

        foreach (GrpcChannel channel in channels)
        {
            await WatchAsync(channel, endpoints.Length);
        }

        var hashes = new List<(uint, long, ulong)>();
        foreach (GrpcChannel channel in channels)
        {
            HashKVResponse hash = await new Maintenance.MaintenanceClient(channel).HashKVAsync(new HashKVRequest());
            hashes.Add((hash.Hash, hash.CompactRevision, hash.Header.ClusterId));
            Assert.That(await BackedUpAsync(directory, endpoints[hashes.Count - 1]), Is.EqualTo(endpoints.Length));
            MemberListResponse list = await ListOnceUrlsAreKnownAsync(channel);
            Assert.That(list.Members.Select(m => (m.IsLearner, m.ClientURLs.Count, m.PeerURLs.Count)), Is.EqualTo(Enumerable.Repeat((false, 1, 1), endpoints.Length)));
            channel.Dispose();
        }

        Assert.That(hashes.Distinct().Count(), Is.EqualTo(1));
    }

    /// <summary>Every member, the standby too, tells the whole history in order.</summary>
    private static async Task WatchAsync(GrpcChannel channel, int count)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(20));
        using AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call = new Loom.Server.Etcd.Protos.Watch.WatchClient(channel).Watch(new Metadata { { "hasleader", "true" } });
        await call.RequestStream.WriteAsync(new() { CreateRequest = new() { Key = ByteString.CopyFromUtf8("k"), RangeEnd = ByteString.CopyFromUtf8("l"), StartRevision = 1 } });
        List<string> seen = [];
        while (seen.Count < count)
        {
            Assert.That(await call.ResponseStream.MoveNext(limit.Token), Is.True);
            seen.AddRange(call.ResponseStream.Current.Events.Select(change => $"{change.Kv.Key.ToStringUtf8()} {change.Kv.ModRevision}"));
        }

        Assert.That(seen, Is.EqualTo(Enumerable.Range(0, count).Select(i => $"k{i} {2 + i}")));
    }

    /// <summary>The leader adds them by an entry, when it has heard them.</summary>
    private static async Task<MemberListResponse> ListOnceUrlsAreKnownAsync(GrpcChannel channel)
    {
        MemberListResponse list = new();
        await WaitUntilAsync(
            () =>
            {
                list = new Cluster.ClusterClient(channel).MemberList(new MemberListRequest { Linearizable = true });
                return list.Members.All(m => m.ClientURLs.Count == 1);
            },
            () => list.ToString());
        return list;
    }

    /// <summary>Keys in a backup of a member.</summary>
    private static async Task<long> BackedUpAsync(string directory, string endpoint)
    {
        string file = Path.Combine(directory, Path.GetRandomFileName());
        CommandRun run = await CommandRun.OfAsync("backup", file, "--endpoints", endpoint, "-o", "json");
        Assert.That((run.Code, run.Error), Is.EqualTo((0, "")));
        using JsonDocument json = JsonDocument.Parse(run.Output);
        return json.RootElement.GetProperty("keys").GetInt64();
    }

    private static async Task LookAtTheMapAsync(string[] endpoints)
    {
        var output = new StringWriter();
        var context = new CommandContext { Input = Stream.Null, Output = output, Error = output, Environment = new Dictionary<string, string>(), IsInputRedirected = true };
        int code = await LoomCommandLine.RunAsync(["status", "--endpoints", endpoints[1]], context, [], CancellationToken.None);
        string[] lines = output.ToString().TrimEnd('\n').Split('\n');
        Assert.That(code, Is.Zero, output.ToString());
        Assert.That(lines[..^1].Select(l => string.Join(' ', l.Split('\t')[..2])), Is.EqualTo(new[] { "east east1", "east east2", "south south1", "west west1" }));
        Assert.That(lines.Count(l => l.Split('\t') is [_, _, "leader", ..]), Is.EqualTo(1));
        Assert.That(lines.Count(l => l.Contains("no answer", StringComparison.Ordinal)), Is.Zero);
        Assert.That(lines[^1], Is.EqualTo("You can lose any one datacenter."));
    }

    private static async Task WaitUntilAsync(Func<bool> condition, Func<string> otherwise)
    {
        DateTime end = DateTime.UtcNow.AddSeconds(40);
        while (!condition())
        {
            Assert.That(DateTime.UtcNow, Is.LessThan(end), otherwise());
            await Task.Delay(50);
        }
    }
}
