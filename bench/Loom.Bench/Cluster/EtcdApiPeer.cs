using System.Globalization;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;

namespace Loom.Bench.Cluster;

/// <summary>Three processes that speak etcd's v3 gRPC API: etcd itself, or <c>loom serve</c>. The same client drives both: min(clients, 4 per node) HTTP/2 connections over all endpoints, so two of three calls enter at a follower.</summary>
internal abstract class EtcdApiPeer(string root) : IPeer
{
    private readonly List<ChildProcess> nodes = [];
    private readonly List<GrpcChannel> channels = [];
    private int[] clientPorts = [];
    private int[] peerPorts = [];

    public abstract string Name { get; }

    public string Meaning => "flushed on a majority";

    public IReadOnlyList<ChildProcess> Nodes => nodes;

    public IReadOnlyList<string> Endpoints => [.. clientPorts.Select(p => $"http://127.0.0.1:{p}")];

    /// <summary>The members at which clients enter; null: all.</summary>
    public int[]? Entrances
    {
        get;
        set
        {
            field = value;
            channels.ForEach(c => c.Dispose());
            channels.Clear();
        }
    }

    public bool Supports(string operation) => operation is "put" or "get" or "sget" or "range" or "page" or "cas";

    protected abstract (string File, IEnumerable<string> Arguments) Command(int index, int[] clientPorts, int[] peerPorts, string directory);

    public async Task StartAsync(CancellationToken cancellationToken)
    {
        Directory.CreateDirectory(root);
        int[] ports = Ports.Free(6);
        clientPorts = ports[..3];
        peerPorts = ports[3..];
        for (int i = 0; i < 3; i++)
        {
            nodes.Add(StartNode(i));
        }

        await WaitUntilReadyAsync(cancellationToken);
    }

    public string DirectoryOf(int index) => Path.Combine(root, "n" + (index + 1).ToString(CultureInfo.InvariantCulture));

    /// <summary>kill -9, what is to be done while it is down, and a new process.</summary>
    public ChildProcess RestartNode(int index, Action? meanwhile = null)
    {
        nodes[index].Dispose();
        meanwhile?.Invoke();
        return nodes[index] = StartNode(index);
    }

    public ChildProcess StartNode(int index)
    {
        string directory = DirectoryOf(index);
        var (file, arguments) = Command(index, clientPorts, peerPorts, directory);
        return ChildProcess.Start(file, arguments, Path.Combine(root, $"n{index + 1}.log"));
    }

    /// <summary>Index of the leader, asked through Maintenance.Status of every endpoint.</summary>
    public async Task<int> LeaderAsync()
    {
        for (int attempt = 0; attempt < 100; attempt++)
        {
            for (int i = 0; i < Endpoints.Count; i++)
            {
                try
                {
                    using GrpcChannel channel = Open(Endpoints[i]);
                    StatusResponse status = await new Maintenance.MaintenanceClient(channel).StatusAsync(new StatusRequest(), deadline: DateTime.UtcNow.AddSeconds(1));
                    if (status.Leader != 0 && status.Leader == status.Header.MemberId)
                    {
                        return i;
                    }
                }
                catch (RpcException)
                {
                    // This one is down or has no leader yet: ask the next.
                }
            }

            await Task.Delay(50);
        }

        throw new InvalidOperationException($"{Name}: no leader; see {root}");
    }

    public async Task LoadKeysAsync(int keys, int valueSize, CancellationToken cancellationToken)
    {
        KV.KVClient[] clients = Clients(12);
        ByteString value = ByteString.CopyFrom(new byte[valueSize]);
        await Parallel.ForEachAsync(Enumerable.Range(0, (keys + 99) / 100), new ParallelOptions { MaxDegreeOfParallelism = 8, CancellationToken = cancellationToken }, async (batch, token) =>
        {
            TxnRequest txn = new();
            for (int k = batch * 100; k < Math.Min(keys, (batch + 1) * 100); k++)
            {
                txn.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = Key(k), Value = value } });
            }

