using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd;
using Loom.Server.Etcd.Protos;
using Loom.Server.Tests.Hosting;
using Loom.Store.Model;
using Watch = Loom.Server.Etcd.Protos.Watch;

namespace Loom.Server.Tests.Etcd;

/// <summary>etcd's Watch as its clients see it: order of messages, ids, texts, headers; and what becomes of streams that nobody reads.</summary>
[TestFixture]
internal sealed class WatchTests
{
    [Test]
    public async Task Created_comes_first_then_history_then_what_is_new()
    {
        await using TestNode node = await TestNode.StartAsync();
        await PutAsync(node, "a", "1");
        await PutAsync(node, "b", "1");
        await PutAsync(node, "a", "2");
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a"), StartRevision = 2, PrevKv = true });
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @4 created"));
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @4 PUT a=1 2/2/1, PUT a=2 2/4/2 was 1"));
        await node.Kv.DeleteRangeAsync(new DeleteRangeRequest { Key = Bytes("a") });
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @5 DELETE a= 0/5/0 was 2"));
    }

    [Test]
    public async Task A_stream_has_many_watches_with_ids_of_its_own_or_of_the_client()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a"), WatchId = 1 });
        Assert.That(await call.NextAsync(), Is.EqualTo("#1 @1 created"));
        await call.CreateAsync(new() { Key = Bytes("a") });
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @1 created"));
        await call.CreateAsync(new() { Key = Bytes("b"), RangeEnd = ByteString.CopyFrom(0) });
        Assert.That(await call.NextAsync(), Is.EqualTo("#2 @1 created"), "1 is taken");
        await call.CreateAsync(new() { Key = Bytes("a"), WatchId = 2 });
        Assert.That(await call.NextAsync(), Is.EqualTo("#-1 @1 created canceled mvcc: duplicate watch ID provided on the WatchStream"));
        await call.CreateAsync(new() { Key = Bytes("b"), RangeEnd = Bytes("a") });
        Assert.That(await call.NextAsync(), Is.EqualTo("#-1 @1 created canceled mvcc: watcher range is empty"));
        await call.CreateAsync(new() { Key = Bytes("a"), StartRevision = -1 });
        Assert.That(await call.NextAsync(), Is.EqualTo("#-1 @1 created canceled etcdserver: mvcc: required revision has been compacted"));

