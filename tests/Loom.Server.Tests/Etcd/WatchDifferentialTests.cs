using System.Globalization;
using Grpc.Core;
using Grpc.Net.Client;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;

namespace Loom.Server.Tests.Etcd;

/// <summary>
/// The same random writes, compactions and watches at a real etcd and at this node: what each watch is told must be the same, event by event with all fields, whatever was put into one message.
/// Left out is what 3.4 does otherwise than late 3.5, by name: negative start revisions, progress requests, and a start exactly at the compacted revision (a tombstone there is gone).
/// </summary>
[TestFixture]
internal sealed class WatchDifferentialTests
{
    private const int Calls = 400;

    [Test]
    public async Task Watches_are_told_what_etcd_tells([Values(1, 2)] int seed)
    {
        using EtcdProcess etcd = await EtcdProcess.StartAsync();
        await using TestNode node = await TestNode.StartAsync();
        using Side theirs = new(etcd.Channel), ours = new(node.Channel);
        var random = new Random(seed);
        long revision = 1, compacted = -1;
        List<long> open = [];
        for (int i = 0; i < Calls; i++)
        {
            switch (random.Next(20))
            {
                case 0 or 1:
                    WatchCreateRequest create = Create(random, revision, compacted);
                    string created = await theirs.CreateAsync(create);
                    Assert.That(await ours.CreateAsync(create.Clone()), Is.EqualTo(created), create.ToString());
                    if (!created.Contains("canceled", StringComparison.Ordinal) && create.StartRevision >= compacted)
                    {
                        open.Add(theirs.LastCreated);
                    }

                    break;
                case 2 when open.Count > 3:
                    await SettleAsync(theirs, ours);
                    long gone = open[random.Next(open.Count)];
                    open.Remove(gone);
                    Assert.That(await ours.CancelAsync(gone), Is.EqualTo(await theirs.CancelAsync(gone)));
                    break;
                case 3 when revision > compacted + 5:
                    // What was there before an event is read when it is sent: the compaction must not race with that.
                    // And etcd looks ten times a second after watches that begin in the past.
                    await Task.Delay(250);
                    await SettleAsync(theirs, ours);
                    compacted = random.NextInt64(Math.Max(compacted + 1, revision - 5), revision);
                    await theirs.Kv.CompactAsync(new() { Revision = compacted });
                    await ours.Kv.CompactAsync(new() { Revision = compacted });
                    break;
                default:
                    TxnRequest write = Write(random);
                    TxnResponse answer = await theirs.Kv.TxnAsync(write);
                    Assert.That((await ours.Kv.TxnAsync(write)).Header.Revision, Is.EqualTo(answer.Header.Revision));
                    revision = answer.Header.Revision;
                    break;
            }
        }

        await SettleAsync(theirs, ours);
        Assert.That(ours.Events, Is.GreaterThan(Calls / 2), "the test has seen something");
    }

    private static async Task SettleAsync(Side theirs, Side ours)
    {
        long end = Environment.TickCount64 + 10_000;
        int stable = 0;
        while (stable < 3 && Environment.TickCount64 < end)
        {
            await Task.Delay(5);
            stable = theirs.Events == ours.Events ? stable + 1 : 0;
        }

        Assert.That(ours.Told(), Is.EqualTo(theirs.Told()));
    }

    private static WatchCreateRequest Create(Random random, long revision, long compacted)
    {
        string start = Key(random);
        var request = new WatchCreateRequest
        {
            Key = WatchTests.Bytes(start),
            PrevKv = random.Next(2) == 0,
            Fragment = random.Next(4) == 0,
            WatchId = random.Next(6) == 0 ? random.Next(1, 30) : 0,
            RangeEnd = WatchTests.Bytes(random.Next(4) switch { 0 => "", 1 => "\0", 2 => start + "~", _ => Key(random) }),
            StartRevision = random.Next(3) == 0 ? 0 : random.NextInt64(1, revision + 4),
        };
        if (request.StartRevision == compacted)
        {
            request.StartRevision = 0;
        }

        if (random.Next(4) == 0)
        {
            request.Filters.Add(random.Next(2) == 0 ? WatchCreateRequest.Types.FilterType.Noput : WatchCreateRequest.Types.FilterType.Nodelete);
        }

        return request;
    }

