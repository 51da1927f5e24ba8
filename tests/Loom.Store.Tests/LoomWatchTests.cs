using System.Globalization;
using System.Text;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Watches through the facade, over a node that applies at once: what a reader sees, and how it ends.</summary>
internal sealed class LoomWatchTests
{
    private static readonly byte[] A = "a"u8.ToArray();
    private static readonly byte[] B = "b"u8.ToArray();
    private CancellationTokenSource limit = null!;

    [SetUp]
    public void Limit() => limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));

    [TearDown]
    public void End() => limit.Dispose();

    [Test]
    public async Task A_watch_delivers_what_comes_after_the_call_whole_transactions_in_order()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync(A, A);
        IAsyncEnumerable<WatchBatch> watch = store.WatchAsync(KeyRange.All, cancellationToken: limit.Token);
        await store.PutAsync(A, B);
        await store.TransactAsync(t => t.Delete(KeyRange.Single(A)).Put(B, A));
        List<string> seen = await TakeAsync(watch, 3);
        Assert.That(seen, Is.EqualTo(["3 put a=b", "4 delete a", "4 put b=a"]));
    }

    [Test]
    public async Task A_watch_begins_anywhere_in_the_history_and_shows_what_was_there_before()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync(A, A);
        await store.PutAsync(B, A);
        await store.PutAsync(A, B);
        await store.DeleteAsync(KeyRange.Single(A));
        await foreach (WatchBatch batch in store.WatchAsync(new WatchQuery(KeyRange.Single(A)) { From = new Revision(2), PreviousPairs = true }, limit.Token))
        {
            Assert.That(batch.Events.Select(Text), Is.EqualTo(["2 put a=a", "4 put a=b", "5 delete a"]));
            Assert.That(batch.Events.Select(change => change.Previous is { } previous ? Encoding.UTF8.GetString(previous.Value.Span) : null), Is.EqualTo([null, "a", "b"]));
            Assert.That((batch.Revision.Number, batch.Current.Number), Is.EqualTo((5, 5)));
            break;
        }
    }

    [Test]
    public async Task Filters_leave_out_puts_or_deletes_and_a_future_revision_waits()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        IAsyncEnumerable<WatchBatch> deletes = store.WatchAsync(new WatchQuery(KeyRange.All) { Puts = false, From = new Revision(1) }, limit.Token);
        IAsyncEnumerable<WatchBatch> puts = store.WatchAsync(new WatchQuery(KeyRange.All) { Deletes = false, From = new Revision(4) }, limit.Token);
        Task<List<string>> first = TakeAsync(deletes, 1), second = TakeAsync(puts, 1);
        await store.PutAsync(A, A);
        await store.DeleteAsync(KeyRange.All);
        await store.PutAsync(A, B);
        Assert.That(await first, Is.EqualTo(["3 delete a"]));
        Assert.That(await second, Is.EqualTo(["4 put a=b"]));
    }

    [Test]
    public async Task A_compacted_revision_ends_the_watch_and_says_from_where_it_can_begin()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync(A, A);
        await store.PutAsync(A, B);
        await store.CompactAsync(new Revision(3), physical: true);
        WatchCompactedException? ended = await Assert.ThrowsAsync<WatchCompactedException>(async () => await TakeAsync(store.WatchAsync(KeyRange.All, new Revision(2), limit.Token), 1));
        Assert.That((ended!.Code, ended.CompactRevision), Is.EqualTo((LoomErrorCode.Compacted, 3)));
        Assert.That(await TakeAsync(store.WatchAsync(KeyRange.All, new Revision(3), limit.Token), 1), Is.EqualTo(["3 put a=b"]), "the compacted revision itself is still there");
    }

    [Test]
    public async Task A_watch_that_can_never_work_is_refused_at_once()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        Assert.That(() => store.WatchAsync(new KeyRange(B, A)), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.InvalidRequest));
        Assert.That(() => store.WatchAsync(KeyRange.Single(default)), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.EmptyKey));
        Assert.That(() => store.WatchAsync(KeyRange.All, new Revision(-1)), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.InvalidRequest));
    }

    [Test]
    public async Task A_watch_ends_with_the_store_or_with_its_reader_and_leaves_nothing()
    {
        LoomStore store = ImmediateNode.OpenStore();
        Task<List<string>> closed = TakeAsync(store.WatchAsync(KeyRange.All, cancellationToken: limit.Token), 1);
        using var stop = new CancellationTokenSource();
        Task<List<string>> cancelled = TakeAsync(store.WatchAsync(KeyRange.All, cancellationToken: stop.Token), 1);
        await UntilAsync(() => store.Status.Watches == 2);
        await stop.CancelAsync();
        Assert.That(async () => await cancelled, Throws.InstanceOf<OperationCanceledException>());
        await UntilAsync(() => store.Status.Watches == 1);
        await store.DisposeAsync();
        Assert.That(async () => await closed, Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
    }

    [Test]
    public async Task A_watch_over_a_state_that_was_found_to_be_wrong_says_so()
    {
        using var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        await using var store = new LoomStore(new ImmediateNode(machine), machine, new LoomOptions());
        Task<List<string>> watch = TakeAsync(store.WatchAsync(KeyRange.All, cancellationToken: limit.Token), 1);
        await UntilAsync(() => store.Status.Watches == 1);
        machine.Condemn();
        Assert.That(async () => await watch, Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.WatchLost));
        Assert.That(() => store.WatchAsync(KeyRange.All), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Corruption));
    }

    [Test]
    public async Task A_quiet_watch_is_told_of_progress_where_it_asks_for_it()
    {
        await using LoomStore store = ImmediateNode.OpenStore(out _, new LoomOptions { WatchProgressInterval = TimeSpan.FromMilliseconds(100) });
        await store.PutAsync(B, B);
        bool isTold = false;
        await foreach (WatchBatch batch in store.WatchAsync(new WatchQuery(KeyRange.Single(A)) { Progress = true }, limit.Token))
        {
            if (!batch.IsProgress)
            {
                Assert.That(batch.Events.Select(Text), Is.EqualTo(["3 put a=a"]));
                break;
            }

            Assert.That(batch.Revision.Number, Is.EqualTo(2));
            if (!isTold)
            {
                isTold = true;
                await store.PutAsync(A, A);
            }
        }

        Assert.That(isTold, Is.True);
    }

    [Test]
    public async Task Progress_of_a_stream_comes_behind_everything_up_to_it()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await using LoomWatchStream stream = store.OpenWatches();
        Assert.That(stream.RequestProgress(), Is.False, "nobody watches");
        stream.Add(1, new WatchQuery(KeyRange.Single(A)));
        stream.Add(2, new WatchQuery(KeyRange.All));
        for (int i = 0; i < 100; i++)
        {
            await store.PutAsync(i % 2 == 0 ? A : B, A);
        }

        Assert.That(stream.RequestProgress(), Is.True);
        await store.PutAsync(A, A);
        Dictionary<long, int> counts = new() { [1] = 0, [2] = 0 };
        WatchMessage? message;
        do
        {
            message = await stream.NextAsync();
            if (message.Watch is { } id)
            {
                counts[id] += message.Batch!.Events.Count(change => change.Pair.ModRevision <= 101);
            }
        }
        while (message.Watch is not null);
        Assert.That(message.Batch!.IsProgress, Is.True);
        Assert.That(message.Batch.Revision.Number, Is.EqualTo(101));
        Assert.That((counts[1], counts[2]), Is.EqualTo((50, 100)));
        stream.Add(3, new WatchQuery(KeyRange.All) { From = new Revision(5000) });
        Assert.That(stream.RequestProgress(), Is.False, "one waits for a revision that is not written yet");
        Assert.That(() => stream.Add(3, new WatchQuery(KeyRange.All)), Throws.ArgumentException);
        Assert.That((stream.Remove(3), stream.Remove(3)), Is.EqualTo((true, false)));
    }

    /// <summary>Writers race with readers that begin at any time, of which some are so slow that they read the history: nobody may miss, repeat or tear a revision.</summary>
    [Test]
    public async Task Racing_writes_and_slow_readers_miss_nothing()
    {
        const int Writes = 12_000;
        await using LoomStore store = ImmediateNode.OpenStore();
        Task[] writers =
        [
            .. Enumerable.Range(0, 3).Select(writer => Task.Run(async () =>
            {
                for (int i = 0; i < Writes / 3; i++)
                {
                    byte[] key = Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"k{i % 50}"));
                    await store.TransactAsync(t => t.Put(One(key, 1), key).Put(One(key, 2), key));
                }
            })),
        ];
        Task[] readers = [.. Enumerable.Range(0, 8).Select(reader => Task.Run(() => FollowAsync(store, reader, 1 + Writes)))];
        await Task.WhenAll([.. writers, .. readers]).WaitAsync(limit.Token);
        Assert.That(store.Status.Revision.Number, Is.EqualTo(1 + Writes));
        await UntilAsync(() => store.Status.Watches == 0);
    }

    /// <summary>Alone: it measures the memory of the process.</summary>
    [Test]
    [NonParallelizable]
    public async Task Ten_thousand_idle_watches_cost_less_than_two_kilobytes_each()
    {
        const int Count = 10_000;
        await using LoomStore store = ImmediateNode.OpenStore();
        await using LoomWatchStream stream = store.OpenWatches();
        long before = GC.GetTotalMemory(forceFullCollection: true);
        for (int i = 0; i < Count; i++)
        {
            stream.Add(i, new WatchQuery(KeyRange.Single(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key/{i:d20}")))));
        }

        long each = (GC.GetTotalMemory(forceFullCollection: true) - before) / Count;
        TestContext.Out.WriteLine($"{each} bytes a watch");
        Assert.That(each, Is.LessThan(2048));
        await store.PutAsync("key/00000000000000004711"u8.ToArray(), A);
        Assert.That((await stream.NextAsync()).Watch, Is.EqualTo(4711));
    }

    private static byte[] One(byte[] key, byte number) => [.. key, number];

    private async Task FollowAsync(LoomStore store, int reader, long last)
    {
        var random = new Random(reader);
        long through = random.Next(1, 500);
        await foreach (WatchBatch batch in store.WatchAsync(KeyRange.All, new Revision(through + 1), limit.Token))
        {
            for (int i = 0; i < batch.Events.Count; i++)
            {
                long expected = through + 1 + (i / 2);
                if (batch.Events[i].Pair.ModRevision != expected || batch.Events[i].Pair.Key.Span[^1] != 1 + (i % 2))
                {
                    Assert.Fail($"reader {reader} got {Text(batch.Events[i])} where revision {expected} was due");
                }
            }

            Assert.That(batch.Revision.Number, Is.EqualTo(through + (batch.Events.Count / 2)));
            through = batch.Revision.Number;
            if (through >= last)
            {
                return;
            }

            if (reader >= 4 && random.Next(4) == 0)
            {
                await Task.Delay(random.Next(1, 30), limit.Token);
            }
        }
    }

    private static async Task<List<string>> TakeAsync(IAsyncEnumerable<WatchBatch> watch, int count)
    {
        List<string> seen = [];
        await foreach (WatchBatch batch in watch)
        {
            seen.AddRange(batch.Events.Select(Text));
            if (seen.Count >= count)
            {
                break;
            }
        }

        return seen;
    }

    private async Task UntilAsync(Func<bool> condition)
    {
        while (!condition())
        {
            await Task.Delay(5, limit.Token);
        }
    }

    private static string Text(WatchEvent change)
    {
        string key = Encoding.UTF8.GetString(change.Pair.Key.Span);
        return string.Create(CultureInfo.InvariantCulture, $"{change.Pair.ModRevision} {(change.Kind == WatchEventKind.Put ? $"put {key}={Encoding.UTF8.GetString(change.Pair.Value.Span)}" : $"delete {key}")}");
    }
}
