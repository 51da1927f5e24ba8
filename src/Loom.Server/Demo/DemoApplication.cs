using System.Globalization;
using System.IO.Hashing;
using System.Text;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;

namespace Loom.Server.Demo;

/// <summary>
/// The application of one datacenter. It keeps no state of its own: it creates clusters with their jobs and queued tasks (one transaction), claims queued tasks of any datacenter (compare and set),
/// finishes them (one transaction: task, node, queue), and reads lists and documents from its local replica.
/// </summary>
internal sealed class DemoApplication(DemoBalancer balancer, DemoLedger ledger, int seed)
{
    private const int Writers = 3;
    private const int Readers = 2;
    private static readonly TimeSpan CallLimit = TimeSpan.FromSeconds(8);
    private readonly string site = balancer.Datacenter;
    private long written;
    private long nextId;

    /// <summary>Transactions acknowledged to this application.</summary>
    public long Written => Interlocked.Read(ref written);

    /// <summary>While set, the application asks for nothing.</summary>
    public bool Paused { get; set; }

    public Task RunAsync(CancellationToken token)
    {
        List<Task> loops = [balancer.RunAsync(token)];
        loops.AddRange(Enumerable.Range(0, Writers).Select(i => LoopAsync(new Random(seed + i), WriteAsync, 12, token)));
        loops.AddRange(Enumerable.Range(0, Readers).Select(i => LoopAsync(new Random(seed + 100 + i), ReadAsync, 3, token)));
        return Task.WhenAll(loops);
    }

