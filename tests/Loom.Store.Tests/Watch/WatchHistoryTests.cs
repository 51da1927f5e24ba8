using Loom.Store.Applying;
using Loom.Store.Commands;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Tests.Machine;
using Loom.Store.Watch;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Watch;

/// <summary>A step through the history: what happens meanwhile, and how much it reads.</summary>
internal sealed class WatchHistoryTests
{
    private static readonly byte[] A = "a"u8.ToArray();
    private static readonly byte[] B = "b"u8.ToArray();
    private ObservedRecords records = null!;
    private LoomStateMachine machine = null!;
    private int applied;

    [SetUp]
    public void Open()
    {
        applied = 0;
        records = new ObservedRecords();
        machine = new LoomStateMachine(new KeyIndex(), records);
        machine.Open(default);
    }

    [TearDown]
    public void Close()
    {
        machine.Dispose();
        records.Dispose();
    }

    [TestCase(false)]
    [TestCase(true)]
    public void A_record_that_goes_while_its_revision_is_the_compacted_one_is_no_damage(bool isBefore)
    {
        Apply(new PutCommand(new PutOperation(A, A)));
        Apply(new PutCommand(new PutOperation(A, B)));
        Apply(new PutCommand(new PutOperation(B, B)));
        if (isBefore)
        {
            Apply(new CompactCommand(3));
        }

        records.Hidden = new RecordKey(3, 0);
        records.Reading = () =>
        {
            records.Reading = null;
            machine.Current.PublishCompaction(3);
        };
        List<PublishedEvent> found = [];
        Assert.That(WatchHistory.Read(machine.Current, new WatchQuery(KeyRange.All), 3, 4, found), Is.EqualTo(3), "as a compacted revision, alone");
        Assert.That(found, Has.Count.EqualTo(1));
    }

    [Test]
    public void A_record_of_the_compacted_revision_that_is_missing_is_damage()
    {
        Apply(new PutCommand(new PutOperation(A, A)));
        Apply(new CompactCommand(2));
        records.Remove(new RecordKey(2, 0));
        Assert.That(() => WatchHistory.Read(machine.Current, new WatchQuery(KeyRange.All), 2, 2, []), Throws.InstanceOf<LoomException>().With.Property("Code").EqualTo(LoomErrorCode.Corruption));
    }

    [Test]
    public void A_step_reads_little_more_than_it_may_give_also_where_nothing_is_its_own([Values] bool isOwn)
    {
        const int Count = 64, Length = 100_000;
        for (int i = 0; i < Count; i++)
        {
            Apply(new PutCommand(new PutOperation(A, new byte[Length])));
        }

        List<PublishedEvent> found = [];
        long from = 2;
        for (int step = 0; from < 2 + Count; step++)
        {
            long before = records.BytesRead;
            from = WatchHistory.Read(machine.Current, new WatchQuery(KeyRange.Single(isOwn ? A : B)), from, 1 + Count, found) + 1;
            Assert.That(records.BytesRead - before, Is.LessThan(3 << 20));
            Assert.That(step, Is.LessThan(10));
        }

        Assert.That(found.Select(change => change.Plain.Pair.ModRevision), Is.EqualTo(isOwn ? Enumerable.Range(2, Count) : []));
    }

    private void Apply(Command command) => ModelTests.Apply(machine, [command], applied++, wantsResult: false);

    /// <summary>Says when it is read, and how much.</summary>
    private sealed class ObservedRecords : IRecordStore
    {
        private readonly MemoryRecordStore inner = new();

        public Action? Reading { get; set; }

        /// <summary>Not there when it is read the next time.</summary>
        public RecordKey? Hidden { get; set; }

        public long BytesRead { get; private set; }

        public long SizeBytes => inner.SizeBytes;

        public void Append(RecordKey key, ReadOnlySpan<byte> record, long appliedIndex) => inner.Append(key, record, appliedIndex);

        public bool TryRead(RecordKey key, out ReadOnlyMemory<byte> record) => inner.TryRead(key, out record);

        public void ReadMany(ReadOnlySpan<RecordKey> keys, Span<ReadOnlyMemory<byte>> results)
        {
            Reading?.Invoke();
            inner.ReadMany(keys, results);
            if (Hidden is { } hidden && keys.IndexOf(hidden) is >= 0 and var place)
            {
                results[place] = default;
                Hidden = null;
            }

            foreach (ReadOnlyMemory<byte> result in results)
            {
                BytesRead += result.Length;
            }
        }

        public void Remove(RecordKey key) => inner.Remove(key);

        public bool Close() => ((IRecordStore)inner).Close();

        public void Dispose() => inner.Dispose();
    }
}
