using System.Collections.Concurrent;
using Loom.Raft;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Testing;
using Microsoft.Extensions.Logging;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Goal: closing frees nothing that is in use, and nothing that fails on the way keeps the node open.</summary>
internal sealed class ClosingTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    [Test]
    public async Task The_records_stay_when_the_applier_does_not_end()
    {
        string directory = Directory.CreateTempSubdirectory("loom-closing-").FullName;
        using var records = new TrickRecords { Blocks = true };
        var machine = new LoomStateMachine(new KeyIndex(), records);
        RaftNode node = await RaftNode.OpenAsync(new RaftNodeOptions { Name = "solo", DataDirectory = directory }, machine);
        var store = new LoomStore(node, machine, new LoomOptions());
        Task<Revision> put = store.PutAsync("a"u8.ToArray(), "1"u8.ToArray()).AsTask();
        await records.Entered.Task.WaitAsync(Patience);
        await store.DisposeAsync().AsTask().WaitAsync(Patience);
        Assert.That(records.Disposed, Is.False, "the applier is in the middle of an append");
        Assert.That(async () => await put.WaitAsync(Patience), Throws.InstanceOf<OutcomeUnknownException>());
        Assert.That(() => store.Get("a"u8.ToArray()), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Stopped));
        records.Gate.Set();
        Directory.Delete(directory, recursive: true);
    }

    [Test]
    public async Task A_compaction_that_fails_is_told_to_the_log_and_does_not_keep_the_node_open()
    {
        using var records = new TrickRecords();
        using var log = new CriticalLog();
        var machine = new LoomStateMachine(new KeyIndex(), records);
        var node = new ImmediateNode(machine);
        var store = new LoomStore(node, machine, new LoomOptions { LoggerFactory = log });
        for (int i = 0; i < 2000; i++)
        {
            await store.PutAsync(BitConverter.GetBytes(i % 1000), "1"u8.ToArray());
        }

        // The applier trims the first few keys itself; the pump meets the failure.
        records.FailsOffTheAppliersThread = true;
        await store.CompactAsync(new Revision(machine.Revision));
        Assert.That(() => log.Critical, Has.Count.EqualTo(1).After(10_000, 10));
        await store.DisposeAsync();
        Assert.That(node.Status.Role, Is.EqualTo("stopped"));
        Assert.That(records.Disposed, Is.True);
    }

    private sealed class TrickRecords : IRecordStore
    {
        private readonly MemoryRecordStore records = new();
        private int applier;

        public TaskCompletionSource Entered { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public ManualResetEventSlim Gate { get; } = new();

        public bool Blocks { get; init; }

        public bool FailsOffTheAppliersThread { get; set; }

        public bool Disposed { get; private set; }

        public long SizeBytes => records.SizeBytes;

        public void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex)
        {
            applier = Environment.CurrentManagedThreadId;
            Entered.TrySetResult();
            if (Blocks)
            {
                Gate.Wait();
            }

            records.Append(key, record, appliedIndex);
        }

        public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record) => records.TryRead(key, out record);

        public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results) => records.ReadMany(keys, results);

        public void Remove(RecordKey key)
        {
            if (FailsOffTheAppliersThread && Environment.CurrentManagedThreadId != applier)
            {
                throw new InvalidOperationException("broken");
            }

            records.Remove(key);
        }

        public void Dispose() => Disposed = true;
    }

    private sealed class CriticalLog : ILoggerFactory, ILogger
    {
        public ConcurrentQueue<string> Critical { get; } = [];

        public void AddProvider(ILoggerProvider provider)
        {
        }

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => logLevel == LogLevel.Critical;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (logLevel == LogLevel.Critical)
            {
                Critical.Enqueue(formatter(state, exception));
            }
        }

        public void Dispose()
        {
        }
    }
}