    private static TxnRequest Write(Random random)
    {
        var request = new TxnRequest();
        string[] keys = [.. Enumerable.Range(0, random.Next(1, 4)).Select(_ => Key(random)).Distinct()];
        foreach (string key in keys)
        {
            request.Success.Add(random.Next(3) == 0
                ? new RequestOp { RequestDeleteRange = new() { Key = WatchTests.Bytes(key) } }
                : new RequestOp { RequestPut = new() { Key = WatchTests.Bytes(key), Value = WatchTests.Bytes(random.Next(100).ToString(CultureInfo.InvariantCulture)) } });
        }

        return request;
    }

    private static string Key(Random random) => new((char)('a' + random.Next(4)), random.Next(1, 3));

    /// <summary>One server: one stream, and what its watches were told.</summary>
    private sealed class Side : IDisposable
    {
        private readonly AsyncDuplexStreamingCall<WatchRequest, WatchResponse> call;
        private readonly SortedDictionary<long, List<string>> told = [];
        private readonly Queue<string> answers = new();
        private readonly Lock gate = new();
        private readonly SemaphoreSlim answered = new(0);
        private readonly Task reading;
        private int events;

        public Side(GrpcChannel channel)
        {
            Kv = new KV.KVClient(channel);
            call = new Loom.Server.Etcd.Protos.Watch.WatchClient(channel).Watch();
            reading = ReadAsync();
        }

        public KV.KVClient Kv { get; }

        public int Events => Volatile.Read(ref events);

        public long LastCreated { get; private set; }

        public async Task<string> CreateAsync(WatchCreateRequest request)
        {
            await call.RequestStream.WriteAsync(new() { CreateRequest = request });
            return await AnswerAsync();
        }

        public async Task<string> CancelAsync(long id)
        {
            await call.RequestStream.WriteAsync(new() { CancelRequest = new() { WatchId = id } });
            return await AnswerAsync();
        }

        public string Told()
        {
            lock (gate)
            {
                return string.Join('\n', told.Select(watch => $"#{watch.Key}: {string.Join("; ", watch.Value)}"));
            }
        }

        public void Dispose()
        {
            call.Dispose();
            reading.Wait();
            answered.Dispose();
        }

        private async Task<string> AnswerAsync()
        {
            Assert.That(await answered.WaitAsync(TimeSpan.FromSeconds(10)), Is.True, "no answer");
            lock (gate)
            {
                return answers.Dequeue();
            }
        }

        private async Task ReadAsync()
        {
            try
            {
                while (await call.ResponseStream.MoveNext(CancellationToken.None))
                {
                    Take(call.ResponseStream.Current);
                }
            }
            catch (RpcException)
            {
                // The test has ended.
            }
        }

        private void Take(WatchResponse response)
        {
            lock (gate)
            {
                List<string> watch = told.TryGetValue(response.WatchId, out List<string>? known) ? known : told[response.WatchId] = [];
                if (response.Created || response.Canceled)
                {
                    string text = WatchTests.WatchCall.Text(response);
                    watch.Add(text);
                    LastCreated = response.Created ? response.WatchId : LastCreated;

                    // A cancellation for compaction comes by itself, behind the answer.
                    if (response.CompactRevision == 0)
                    {
                        answers.Enqueue(text);
                        answered.Release();
                    }
                    else
                    {
                        Interlocked.Increment(ref events);
                    }
                }

                watch.AddRange(response.Events.Select(WatchTests.WatchCall.Text));
                Interlocked.Add(ref events, response.Events.Count);
            }
        }
    }
}