            for (int attempt = 0; ; attempt++)
            {
                try
                {
                    await clients[batch % clients.Length].TxnAsync(txn, deadline: DateTime.UtcNow.AddSeconds(20), cancellationToken: token);
                    return;
                }
                catch (RpcException) when (attempt < 5)
                {
                    await Task.Delay(100, token);
                }
            }
        });
    }

    public async Task<LoadResult> RunAsync(LoadSpec spec, CancellationToken cancellationToken)
    {
        KV.KVClient[] clients = Clients(Math.Clamp(spec.Clients, 3, 12));
        ByteString value = ByteString.CopyFrom(new byte[spec.ValueSize]);
        long[] seen = new long[spec.Keys];
        double cpuBefore = nodes.Sum(n => n.CpuSeconds());
        var (rate, latency, errors, clientCpu, _) = await ClosedLoop.RunAsync(spec, async (client, sequence) =>
        {
            KV.KVClient kv = clients[(client + (spec.Clients == 1 ? (int)sequence : 0)) % clients.Length];
            int key = (int)((uint)((client * 7919L) + (sequence * 104729L)) % (uint)spec.Keys);
            try
            {
                await CallAsync(kv, spec, key, value, seen, cancellationToken);
                return true;
            }
            catch (RpcException)
            {
                return false;
            }
        }, cancellationToken);
        double cpu = (nodes.Sum(n => n.CpuSeconds()) - cpuBefore) * spec.Seconds / (spec.Seconds + spec.WarmupSeconds);
        return ClosedLoop.ToResult(Name, spec, rate, latency, errors, cpu, clientCpu);
    }

    public static ByteString Key(int number) => ByteString.CopyFrom(Encoding.ASCII.GetBytes($"key-{number:D11}"));

    public async ValueTask DisposeAsync()
    {
        channels.ForEach(c => c.Dispose());
        nodes.ForEach(n => n.Dispose());
        await Task.CompletedTask;
        GC.SuppressFinalize(this);
    }

    public static GrpcChannel Open(string endpoint) => GrpcChannel.ForAddress(endpoint, new GrpcChannelOptions
    {
        HttpHandler = new SocketsHttpHandler { UseProxy = false, EnableMultipleHttp2Connections = false },
        MaxReceiveMessageSize = null,
    });

    private static async Task CallAsync(KV.KVClient kv, LoadSpec spec, int key, ByteString value, long[] seen, CancellationToken token)
    {
        DateTime deadline = DateTime.UtcNow.AddSeconds(20);
        switch (spec.Operation)
        {
            case "put":
                await kv.PutAsync(new PutRequest { Key = Key(key), Value = value }, deadline: deadline, cancellationToken: token);
                break;
            case "get" or "sget":
                await kv.RangeAsync(new RangeRequest { Key = Key(key), Serializable = spec.Operation == "sget" }, deadline: deadline, cancellationToken: token);
                break;
            case "range":
                await kv.RangeAsync(new RangeRequest { Key = Key(key), RangeEnd = ByteString.CopyFrom(0), Limit = 100 }, deadline: deadline, cancellationToken: token);
                break;
            case "page":
                // The range ends where the page does: etcd counts all that is in a range, also behind the limit.
                int first = Math.Min(key, Math.Max(0, spec.Keys - 100));
                await kv.RangeAsync(new RangeRequest { Key = Key(first), RangeEnd = Key(first + 100) }, deadline: deadline, cancellationToken: token);
                break;
            case "cas":
                TxnRequest txn = new()
                {
                    Compare = { new Compare { Key = Key(key), Target = Compare.Types.CompareTarget.Mod, Result = Compare.Types.CompareResult.Equal, ModRevision = Volatile.Read(ref seen[key]) } },
                    Success = { new RequestOp { RequestPut = new PutRequest { Key = Key(key), Value = value } } },
                    Failure = { new RequestOp { RequestRange = new RangeRequest { Key = Key(key) } } },
                };
                TxnResponse answer = await kv.TxnAsync(txn, deadline: deadline, cancellationToken: token);
                long modified = answer.Succeeded ? answer.Header.Revision : answer.Responses[0].ResponseRange.Kvs is [var pair, ..] ? pair.ModRevision : 0;
                Volatile.Write(ref seen[key], modified);
                break;
            default:
                throw new ArgumentException($"no operation '{spec.Operation}'");
        }
    }

    private KV.KVClient[] Clients(int connections)
    {
        while (channels.Count < connections)
        {
            int[] entrances = Entrances ?? [0, 1, 2];
            channels.Add(Open(Endpoints[entrances[channels.Count % entrances.Length]]));
        }

        return [.. channels.Take(connections).Select(c => new KV.KVClient(c))];
    }

    private async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(40);
        foreach (KV.KVClient client in Clients(3))
        {
            while (true)
            {
                try
                {
                    await client.RangeAsync(new RangeRequest { Key = Key(0) }, deadline: DateTime.UtcNow.AddSeconds(2), cancellationToken: cancellationToken);
                    break;
                }
                catch (RpcException) when (DateTime.UtcNow < until)
                {
                    await Task.Delay(100, cancellationToken);
                }
            }
        }
    }
}

