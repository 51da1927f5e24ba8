using System.Diagnostics;
using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Loom.Scenarios.Processes;
using Loom.Server.Etcd.Protos;
using Loom.Simulation.History;

namespace Loom.Scenarios.Workload;

/// <summary>
/// Clients in a closed loop, each pinned to one member, none of which retries: put, compare-and-set, linearizable read, local read, and a transaction over two keys.
/// Every value is unique, so that each revision names its cause. One history for the whole life of the cluster.
/// </summary>
internal sealed class ScenarioWorkload(LoomCluster cluster, int seed) : IDisposable
{
    private const int Keys = 6;
    private const int ClientsPerNode = 2;
    private readonly OperationHistory history = new();
    private readonly Lock gate = new();
    private readonly int[] lastSeen = new int[Keys];
    private CancellationTokenSource stop = new();
    private Task running = Task.CompletedTask;
    private int nextValue;
    private int round;

    public IReadOnlyList<ClientOperation> Operations => history.Operations;

    public long Acknowledged
    {
        get
        {
            lock (gate)
            {
                return history.Operations.Count(o => o is { Status: OperationStatus.Acknowledged, Changed: true });
            }
        }
    }

    public void Start()
    {
        stop = new CancellationTokenSource();
        round++;
        running = Task.WhenAll(cluster.Nodes.SelectMany((node, n) => Enumerable.Range(0, ClientsPerNode).Select(c => ClientAsync((n * ClientsPerNode) + c, n, node, stop.Token))));
    }

    public async Task StopAsync()
    {
        await stop.CancelAsync();
        await running;
        stop.Dispose();
    }

    public void Dispose() => stop.Dispose();

    public static ByteString Key(int key) => ByteString.CopyFromUtf8(string.Create(CultureInfo.InvariantCulture, $"k{key}"));

    public static int KeyNumber(ByteString key) => int.Parse(key.ToStringUtf8().AsSpan(1), CultureInfo.InvariantCulture);

    public static int Value(KeyValue pair) => int.Parse(pair.Value.ToStringUtf8(), CultureInfo.InvariantCulture);

    private async Task ClientAsync(int client, int member, LoomProcess node, CancellationToken token)
    {
        Random random = new((seed * 1000) + (round * 100) + client);
        while (!token.IsCancellationRequested)
        {
            (ClientOperation operation, Func<KV.KVClient, ClientOperation, Task> call) = Next(random, client, member, node.Life);
            await RunAsync(node, operation, call);
            int pause = operation.Status == OperationStatus.Acknowledged ? random.Next(1, 8) : 60;
            await Task.Delay(pause, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private (ClientOperation, Func<KV.KVClient, ClientOperation, Task>) Next(Random random, int client, int member, int life)
    {
        int key = random.Next(Keys);
        int other = (key + 1 + random.Next(Keys - 1)) % Keys;
        return random.Next(10) switch
        {
            < 3 => (Begin(client, member, life, effects: [new(key, NewValue())]), PutAsync),
            < 5 => (Begin(client, member, life, effects: [new(key, NewValue())], conditions: [new(key, Volatile.Read(ref lastSeen[key]))]), TransactAsync),
            < 7 => (Begin(client, member, life, effects: [new(key, NewValue()), new(other, NewValue())]), TransactAsync),
            < 9 => (Begin(client, member, life, wanted: [key, other]), ReadAsync),
            _ => (Begin(client, member, life, wanted: [key], local: true), ReadAsync),
        };
    }

    private ClientOperation Begin(int client, int member, int life, Effect[]? effects = null, Condition[]? conditions = null, int[]? wanted = null, bool local = false)
    {
        lock (gate)
        {
            return history.Add(new ClientOperation
            {
                Id = history.NextId,
                Client = client,
                Member = member,
                MemberLife = life,
                Call = Stopwatch.GetTimestamp(),
                Effects = effects ?? [],
                Conditions = conditions ?? [],
                Wanted = wanted ?? [],
                IsLocalRead = local,
            });
        }
    }

    private int NewValue() => Interlocked.Increment(ref nextValue);

    private async Task RunAsync(LoomProcess node, ClientOperation operation, Func<KV.KVClient, ClientOperation, Task> call)
    {
        try
        {
            await call(cluster.Kv(node), operation);
            operation.Return = Stopwatch.GetTimestamp();
            if (node.Life != operation.MemberLife)
            {
                // It may have waited for the new process: which one answered is not known, so it belongs to no sequence of local reads.
                operation.MemberLife = -operation.Id - 1;
            }

            operation.Status = OperationStatus.Acknowledged;
        }
        catch (RpcException e)
        {
            operation.Error = e.Status.ToString();
            operation.Status = operation.IsWrite && !SaysNotApplied(e) ? OperationStatus.Unknown : OperationStatus.NotApplied;
        }
    }

    /// <summary>Only these say that nothing was applied (docs/etcd-compatibility.md); everything else may have been.</summary>
    private static bool SaysNotApplied(RpcException e) =>
        e.Status.Detail is "etcdserver: leader changed" or "etcdserver: no leader" or "etcdserver: too many requests";

    private static DateTime Deadline() => DateTime.UtcNow.AddSeconds(5);

    private static async Task PutAsync(KV.KVClient kv, ClientOperation operation)
    {
        PutResponse answer = await kv.PutAsync(new PutRequest { Key = Key(operation.Effects[0].Key), Value = Text(operation.Effects[0].Value) }, deadline: Deadline());
        operation.Succeeded = operation.Changed = true;
        operation.Revision = answer.Header.Revision;
    }

    private async Task TransactAsync(KV.KVClient kv, ClientOperation operation)
    {
        TxnRequest request = new();
        foreach (Condition condition in operation.Conditions)
        {
            request.Compare.Add(condition.Value == 0
                ? new Compare { Key = Key(condition.Key), Target = Compare.Types.CompareTarget.Create, Result = Compare.Types.CompareResult.Equal, CreateRevision = 0 }
                : new Compare { Key = Key(condition.Key), Target = Compare.Types.CompareTarget.Value, Result = Compare.Types.CompareResult.Equal, Value = Text(condition.Value) });
        }

        foreach (Effect effect in operation.Effects)
        {
            request.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = Key(effect.Key), Value = Text(effect.Value) } });
        }

        TxnResponse answer = await kv.TxnAsync(request, deadline: Deadline());
        operation.Succeeded = operation.Changed = answer.Succeeded;
        operation.Revision = answer.Header.Revision;
    }

    private async Task ReadAsync(KV.KVClient kv, ClientOperation operation)
    {
        TxnRequest request = new();
        foreach (int key in operation.Wanted)
        {
            request.Success.Add(new RequestOp { RequestRange = new RangeRequest { Key = Key(key), Serializable = operation.IsLocalRead } });
        }

        TxnResponse answer = await kv.TxnAsync(request, deadline: Deadline());
        operation.Succeeded = true;
        operation.Revision = answer.Header.Revision;
        for (int i = 0; i < operation.Wanted.Count; i++)
        {
            int key = operation.Wanted[i];
            KeyValue? pair = answer.Responses[i].ResponseRange.Kvs.FirstOrDefault();
            operation.Reads.Add(pair is null ? new(key, 0, 0, 0, 0) : new(key, Value(pair), pair.ModRevision, pair.CreateRevision, pair.Version));
            Volatile.Write(ref lastSeen[key], pair is null ? 0 : Value(pair));
        }
    }

    private static ByteString Text(int value) => ByteString.CopyFromUtf8(value.ToString(CultureInfo.InvariantCulture));
}
