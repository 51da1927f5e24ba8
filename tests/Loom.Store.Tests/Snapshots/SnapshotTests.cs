using System.Text;
using Loom.Raft;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Store.Snapshots;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Snapshots;

internal sealed class SnapshotTests
{
    private long index;

    [SetUp]
    public void Reset() => index = 0;

    /// <summary>Header, cursor and bytes of every chunk, bit by bit: refused at the latest by Complete, and what was there goes on.</summary>
    [Test]
    public void Every_flipped_bit_of_a_small_state_is_refused()
    {
        using LoomStateMachine source = Small();
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 150);
        Assert.That(chunks, Has.Count.GreaterThanOrEqualTo(3));
        using LoomStateMachine target = Open();
        Install(target, header, chunks);
        for (int part = -1; part < 2 * chunks.Count; part++)
        {
            int length = part < 0 ? header.Length : part % 2 == 0 ? chunks[part / 2].Cursor.Length : chunks[part / 2].Bytes.Length;
            for (int bit = 0; bit < 8 * length; bit++)
            {
                (ReadOnlyMemory<byte> bad, List<StateChunk> stream) = Flip(header, chunks, part, bit);
                RaftException? refused = Assert.Throws<RaftException>(() => Install(target, bad, stream), $"part {part} bit {bit}");
                Assert.That(refused!.Code, Is.EqualTo(RaftErrorCode.Corruption).Or.EqualTo(RaftErrorCode.CannotOpen));
            }
        }

