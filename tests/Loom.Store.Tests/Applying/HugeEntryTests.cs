using System.Text;
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

/// <summary>One entry that deletes more keys than fit into sixteen bits (S1, S7).</summary>
internal sealed class HugeEntryTests
{
    private const int Keys = 120_000;
    private long index;

    [Test]
    public void A_delete_of_many_keys_is_seen_whole_holds_up_no_reader_and_travels_in_snapshots()
    {
        using LoomStateMachine machine = Open();
        for (int from = 0; from < Keys; from += 1000)
        {
            Apply(machine, [.. Enumerable.Range(from, 1000).Select(i => new PutCommand(new PutOperation(Key(i), "v"u8.ToArray())))]);
        }

        bool done = false;
        long duringDelete = 0;
        int applying = 0;
        Exception? failure = null;
        Thread reader = new(() =>
        {
            try
            {
                var reads = new LocalReads(machine);
                while (!Volatile.Read(ref done))
                {
                    int before = Volatile.Read(ref applying);
                    reads.Range(new RangeQuery(KeyRange.Prefix("k"u8.ToArray())) { CountOnly = true }, out RangeResult? result);
                    Assert.That(result!.Count, Is.AnyOf(Keys, 0));
                    duringDelete += before == 1 && Volatile.Read(ref applying) == 1 ? 1 : 0;
                }
            }
            catch (Exception exception)
            {
                failure = exception;
            }
        });
        reader.Start();
        long revision = machine.Revision;
        Volatile.Write(ref applying, 1);
        ApplyResult result = Apply(machine, [new DeleteCommand(new DeleteOperation(KeyRange.Prefix("k"u8.ToArray())))])[0];
        Volatile.Write(ref applying, 0);
        Volatile.Write(ref done, true);
        reader.Join();
        Assert.That((failure, result.Outcome.Extra, machine.Revision), Is.EqualTo(((Exception?)null, (long)Keys, revision + 1)), "one revision");
        Assert.That(duringDelete, Is.Positive, "readers went on");

        // The history of the delete is whole in a machine that was filled from this one: subs above 65,535 included.
        using LoomStateMachine other = Open();
        using (IStateSnapshot capture = machine.CaptureSnapshot(new StatePosition(index, 1, default)))
        using (IStateInstallation installation = other.BeginInstall(capture.At, capture.Header))
        {
            for (StateChunk? chunk = capture.Read(default, 1 << 20); chunk is not null; chunk = capture.Read(chunk.Cursor, 1 << 20))
            {
                installation.Write(chunk);
            }

            installation.Complete();
            other.Switch(installation);
        }

        Assert.That(new LocalReads(other).Hash(0), Is.EqualTo(new LocalReads(machine).Hash(0)));
        Assert.That(Count(other, revision), Is.EqualTo(Keys));
        foreach (LoomStateMachine each in new[] { machine, other })
        {
            Apply(each, [new CompactCommand(revision + 1)]);
            Apply(each, [new PutCommand(new PutOperation("z"u8.ToArray(), default))]);
            Apply(each, [new CompactCommand(revision + 2)]);
            while (each.TrimStep(1000))
            {
            }

            Assert.That(((MemoryRecordStore)each.Records).Count, Is.EqualTo(1));
        }

        Assert.That(other.Content, Is.EqualTo(machine.Content));
    }

    private static long Count(LoomStateMachine machine, long revision)
    {
        new LocalReads(machine).Range(new RangeQuery(KeyRange.Prefix("k"u8.ToArray())) { CountOnly = true, Revision = revision }, out RangeResult? result);
        return result!.Count;
    }

    private static byte[] Key(int i) => Encoding.UTF8.GetBytes($"k{i:D6}");

    private ApplyResult[] Apply(LoomStateMachine machine, Command[] commands)
    {
        CommittedEntry[] entries = [.. commands.Select(command => new CommittedEntry(++index, 1, 0, EntryKind.Command, CommandWriter.Encode(command), false))];
        var results = new ApplyResult[entries.Length];
        machine.ApplyBatch(entries, results);
        return results;
    }

    private static LoomStateMachine Open()
    {
        var machine = new LoomStateMachine(new KeyIndex(), () => new MemoryRecordStore());
        machine.Open(default);
        return machine;
    }
}