/// <summary>etcd from Debian's etcd-server, with its default settings.</summary>
internal sealed class EtcdPeer(string root) : EtcdApiPeer(root)
{
    public override string Name => "etcd 3.4 gRPC";

    protected override (string File, IEnumerable<string> Arguments) Command(int index, int[] clientPorts, int[] peerPorts, string directory)
    {
        string cluster = string.Join(',', peerPorts.Select((p, i) => $"n{i + 1}=http://127.0.0.1:{p}"));
        return ("etcd",
        [
            "--name", $"n{index + 1}", "--data-dir", directory,
            "--listen-client-urls", $"http://127.0.0.1:{clientPorts[index]}", "--advertise-client-urls", $"http://127.0.0.1:{clientPorts[index]}",
            "--listen-peer-urls", $"http://127.0.0.1:{peerPorts[index]}", "--initial-advertise-peer-urls", $"http://127.0.0.1:{peerPorts[index]}",
            "--initial-cluster", cluster, "--quota-backend-bytes", "8589934592", "--logger", "zap", "--log-level", "warn",
        ]);
    }
}

/// <summary><c>loom serve</c>, default settings.</summary>
/// <param name="root">Directory for data and logs.</param>
/// <param name="wan">Round trips in ms east-west, west-south, east-south; empty: none.</param>
/// <param name="extra">Further arguments of every node.</param>
internal sealed class LoomNodePeer(string root, int[]? wan = null, string[]? extra = null) : EtcdApiPeer(root)
{
    private static readonly string[] Datacenters = ["east", "west", "south"];

    public override string Name => "Loom gRPC";

    protected override (string File, IEnumerable<string> Arguments) Command(int index, int[] clientPorts, int[] peerPorts, string directory)
    {
        string cluster = string.Join(',', peerPorts.Select((p, i) => $"n{i + 1}@{Datacenters[i]}=http://127.0.0.1:{p}"));
        List<string> arguments =
        [
            Path.Combine(AppContext.BaseDirectory, "loom.dll"), "serve",
            "--name", $"n{index + 1}", "--datacenter", Datacenters[index], "--data-dir", directory,
            "--listen-client-urls", $"http://127.0.0.1:{clientPorts[index]}", "--advertise-client-urls", $"http://127.0.0.1:{clientPorts[index]}",
            "--listen-peer-urls", $"http://127.0.0.1:{peerPorts[index]}", "--initial-advertise-peer-urls", $"http://127.0.0.1:{peerPorts[index]}",
            "--initial-cluster", cluster, .. extra ?? [],
        ];
        if (wan is not null)
        {
            // wan[i] joins datacenters i and i+1; the last joins the first and the third.
            int[,] rtt = { { 0, wan[0], wan[2] }, { wan[0], 0, wan[1] }, { wan[2], wan[1], 0 } };
            arguments.Add("--test-peer-delay");
            arguments.Add(string.Join(',', Enumerable.Range(0, 3).Where(i => i != index).Select(i => $"{Datacenters[i]}={rtt[index, i]}")));
        }

        return ("dotnet", arguments);
    }
}