        Assert.That(new LocalReads(target).Hash(0), Is.EqualTo(new LocalReads(source).Hash(0)));
    }

    [Test]
    public void A_chunk_that_is_missing_repeated_swapped_or_cut_is_refused()
    {
        using LoomStateMachine source = Small();
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 150);
        using LoomStateMachine target = Open();
        for (int i = 0; i < chunks.Count; i++)
        {
            List<StateChunk> missing = [.. chunks[..i], .. chunks[(i + 1)..]];
            List<StateChunk> repeated = [.. chunks[..(i + 1)], .. chunks[i..]];
            List<StateChunk> swapped = [.. chunks];
            (swapped[i], swapped[^1]) = (swapped[^1], swapped[i]);
            List<StateChunk> cut = [.. chunks[..i], chunks[i] with { Bytes = chunks[i].Bytes[..^1] }, .. chunks[(i + 1)..]];
            Assert.Throws<RaftException>(() => Install(target, header, missing));
            Assert.Throws<RaftException>(() => Install(target, header, repeated));
            Assert.Throws<RaftException>(() => Install(target, header, cut));
            if (i < chunks.Count - 1)
            {
                Assert.Throws<RaftException>(() => Install(target, header, swapped));
            }
        }

        Assert.Throws<RaftException>(() => Install(target, header[..^1], chunks));
        Assert.Throws<RaftException>(() => Install(target, default, chunks));
    }

    /// <summary>Well-formed chunks of another state, or of records that no state holds: checksums are fine, S2 and the header are not.</summary>
    [Test]
    public void A_state_that_is_whole_but_not_the_one_named_is_refused()
    {
        using LoomStateMachine source = Small();
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 150);
        Put(source, "a", "later");
        (_, List<StateChunk> later) = Stream(source, 150);
        using LoomStateMachine target = Open();
        Assert.Throws<RaftException>(() => Install(target, header, later));
        Assert.Throws<RaftException>(() => Install(target, header, []));

        // One record of each chunk belongs below the compacted revision, or above the revision.
        StateHeader named = StateHeader.Decode(header.Span);
        MachineState state = named.State;
        foreach (StateHeader other in new[] { named with { State = state with { CompactRevision = state.Revision } }, named with { State = state with { Revision = state.Revision - 1 } }, named with { LiveKeys = named.LiveKeys + 1 } })
        {
            Assert.Throws<RaftException>(() => Install(target, other.Encode(), chunks));
        }
    }

    [Test]
    public void An_unknown_format_is_refused_by_name()
    {
        using LoomStateMachine source = Small();
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 4096);
        byte[] newerHeader = header.ToArray();
        newerHeader[4] = 2;
        byte[] newerChunk = chunks[0].Bytes.ToArray();
        newerChunk[4] = 2;
        using LoomStateMachine target = Open();
        Assert.Multiple(() =>
        {
            Assert.That(Assert.Throws<RaftException>(() => Install(target, newerHeader, chunks))!.Message, Does.Contain("format 2").And.Contain("knows 1"));
            Assert.That(Assert.Throws<RaftException>(() => Install(target, header, [chunks[0] with { Bytes = newerChunk }]))!.Message, Does.Contain("format 2").And.Contain("knows 1"));
        });
    }

    [Test]
    public void An_empty_state_can_be_installed()
    {
        using LoomStateMachine source = Open();
        using LoomStateMachine target = Small();
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 100);
        Install(target, header, chunks);
        Assert.That((chunks.Count, target.Revision, target.Index.LiveKeys), Is.EqualTo((0, 1L, 0L)));
        Put(target, "k", "v");
        Assert.That(new LocalReads(target).Get("k"u8.ToArray())!.ModRevision, Is.EqualTo(2));
    }

    [Test]
    public void Compaction_waits_for_an_open_capture_and_goes_on_when_it_closes()
    {
        using LoomStateMachine machine = Small();
        int signals = 0;
        machine.CompactionBegan = () => signals++;
        IStateSnapshot capture = machine.CaptureSnapshot(default);
        List<StateChunk> before = Read(capture, 150);
        Apply(machine, new CompactCommand(machine.Revision));
        Assert.That(machine.TrimStep(100), Is.False);
        Assert.That(Read(capture, 150).Select(c => Convert.ToHexString(c.Bytes.Span)), Is.EqualTo(before.Select(c => Convert.ToHexString(c.Bytes.Span))));
        signals = 0;
        capture.Dispose();
        Assert.That(signals, Is.EqualTo(1), "whoever trims is told");
        machine.TrimStep(100);
        Assert.That(machine.TrimmedRevision, Is.EqualTo(machine.Revision));
        Assert.That(Assert.Throws<RaftException>(() => capture.Read(default, 100))!.Code, Is.EqualTo(RaftErrorCode.Stopped));
    }

    [Test]
    public void A_capture_ends_after_ten_minutes_of_cluster_time()
    {
        using LoomStateMachine machine = Small();
        using IStateSnapshot capture = machine.CaptureSnapshot(default);
        StateChunk first = capture.Read(default, 100)!;
        Apply(machine, new CompactCommand(machine.Revision), clusterTime: 1000);
        Apply(machine, new PutCommand(new PutOperation("x"u8.ToArray(), default)), clusterTime: OpenCaptures.LimitNanoseconds - 1);
        Assert.That(capture.Read(first.Cursor, 100), Is.Not.Null, "the capture knew of no time before the first entry");
        Apply(machine, new PutCommand(new PutOperation("x"u8.ToArray(), default)), clusterTime: OpenCaptures.LimitNanoseconds + 1000);
        Assert.That(Assert.Throws<RaftException>(() => capture.Read(first.Cursor, 100))!.Message, Does.Contain("ten minutes"));
        machine.TrimStep(100);
        Assert.That(machine.TrimmedRevision, Is.GreaterThan(0), "compaction waits no longer");
    }

    [Test]
    public void A_capture_of_a_state_that_was_replaced_is_told_so()
    {
        using LoomStateMachine source = Small();
        using LoomStateMachine target = Small();
        using IStateSnapshot capture = target.CaptureSnapshot(default);
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 150);
        Install(target, header, chunks);
        Assert.That(Assert.Throws<RaftException>(() => capture.Read(default, 100))!.Message, Does.Contain("replaced"));
    }

    [Test]
    public void A_damaged_record_ends_the_reading_and_names_it()
    {
        using LoomStateMachine machine = Small();
        using IStateSnapshot capture = machine.CaptureSnapshot(default);
        Assert.That(machine.Index.TryFind("a"u8, machine.Revision, out RecordKey at), Is.True);
        machine.Records.Remove(at);
        RaftException? damage = Assert.Throws<RaftException>(() => Read(capture, 150));
        Assert.That((damage!.Code, damage.Message), Is.EqualTo((RaftErrorCode.Corruption, damage.Message)));
        Assert.That(damage.Message, Does.Contain($"{at.Main}.{at.Sub}"));
    }

    [Test]
    public void Chunks_do_not_depend_on_where_reading_was_taken_up()
    {
        using LoomStateMachine machine = Small();
        using IStateSnapshot capture = machine.CaptureSnapshot(default);
        List<StateChunk> chunks = Read(capture, 150);
        for (int i = 0; i + 1 < chunks.Count; i++)
        {
            StateChunk again = capture.Read(chunks[i].Cursor.ToArray(), 150)!;
            Assert.That(again.Bytes.Span.SequenceEqual(chunks[i + 1].Bytes.Span), Is.True);
        }

        Assert.That(capture.EstimatedBytes, Is.EqualTo(chunks.Sum(c => c.Bytes.Length)).Within(60).Percent);
        Assert.Throws<RaftException>(() => capture.Read(new byte[] { 9, 9 }, 100));
    }

    [Test]
    public void One_installation_at_a_time_and_what_is_not_switched_to_is_given_up()
    {
        MemoryRecordStore? collected = null;
        var target = new LoomStateMachine(new KeyIndex(), () => new MemoryRecordStore(), () => collected = new MemoryRecordStore());
        target.Open(default);
        using LoomStateMachine source = Small();
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 150);
        IStateInstallation installation = target.BeginInstall(default, header);
        Assert.Throws<InvalidOperationException>(() => target.BeginInstall(default, header));
        installation.Write(chunks[0]);
        Assert.Throws<InvalidOperationException>(() => target.Switch(installation), "it is not complete");
        installation.Dispose();
        installation.Dispose();
        Assert.That(Assert.Throws<LoomException>(() => collected!.TryRead(default, out _))!.Code, Is.EqualTo(LoomErrorCode.Stopped));
        Install(target, header, chunks);
        target.Dispose();
    }

    [Test]
    public void Who_waits_for_a_revision_is_released_by_a_switch()
    {
        using LoomStateMachine source = Small();
        using LoomStateMachine target = Open();
        RevisionWait wait = target.Waiters.Wait(source.Revision)!;
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 150);
        Install(target, header, chunks);
        Assert.That(wait.Task.IsCompletedSuccessfully, Is.True);
    }

    /// <summary>Each state is one number in all keys. Readers must never see two, nor an error, while states are replaced under them.</summary>
    [Test]
    public void Readers_go_on_while_the_state_is_replaced_under_them()
    {
        using LoomStateMachine source = Open();
        using LoomStateMachine target = Open();
        PutAll(source, 0);
        (ReadOnlyMemory<byte> header, List<StateChunk> chunks) = Stream(source, 200);
        Install(target, header, chunks);
        bool done = false;
        Exception? failure = null;
        long seen = 0;
        Thread[] readers = [.. Enumerable.Range(0, 3).Select(number => new Thread(() =>
        {
            try
            {
                var local = new LocalReads(target);
                while (!Volatile.Read(ref done))
                {
                    local.Range(new RangeQuery(KeyRange.Prefix("k"u8.ToArray())), out RangeResult? result);
                    Assert.That(result!.Pairs.Select(p => p.ModRevision).Distinct().Count(), Is.EqualTo(1));
                    Assert.That(result.Pairs, Has.Count.EqualTo(20));
                    if (number == 0)
                    {
                        local.Hash(0);
                    }

                    Interlocked.Increment(ref seen);
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

        for (int round = 1; round <= 300 && Volatile.Read(ref failure) is null; round++)
        {
            PutAll(source, round);
            if (round % 5 == 0)
            {
                Apply(source, new CompactCommand(source.Revision - 2));
                source.TrimStep(1000);
            }

            (header, chunks) = Stream(source, 4000);
            Install(target, header, chunks);
        }

        Volatile.Write(ref done, true);
        foreach (Thread reader in readers)
        {
            reader.Join();
        }

        Assert.That(failure, Is.Null);
        Assert.That(seen, Is.Positive);
    }

    private LoomStateMachine Small()
    {
        LoomStateMachine machine = Open();
        Put(machine, "a", "1");
        Put(machine, "a", "2");
        Put(machine, "b/long-key", "3");
        Put(machine, "gone", "4");
        Apply(machine, new DeleteCommand(new DeleteOperation(KeyRange.Prefix("g"u8.ToArray()))));
        Put(machine, "a", "5");
        Apply(machine, new CompactCommand(3));
        Put(machine, "a", "6");
        Apply(machine, new DeleteCommand(new DeleteOperation(KeyRange.Prefix("b"u8.ToArray()))));
        Put(machine, "c", "");
        return machine;
    }

    private static LoomStateMachine Open()
    {
        var machine = new LoomStateMachine(new KeyIndex(), () => new MemoryRecordStore(), () => new MemoryRecordStore());
        machine.Open(default);
        return machine;
    }

    private void PutAll(LoomStateMachine machine, int number)
    {
        byte[] value = Encoding.UTF8.GetBytes($"{number}");
        Apply(machine, new TransactionCommand(new Transaction([], [.. Enumerable.Range(0, 20).Select(i => new PutOperation(Encoding.UTF8.GetBytes($"k{i}"), value))], [])));
    }

    private void Put(LoomStateMachine machine, string key, string value) =>
        Apply(machine, new PutCommand(new PutOperation(Encoding.UTF8.GetBytes(key), Encoding.UTF8.GetBytes(value))));

    private void Apply(LoomStateMachine machine, Command command, long clusterTime = 0)
    {
        var results = new ApplyResult[1];
        machine.ApplyBatch([new CommittedEntry(++index, 1, clusterTime, EntryKind.Command, CommandWriter.Encode(command), false)], results);
        Assert.That(results[0].Outcome.Code, Is.Zero);
    }

    private static (ReadOnlyMemory<byte> Header, List<StateChunk> Chunks) Stream(LoomStateMachine machine, int maxBytes)
    {
        using IStateSnapshot capture = machine.CaptureSnapshot(new StatePosition(7, 1, default));
        return (capture.Header, Read(capture, maxBytes));
    }

    private static List<StateChunk> Read(IStateSnapshot capture, int maxBytes)
    {
        List<StateChunk> chunks = [];
        for (StateChunk? chunk = capture.Read(default, maxBytes); chunk is not null; chunk = capture.Read(chunk.Cursor, maxBytes))
        {
            chunks.Add(chunk);
        }

        return chunks;
    }

    private static void Install(LoomStateMachine machine, ReadOnlyMemory<byte> header, List<StateChunk> chunks)
    {
        using IStateInstallation installation = machine.BeginInstall(new StatePosition(7, 1, default), header);
        foreach (StateChunk chunk in chunks)
        {
            installation.Write(chunk);
        }

        installation.Complete();
        machine.Switch(installation);
    }

    private static (ReadOnlyMemory<byte> Header, List<StateChunk> Chunks) Flip(ReadOnlyMemory<byte> header, List<StateChunk> chunks, int part, int bit)
    {
        byte[] bytes = (part < 0 ? header : part % 2 == 0 ? chunks[part / 2].Cursor : chunks[part / 2].Bytes).ToArray();
        bytes[bit / 8] ^= (byte)(1 << (bit % 8));
        if (part < 0)
        {
            return (bytes, chunks);
        }

        List<StateChunk> changed = [.. chunks];
        changed[part / 2] = part % 2 == 0 ? chunks[part / 2] with { Cursor = bytes } : chunks[part / 2] with { Bytes = bytes };
        return (header, changed);
    }
}
