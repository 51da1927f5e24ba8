using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Applying;

/// <summary>Readers beside the applier: each transaction writes one number to all keys, deletes and recreates some, and compaction runs all the time.</summary>
internal sealed class ConcurrencyTests
{
    private const int Keys = 24;

    [Test]
    public void Readers_see_whole_transactions_while_writes_and_compactions_go_on()
    {
        using var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        machine.Open(default);
        bool done = false;
        long reads = 0;
        Exception? failure = null;
        Thread[] readers = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            try
            {
                var local = new LocalReads(machine);
                while (!Volatile.Read(ref done))
                {
                    ReadOnce(local);
                    Interlocked.Increment(ref reads);
                }
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        }))];
        foreach (Thread reader in readers)
        {
            reader.Start();
        }

        long index = 0;
        var results = new ApplyResult[2];
        for (int round = 1; round <= 1500 && failure is null; round++)
        {
            byte[] value = BitConverter.GetBytes(round);
            IEnumerable<Operation> puts = Enumerable.Range(0, Keys).Where(key => !Skips(round, key)).Select(key => (Operation)new PutOperation(Key(key), value));
            IEnumerable<Operation> deletes = Enumerable.Range(0, Keys).Where(key => Skips(round, key)).Select(key => (Operation)new DeleteOperation(KeyRange.Single(Key(key))));
            Command write = new TransactionCommand(new Transaction([], [.. puts, .. deletes], []));
            Command compact = new CompactCommand(machine.Revision);
            machine.ApplyBatch(
                [Entry(++index, write), Entry(++index, compact)],
                results);
            Assert.That(results[0].Outcome.Code, Is.Zero);
        }

        Volatile.Write(ref done, true);
        foreach (Thread reader in readers)
        {
            reader.Join();
        }

        Assert.That(failure, Is.Null);
        Assert.That(reads, Is.GreaterThan(100));
    }

    /// <summary>
    /// A view whose revision compaction had passed before it was complete would refuse a read of the newest revision, and let a transaction believe that nothing was trimmed since.
    /// </summary>
    [Test]
    public void A_view_is_never_older_than_what_was_compacted()
    {
        using var machine = new LoomStateMachine(new KeyIndex(), new MemoryRecordStore());
        machine.Open(default);
        bool done = false;
        string? overtaken = null;
        Thread[] readers = [.. Enumerable.Range(0, 3).Select(_ => new Thread(() =>
        {
            while (!Volatile.Read(ref done))
            {
                ReadView view = machine.View;
                if (view.CompactRevision > view.Revision)
                {
                    overtaken = $"revision {view.Revision}, compacted {view.CompactRevision}";
                }
            }
        }))];
        foreach (Thread reader in readers)
        {
            reader.Start();
        }

        var results = new ApplyResult[2];
        for (long round = 1; round <= 30_000 && overtaken is null; round++)
        {
            machine.ApplyBatch([Entry((2 * round) - 1, new PutCommand(new PutOperation(Key(0), Key(1)))), Entry(2 * round, new CompactCommand(round + 1))], results);
            Assert.That(results[1].Outcome.Code, Is.Zero);
        }

        Volatile.Write(ref done, true);
        foreach (Thread reader in readers)
        {
            reader.Join();
        }

        Assert.That(overtaken, Is.Null);
    }

    /// <summary>All keys carry the number of one round, and exactly those are missing that this round deletes.</summary>
    private static void ReadOnce(LocalReads local)
    {
        LoomErrorCode refusal = local.Range(new RangeQuery(KeyRange.All), out RangeResult? all);
        if (refusal != 0)
        {
            throw new InvalidOperationException($"a read of the newest revision was refused: {refusal}");
        }

        if (all!.Pairs.Count == 0)
        {
            return;
        }

        int round = BitConverter.ToInt32(all.Pairs[0].Value.Span);
        string expected = string.Join(",", Enumerable.Range(0, Keys).Where(key => !Skips(round, key)).Select(key => $"{key}:{round}"));
        string actual = string.Join(",", all.Pairs.Select(pair => $"{pair.Key.Span[0]}:{BitConverter.ToInt32(pair.Value.Span)}"));
        if (expected != actual || all.Pairs.Any(pair => pair.ModRevision != all.Revision.Number))
        {
            throw new InvalidOperationException($"torn at {all.Revision}: {actual} instead of {expected}");
        }
    }

    private static bool Skips(int round, int key) => key != 0 && (round + key) % 3 == 0;

    private static byte[] Key(int key) => [(byte)key];

    private static CommittedEntry Entry(long index, Command command) => new(index, 1, 0, EntryKind.Command, CommandWriter.Encode(command), false);
}
