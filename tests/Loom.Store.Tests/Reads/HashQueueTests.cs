using System.Diagnostics;
using Loom.Store.Applying;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Reads;

/// <summary>Goal: hashing is one at a time and ends when its caller or the store does. Method: records that stop in the middle of being read until they are let go.</summary>
internal sealed class HashQueueTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Test]
    public async Task One_hash_runs_at_a_time_and_each_ends_with_its_token()
    {
        using var records = new StoppingRecords();
        await using LoomStore store = await OpenAsync(records);
        using var cancelFirst = new CancellationTokenSource();
        using var cancelSecond = new CancellationTokenSource();
        Task<HashResult> first = store.HashAsync(cancellationToken: cancelFirst.Token).AsTask();
        await records.Entered.WaitAsync(Patience);
        Task<HashResult> second = store.HashAsync(cancellationToken: cancelSecond.Token).AsTask();
        Task<HashResult> third = store.HashAsync().AsTask();

        await cancelSecond.CancelAsync();
        Assert.That(async () => await second.WaitAsync(Patience), Throws.InstanceOf<OperationCanceledException>(), "a caller that waits for its turn");
        Assert.That(records.Pages, Is.EqualTo(1));

        await cancelFirst.CancelAsync();
        records.LetGo();
        Assert.That(async () => await first.WaitAsync(Patience), Throws.InstanceOf<OperationCanceledException>(), "in the middle of the records");
        Assert.That((await third.WaitAsync(Patience)).Hash, Is.EqualTo((await store.HashAsync()).Hash));
    }

    [Test]
    public async Task Closing_ends_a_hash_before_its_records_go()
    {
        using var records = new StoppingRecords();
        LoomStore store = await OpenAsync(records);
        Task<HashResult> hash = store.HashAsync().AsTask();
        await records.Entered.WaitAsync(Patience);
        long began = Stopwatch.GetTimestamp();
        Task closing = store.DisposeAsync().AsTask();
        await Task.Delay(50);
        bool disposed = records.Disposed;

        // Closing waits for a hash, but not for ever: on a machine that was held up meanwhile it may have gone on rightly.
        Assert.That(disposed && Stopwatch.GetElapsedTime(began) < HashQueue.CloseLimit, Is.False);
        records.LetGo();
        await closing.WaitAsync(Patience);
        Assert.That(async () => await hash.WaitAsync(Patience), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
        Assert.That(records.Disposed, Is.True);
    }

    [Test]
    public async Task Too_many_callers_are_refused()
    {
        using var records = new StoppingRecords();
        await using LoomStore store = await OpenAsync(records);
        Task<HashResult>[] all = [.. Enumerable.Range(0, HashQueue.MaxWaiting + 1).Select(_ => store.HashAsync().AsTask())];
        Assert.That(async () => await store.HashAsync(), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Overloaded));
        records.LetGo();
        HashResult[] results = await Task.WhenAll(all).WaitAsync(Patience);
        Assert.That(results.Select(r => r.Hash).Distinct().Count(), Is.EqualTo(1));
        Assert.That((await store.HashAsync()).Hash, Is.EqualTo(results[0].Hash));
    }

    private static async Task<LoomStore> OpenAsync(StoppingRecords records)
    {
        var machine = new LoomStateMachine(new KeyIndex(), records);
        var store = new LoomStore(new ImmediateNode(machine), machine, new LoomOptions());
        await store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
        await store.PutAsync("b"u8.ToArray(), "2"u8.ToArray());
        return store;
    }

    private sealed class StoppingRecords : IRecordStore
    {
        private readonly MemoryRecordStore records = new();
        private readonly TaskCompletionSource entered = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly ManualResetEventSlim gate = new();
        private int pages;

        public Task Entered => entered.Task;

        /// <summary>How often records were asked for.</summary>
        public int Pages => Volatile.Read(ref pages);

        public bool Disposed { get; private set; }

        public long SizeBytes => records.SizeBytes;

        public void LetGo() => gate.Set();

        public void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex) => records.Append(key, record, appliedIndex);

        public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record) => records.TryRead(key, out record);

        public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results)
        {
            Interlocked.Increment(ref pages);
            records.ReadMany(keys, results);
            entered.TrySetResult();
            gate.Wait();
        }

        public void Remove(RecordKey key) => records.Remove(key);

        public void Dispose()
        {
            // A read after this would be one of freed memory.
            Disposed = true;
            gate.Set();
        }
    }
}