    /// <summary>Step after step with a pause between, so that two cores can carry six nodes and three applications.</summary>
    private async Task LoopAsync(Random random, Func<Random, CancellationToken, Task> step, int pauseMilliseconds, CancellationToken token)
    {
        while (!token.IsCancellationRequested)
        {
            if (Paused)
            {
                await Task.Delay(50, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                continue;
            }

            try
            {
                await step(random, token);
            }
            catch (RpcException) when (token.IsCancellationRequested)
            {
                return;
            }
            catch (RpcException)
            {
                await balancer.CheckAsync(token);
                await Task.Delay(20, token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            await Task.Delay(pauseMilliseconds + random.Next(pauseMilliseconds), token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private Task WriteAsync(Random random, CancellationToken token) => random.Next(3) == 0 ? CreateClusterAsync(random, token) : WorkOnATaskAsync(random, token);

    /// <summary>A cluster, its job and three queued tasks appear together or not at all.</summary>
    private async Task CreateClusterAsync(Random random, CancellationToken token)
    {
        string id = string.Create(CultureInfo.InvariantCulture, $"{site}-{Interlocked.Increment(ref nextId):D6}");
        TxnRequest create = new();
        create.Compare.Add(new Compare { Key = Bytes("clusters/" + id), Target = Compare.Types.CompareTarget.Create, Result = Compare.Types.CompareResult.Equal, CreateRevision = 0 });
        DemoWrites writes = new(create.Success);
        writes.Put("clusters/" + id, DemoDocuments.Cluster(id, "tenant1", "user" + random.Next(5), "PENDING", id + "-1", random));
        writes.Put("jobs/" + id + "-1", DemoDocuments.Job(id + "-1", id, "RUNNING", 3));
        for (int t = 1; t <= 3; t++)
        {
            string task = string.Create(CultureInfo.InvariantCulture, $"{id}-1-{t}");
            writes.Put("tasks/" + task, DemoDocuments.Task(task, id + "-1", "QUEUED", "", 0));
            writes.Put("queue/" + task, Encoding.UTF8.GetBytes(task));
        }

        await TransactAsync(create, writes, token);
    }

    /// <summary>Takes one queued task, whoever queued it. Two workers that want the same one: the compare lets one of them.</summary>
    private async Task WorkOnATaskAsync(Random random, CancellationToken token)
    {
        RangeResponse queued = await balancer.Clients.Kv.RangeAsync(new RangeRequest { Key = Bytes("queue/"), RangeEnd = Bytes("queue0"), Limit = 30, Serializable = true }, deadline: Deadline(), cancellationToken: token);
        if (queued.Kvs.Count == 0)
        {
            await CreateClusterAsync(random, token);
            return;
        }

        KeyValue element = queued.Kvs[random.Next(queued.Kvs.Count)];
        string task = element.Value.ToStringUtf8();
        TxnRequest claim = new();
        claim.Compare.Add(new Compare { Key = element.Key, Target = Compare.Types.CompareTarget.Mod, Result = Compare.Types.CompareResult.Equal, ModRevision = element.ModRevision });
        DemoWrites writes = new(claim.Success);
        writes.Delete(element.Key.ToStringUtf8());
        writes.Put("tasks/" + task, DemoDocuments.Task(task, task[..^2], "IN_PROGRESS", site, 1));
        if (await TransactAsync(claim, writes, token) is { Succeeded: true })
        {
            await CompleteTaskAsync(task, random, token);
        }
    }

    private async Task CompleteTaskAsync(string task, Random random, CancellationToken token)
    {
        TxnRequest complete = new();
        DemoWrites writes = new(complete.Success);
        writes.Put("tasks/" + task, DemoDocuments.Task(task, task[..^2], "COMPLETE", site, 1));
        writes.Put("nodes/" + task, DemoDocuments.Node(task, task[..^4], "ACTIVE", random));
        await TransactAsync(complete, writes, token);
    }

    /// <summary>What a page of the original asked: a list and some documents, from the local replica.</summary>
    private async Task ReadAsync(Random random, CancellationToken token)
    {
        string[] kinds = ["clusters/", "jobs/", "tasks/", "nodes/"];
        string kind = kinds[random.Next(kinds.Length)];
        RangeResponse list = await balancer.Clients.Kv.RangeAsync(new RangeRequest
        {
            Key = Bytes(kind + site), RangeEnd = Bytes(kind + site + "~"), Limit = 10, KeysOnly = true, Serializable = true,
        }, deadline: Deadline(), cancellationToken: token);
        ledger.CountRead();
        foreach (KeyValue pair in list.Kvs)
        {
            await balancer.Clients.Kv.RangeAsync(new RangeRequest { Key = pair.Key, Serializable = true }, deadline: Deadline(), cancellationToken: token);
            ledger.CountRead();
        }
    }

    private async Task<TxnResponse?> TransactAsync(TxnRequest request, DemoWrites writes, CancellationToken token)
    {
        try
        {
            // Not cancelled with the demo's traffic: the last writes get their answers too.
            TxnResponse answer = await balancer.Clients.Kv.TxnAsync(request, deadline: Deadline(), cancellationToken: CancellationToken.None);
            if (answer.Succeeded)
            {
                ledger.Acknowledge(writes.At(answer.Header.Revision));
                Interlocked.Increment(ref written);
            }

            return answer;
        }
        catch (RpcException e) when (e.StatusCode is StatusCode.Unavailable or StatusCode.DeadlineExceeded or StatusCode.Cancelled or StatusCode.Unknown or StatusCode.Internal)
        {
            ledger.CountUnknown();
            await balancer.CheckAsync(token);
            return null;
        }
    }

    private static DateTime Deadline() => DateTime.UtcNow + CallLimit;

    private static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    /// <summary>Fills a transaction and remembers what it would write, for the ledger.</summary>
    private sealed class DemoWrites(IList<RequestOp> operations)
    {
        private readonly List<(string Key, ulong Hash, bool Deleted)> writes = [];

        public void Put(string key, byte[] value)
        {
            operations.Add(new RequestOp { RequestPut = new PutRequest { Key = Bytes(key), Value = UnsafeByteOperations.UnsafeWrap(value) } });
            writes.Add((key, XxHash3.HashToUInt64(value), false));
        }

        public void Delete(string key)
        {
            operations.Add(new RequestOp { RequestDeleteRange = new DeleteRangeRequest { Key = Bytes(key) } });
            writes.Add((key, 0, true));
        }

        public IReadOnlyList<AcknowledgedWrite> At(long revision) => [.. writes.Select(w => new AcknowledgedWrite(w.Key, revision, w.Hash, w.Deleted))];
    }
}