        // A watch that is not there: no answer. One that is: nothing comes after it.
        await call.CancelAsync(77);
        await call.CancelAsync(1);
        Assert.That(await call.NextAsync(), Is.EqualTo("#1 @1 canceled"));
        await PutAsync(node, "a", "1");
        await PutAsync(node, "b", "1");
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @2 PUT a=1 2/2/1"));
        Assert.That(await call.NextAsync(), Is.EqualTo("#2 @3 PUT b=1 3/3/1"));
    }

    [Test]
    public async Task An_empty_key_with_no_end_watches_everything_and_a_transaction_comes_in_one_piece()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        await call.CreateAsync(new() { RangeEnd = ByteString.CopyFrom(0) });
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @1 created"));
        var txn = new TxnRequest();
        foreach (string key in (string[])["x", "y", "z"])
        {
            txn.Success.Add(new RequestOp { RequestPut = new PutRequest { Key = Bytes(key), Value = Bytes("1") } });
        }

        await node.Kv.TxnAsync(txn);
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @2 PUT x=1 2/2/1, PUT y=1 2/2/1, PUT z=1 2/2/1"));
    }

    [Test]
    public async Task Filters_leave_out_what_they_name_and_empty_responses_are_not_sent()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a"), Filters = { WatchCreateRequest.Types.FilterType.Noput, (WatchCreateRequest.Types.FilterType)9 } });
        await call.CreateAsync(new() { Key = Bytes("a"), Filters = { WatchCreateRequest.Types.FilterType.Nodelete } });
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#0 @1 created", "#1 @1 created")));
        await PutAsync(node, "a", "1");
        Assert.That(await call.NextAsync(), Is.EqualTo("#1 @2 PUT a=1 2/2/1"));
        await node.Kv.DeleteRangeAsync(new DeleteRangeRequest { Key = Bytes("a") });
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @3 DELETE a= 0/3/0"));
    }

    [Test]
    public async Task A_compacted_watch_is_created_and_then_canceled_with_the_revision()
    {
        await using TestNode node = await TestNode.StartAsync();
        await PutAsync(node, "a", "1");
        await PutAsync(node, "a", "2");
        await PutAsync(node, "a", "3");
        await node.Kv.CompactAsync(new CompactionRequest { Revision = 3, Physical = true });
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a"), StartRevision = 2 });
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#0 @4 created", "#0 @0 canceled compacted 3")));
        await call.CreateAsync(new() { Key = Bytes("a"), StartRevision = 3 });
        Assert.That((await call.NextAsync(), await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#1 @4 created", "#1 @4 PUT a=2 2/3/2", "#1 @4 PUT a=3 2/4/3")), "the compacted revision itself is delivered");

        // The id of a canceled watch is taken until the client cancels it as well.
        await call.CreateAsync(new() { Key = Bytes("a"), WatchId = 5, StartRevision = 1 });
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#5 @4 created", "#5 @0 canceled compacted 3")));
        await call.CreateAsync(new() { Key = Bytes("a"), WatchId = 5 });
        Assert.That(await call.NextAsync(), Is.EqualTo("#-1 @4 created canceled mvcc: duplicate watch ID provided on the WatchStream"));
        await call.CancelAsync(5);
        Assert.That(await call.NextAsync(), Is.EqualTo("#5 @4 canceled"));
        await call.CreateAsync(new() { Key = Bytes("a"), WatchId = 5 });
        Assert.That(await call.NextAsync(), Is.EqualTo("#5 @4 created"));
    }

    [Test]
    public async Task Progress_is_answered_once_for_all_watches_and_only_when_none_is_behind()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        await call.ProgressAsync();
        await call.CreateAsync(new() { Key = Bytes("a") });
        await call.CreateAsync(new() { Key = Bytes("b") });
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#0 @1 created", "#1 @1 created")), "with no watch there is no progress");
        await PutAsync(node, "a", "1");
        await PutAsync(node, "c", "1");
        await call.ProgressAsync();
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#0 @2 PUT a=1 2/2/1", "#-1 @3 progress")));
        await call.CreateAsync(new() { Key = Bytes("a"), StartRevision = 10 });
        Assert.That(await call.NextAsync(), Is.EqualTo("#2 @3 created"));
        await call.ProgressAsync();
        await PutAsync(node, "b", "1");
        Assert.That(await call.NextAsync(), Is.EqualTo("#1 @4 PUT b=1 4/4/1"), "a watch in the future keeps progress silent");
    }

    [Test]
    public async Task A_quiet_watch_that_asked_for_it_is_notified_of_progress()
    {
        await using TestNode node = await TestNode.StartAsync(options: new() { WatchProgressInterval = TimeSpan.FromMilliseconds(100) });
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a"), ProgressNotify = true });
        await call.CreateAsync(new() { Key = Bytes("a") });
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#0 @1 created", "#1 @1 created")));
        Assert.That((await call.NextAsync(), await call.NextAsync()), Is.EqualTo(("#0 @1 progress", "#0 @1 progress")));
    }

    [Test]
    public async Task A_stream_whose_client_has_no_more_requests_goes_on()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a") });
        await call.Call.RequestStream.CompleteAsync();
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @1 created"));
        await PutAsync(node, "a", "1");
        Assert.That(await call.NextAsync(), Is.EqualTo("#0 @2 PUT a=1 2/2/1"));
    }

    [Test]
    public async Task A_revision_that_is_larger_than_a_message_is_sent_in_fragments_to_whom_asked_for_them()
    {
        await using TestNode node = await TestNode.StartAsync(settings => settings with { Limits = new EtcdLimits { MaxRequestBytes = 4096 } });
        int pairs = 30;
        for (int i = 0; i < pairs; i++)
        {
            await node.Store.PutAsync(Bytes($"k{i:d2}").Memory, new byte[60_000]);
        }

        await node.Store.DeleteAsync(KeyRange.All);
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("k"), RangeEnd = Bytes("l"), StartRevision = 2 + pairs, PrevKv = true, Fragment = true });
        await call.CreateAsync(new() { Key = Bytes("k"), RangeEnd = Bytes("l"), StartRevision = 2 + pairs, PrevKv = true });
        Dictionary<long, List<WatchResponse>> got = new() { [0] = [], [1] = [] };
        while (got[0].Sum(response => response.Events.Count) < pairs || got[1].Sum(response => response.Events.Count) < pairs)
        {
            WatchResponse response = await call.ReadAsync();
            if (!response.Created)
            {
                got[response.WatchId].Add(response);
            }
        }

        Assert.That(got[1], Has.Count.EqualTo(1));
        Assert.That(got[0], Has.Count.GreaterThan(2));
        Assert.That(got[0].Select(response => response.Fragment), Is.EqualTo([.. Enumerable.Repeat(true, got[0].Count - 1), false]));
        Assert.That(got[0].Select(response => response.CalculateSize()), Is.All.LessThan(4096 + EtcdLimits.GrpcOverheadBytes));
        Assert.That(got[0].SelectMany(response => response.Events), Is.EqualTo(got[1][0].Events));
    }

    [Test]
    public async Task Streams_that_their_clients_abandon_are_freed()
    {
        await using TestNode node = await TestNode.StartAsync();
        List<WatchCall> calls = [];
        for (int i = 0; i < 200; i++)
        {
            WatchCall call = new(node);
            calls.Add(call);
            await call.CreateAsync(new() { Key = Bytes("a") });
            await call.NextAsync();
        }

        Assert.That(node.Store.Status.Watches, Is.EqualTo(200));
        calls.ForEach(call => call.Dispose());
        await UntilAsync(() => node.Store.Status.Watches == 0);
    }

    /// <summary>A client that takes nothing holds up nobody, and misses nothing when it reads on.</summary>
    [Test]
    public async Task A_client_that_does_not_read_delays_nobody_and_loses_nothing()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall slow = new(node);
        await slow.CreateAsync(new() { Key = Bytes("a") });
        Assert.That(await slow.NextAsync(), Is.EqualTo("#0 @1 created"));
        byte[] value = new byte[100_000];
        for (int i = 0; i < 600; i++)
        {
            await node.Store.PutAsync(Bytes("a").Memory, value);
        }

        using WatchCall quick = new(node);
        await quick.CreateAsync(new() { Key = Bytes("b") });
        await quick.NextAsync();
        await PutAsync(node, "b", "1");
        Assert.That(await quick.NextAsync(), Is.EqualTo("#0 @602 PUT b=1 602/602/1"));
        long through = 1;
        while (through < 601)
        {
            foreach (Event change in (await slow.ReadAsync()).Events)
            {
                Assert.That(change.Kv.ModRevision, Is.EqualTo(++through));
            }
        }
    }

    /// <summary>A burst goes out in few packets; the last of it must not wait for the next burst.</summary>
    [Test]
    public async Task Every_event_of_a_burst_arrives_on_every_watch_of_a_stream()
    {
        await using TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        for (int i = 0; i < 100; i++)
        {
            await call.CreateAsync(new() { Key = Bytes("a"), RangeEnd = Bytes("b") });
            await call.NextAsync();
        }

        for (int burst = 1; burst <= 20; burst++)
        {
            for (int i = 0; i < 10; i++)
            {
                await node.Store.PutAsync(Bytes("a").Memory, new byte[100]);
            }

            for (int left = 1000; left > 0;)
            {
                left -= (await call.ReadAsync()).Events.Count;
                Assert.That(left, Is.GreaterThanOrEqualTo(0));
            }
        }
    }

    [Test]
    [Repeat(10)]
    public async Task A_node_that_stops_ends_its_streams()
    {
        TestNode node = await TestNode.StartAsync();
        using WatchCall call = new(node);
        await call.CreateAsync(new() { Key = Bytes("a") });
        await call.NextAsync();
        Task<WatchResponse> next = call.ReadAsync();
        long began = Environment.TickCount64;
        await node.Server.StopAsync(CancellationToken.None);
        Assert.That(Environment.TickCount64 - began, Is.LessThan(1200), "nobody waits for a watch to end");
        RpcException? ended = await Assert.ThrowsAsync<RpcException>(async () => await next);
        Assert.That(ended!.StatusCode, Is.EqualTo(StatusCode.Unavailable));
        await node.DisposeAsync();
    }

    internal static ByteString Bytes(string text) => ByteString.CopyFromUtf8(text);

    private static async Task PutAsync(TestNode node, string key, string value) => await node.Kv.PutAsync(new PutRequest { Key = Bytes(key), Value = Bytes(value) });

    private static async Task UntilAsync(Func<bool> condition)
    {
        long end = Environment.TickCount64 + 20_000;
        while (!condition())
        {
            Assert.That(Environment.TickCount64, Is.LessThan(end));
            await Task.Delay(10);
        }
    }

    /// <summary>One stream, its answers as text: #watch @header revision what.</summary>
    internal sealed class WatchCall(TestNode node) : IDisposable
    {
        private readonly CancellationTokenSource limit = new(TimeSpan.FromSeconds(30));

        public AsyncDuplexStreamingCall<WatchRequest, WatchResponse> Call { get; } = new Watch.WatchClient(node.Channel).Watch();

        public void Dispose()
        {
            Call.Dispose();
            limit.Dispose();
        }

        public Task CreateAsync(WatchCreateRequest request) => Call.RequestStream.WriteAsync(new() { CreateRequest = request });

        public Task CancelAsync(long id) => Call.RequestStream.WriteAsync(new() { CancelRequest = new() { WatchId = id } });

        public Task ProgressAsync() => Call.RequestStream.WriteAsync(new() { ProgressRequest = new() });

        public async Task<WatchResponse> ReadAsync()
        {
            Assert.That(await Call.ResponseStream.MoveNext(limit.Token), Is.True);
            return Call.ResponseStream.Current;
        }

        public async Task<string> NextAsync() => Text(await ReadAsync());

        internal static string Text(WatchResponse response)
        {
            List<string> words = [string.Create(CultureInfo.InvariantCulture, $"#{response.WatchId} @{response.Header.Revision}")];
            if (response.Created)
            {
                words.Add("created");
            }

            if (response.Canceled)
            {
                words.Add("canceled");
            }

            if (response.CompactRevision != 0)
            {
                words.Add(string.Create(CultureInfo.InvariantCulture, $"compacted {response.CompactRevision}"));
            }

            if (response.CancelReason.Length > 0)
            {
                words.Add(response.CancelReason);
            }

            if (words.Count == 1 && response.Events.Count == 0)
            {
                words.Add("progress");
            }

            if (response.Events.Count > 0)
            {
                words.Add(string.Join(", ", response.Events.Select(Text)));
            }

            return string.Join(' ', words);
        }

        internal static string Text(Event change)
        {
            Loom.Server.Etcd.Protos.KeyValue pair = change.Kv;
            string said = string.Create(CultureInfo.InvariantCulture, $"{pair.Key.ToStringUtf8()}={pair.Value.ToStringUtf8()} {pair.CreateRevision}/{pair.ModRevision}/{pair.Version}");
            return $"{change.Type.ToString().ToUpperInvariant()} {said}" + (change.PrevKv is null ? "" : $" was {change.PrevKv.Value.ToStringUtf8()}");
        }
    }
}
