using System.Text;
using CsCheck;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Mvcc;

public sealed class KeyIndexTests
{
    [Test]
    public void A_key_lives_dies_and_is_born_again_as_in_etcd()
    {
        KeyIndex index = new();
        byte[] k = Key("k");
        index.Put(k, new(2, 0), 2, 1);
        index.Put(k, new(4, 0), 2, 2);
        index.Delete(k, new(6, 0));
        index.Put(k, new(9, 0), 9, 1);
        index.Publish();

        Assert.Multiple(() =>
        {
            Assert.That(Find(index, k, 1), Is.Null);
            Assert.That(Find(index, k, 2), Is.EqualTo(new RecordKey(2, 0)));
            Assert.That(Find(index, k, 3), Is.EqualTo(new RecordKey(2, 0)));
            Assert.That(Find(index, k, 5), Is.EqualTo(new RecordKey(4, 0)));
            Assert.That(Find(index, k, 6), Is.Null);
            Assert.That(Find(index, k, 8), Is.Null);
            Assert.That(Find(index, k, 9), Is.EqualTo(new RecordKey(9, 0)));
            Assert.That(index.TryGetNewest(k, out KeyHead head), Is.True);
            Assert.That(head, Is.EqualTo(new KeyHead(new(9, 0), false, 9, 1)));
        });

        // The tombstone at the compacted revision itself stays; the next compaction takes it.
        Assert.That(CompactAll(index, 6, 100), Is.EqualTo(new RecordKey[] { new(2, 0), new(4, 0) }));
        Assert.That(CompactAll(index, 7, 100), Is.EqualTo(new RecordKey[] { new(6, 0) }));
        Assert.That(Find(index, k, 9), Is.EqualTo(new RecordKey(9, 0)));
    }

    [Test]
    public void A_dead_key_leaves_the_index_and_its_storage_is_used_again()
    {
        KeyIndex index = new();
        long revision = 1;
        long bytes = 0;
        for (int round = 0; round < 40; round++)
        {
            for (int i = 0; i < 5000; i++)
            {
                index.Put(Key($"round{round:D4}/{i:D6}"), new(++revision, 0), revision, 1);
            }

            index.Publish();
            long deletion = ++revision;
            for (int i = 0; i < 5000; i++)
            {
                index.Delete(Key($"round{round:D4}/{i:D6}"), new(deletion, i));
            }

            index.Publish();
            Assert.That(CompactAll(index, ++revision, 777), Has.Count.EqualTo(10_000));
            Assert.That(index.LiveKeys, Is.Zero);
            Assert.That(index.TryGetNewest(Key($"round{round:D4}/000001"), out _), Is.False);
            Assert.That(index.Retired, Is.Zero, "nobody reads, so nothing waits");
            bytes = round == 2 ? index.SlabBytes : bytes;
        }

        Assert.That(index.SlabBytes, Is.EqualTo(bytes), "40 rounds fit where 3 did");
    }

    [Test]
    public void A_reader_in_the_middle_of_a_walk_holds_back_reuse()
    {
        KeyIndex index = new();
        for (int i = 1; i <= 200; i++)
        {
            index.Put(Key($"a{i:D4}"), new(i, 0), i, 1);
        }

        index.Publish();
        Disturber visitor = new(index);
        index.Visit(Key("a"), [], 200, ref visitor);
        Assert.Multiple(() =>
        {
            Assert.That(visitor.Seen, Is.EqualTo(Enumerable.Range(1, 200).Select(i => $"a{i:D4}@{i}.0")), "the walk saw the tree that it began with");
            Assert.That(visitor.RetiredDuringWalk, Is.GreaterThanOrEqualTo(200));
        });
        index.Publish();
        Assert.That(index.Retired, Is.Zero);
    }

    /// <summary>Random writes, deletes, compactions in steps, reads at every readable revision, against the obvious model.</summary>
    [Test]
    public void Every_answer_equals_the_model()
    {
        // Keys over a small alphabet with prefixes of each other, and many enough for three levels.
        Gen<byte[]> key = Gen.Frequency((3, Gen.Int[0, 40].Select(i => Key($"k/{i:D2}"))), (3, Gen.Byte[0, 3].Array[1, 6]), (2, Gen.Int[0, 9000].Select(i => Key($"bulk/{i:D5}"))));
        Gen<(int Kind, byte[] Key, byte[] Other, int Number)> operation = Gen.Select(
            Gen.Frequency((10, Gen.Const(0)), (4, Gen.Const(1)), (3, Gen.Const(2)), (1, Gen.Const(3)), (3, Gen.Const(4)), (1, Gen.Const(5)), (1, Gen.Const(6))), key, key, Gen.Int[0, 1000]);
        Gen.Select(operation.Array[1, 400], Gen.Int[1, 50]).Sample(
            (operations, budget) => Run(operations, budget),
            iter: 25, threads: 1);
    }

    private static void Run((int Kind, byte[] Key, byte[] Other, int Number)[] operations, int budget)
    {
        KeyIndex index = new();
        KeyIndexModel model = new();
        long revision = 1, published = 1, compacted = 0;
        foreach ((int kind, byte[] key, byte[] other, int number) in operations)
        {
            switch (kind)
            {
                case 0:
                    Put(index, model, key, new(++revision, 0));
                    break;
                case 1:
                    revision++;
                    List<(byte[] Key, RecordKey At)> doomed = model.Range(key, other, long.MaxValue);
                    for (int i = 0; i < doomed.Count; i++)
                    {
                        index.Delete(doomed[i].Key, new(revision, i));
                        model.Delete(doomed[i].Key, new(revision, i));
                    }

                    break;
                case 2:
                    index.Publish();
                    published = revision;
                    break;
                case 3:
                    compacted = compacted + ((revision - compacted) * number / 1000);
                    List<RecordKey> expected = model.Compact(compacted);
                    List<RecordKey> removed = CompactAll(index, compacted, budget);
                    Assert.That(removed.Order(), Is.EqualTo(expected.Order()));
                    published = revision;
                    break;
                case 4:
                    Compare(index, model, key, other, Math.Max(compacted, published - (number % 20)));
                    break;
                case 5:
                    for (int i = 0; i < number; i++)
                    {
                        // A transaction of many keys, ascending, descending or scattered.
                        int n = (number % 3) switch { 0 => i, 1 => number - i, _ => i * 7919 % 10_000 };
                        Put(index, model, Key($"bulk/{n:D5}"), new(revision + 1, i));
                    }

                    revision++;
                    break;
                default:
                    for (int i = 0; i < number % 40; i++)
                    {
                        Put(index, model, key, new(++revision, 0));
                    }

                    break;
            }
        }

        index.Publish();
        foreach (byte[] key in model.Keys)
        {
            KeyIndexModel.Change change = model.Newest(key)!.Value;
            Assert.That(index.TryGetNewest(key, out KeyHead head), Is.True);
            Assert.That(head, Is.EqualTo(new KeyHead(change.At, change.IsDeleted, change.Create, change.Version)));
        }

        for (long at = Math.Max(compacted, revision - 30); at <= revision; at++)
        {
            Compare(index, model, [0], [], at);
        }
    }

    private static void Put(KeyIndex index, KeyIndexModel model, byte[] key, RecordKey at)
    {
        (long create, long version) = model.Put(key, at);
        index.Put(key, at, create, version);
    }

    private static void Compare(KeyIndex index, KeyIndexModel model, byte[] start, byte[] end, long revision)
    {
        List<(byte[] Key, RecordKey At)> expected = model.Range(start, end, revision);
        Collector collector = new([], int.MaxValue);
        index.Visit(start, end, revision, ref collector);
        Assert.That(collector.Seen.Select(s => s.At), Is.EqualTo(expected.Select(e => e.At)));
        Assert.That(collector.Seen.Zip(expected).All(p => p.First.Key.AsSpan().SequenceEqual(p.Second.Key)), Is.True);
        Assert.That(index.Count(start, end, revision), Is.EqualTo(expected.Count));
        Assert.That(Find(index, start, revision), Is.EqualTo(model.LiveAt(start, revision)));

        // A walk that is stopped and resumed behind its last key gives the same.
        Collector paged = new([], 7);
        byte[] from = start;
        int before;
        do
        {
            before = paged.Seen.Count;
            paged.Limit = before + 7;
            index.Visit(from, end, revision, ref paged);
            from = paged.Seen.Count > before ? [.. paged.Seen[^1].Key, 0] : from;
        }
        while (paged.Seen.Count == before + 7);
        Assert.That(paged.Seen.Select(s => s.At), Is.EqualTo(expected.Select(e => e.At)));

        // The writer sees what is not published.
        Collector unpublished = new([], int.MaxValue);
        index.Visit(start, end, long.MaxValue, ref unpublished);
        Assert.That(unpublished.Seen.Select(s => s.At), Is.EqualTo(model.Range(start, end, long.MaxValue).Select(e => e.At)));
        Assert.That(index.Count(start, end, long.MaxValue), Is.EqualTo(unpublished.Seen.Count));
    }

    private static List<RecordKey> CompactAll(KeyIndex index, long revision, int budget)
    {
        List<RecordKey> removed = [];
        byte[]? cursor = null;
        while (!index.Compact(revision, ref cursor, budget, removed))
        {
        }

        return removed;
    }

    private static RecordKey? Find(KeyIndex index, byte[] key, long revision) => index.TryFind(key, revision, out RecordKey at) ? at : null;

    private static byte[] Key(string key) => Encoding.UTF8.GetBytes(key);

    private struct Collector(List<(byte[] Key, RecordKey At)> seen, int limit) : IKeyVisitor
    {
        public readonly List<(byte[] Key, RecordKey At)> Seen = seen;
        public int Limit = limit;

        public readonly bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            Seen.Add((key.ToArray(), at));
            return Seen.Count < Limit;
        }
    }

    private struct Disturber(KeyIndex index) : IKeyVisitor
    {
        public readonly List<string> Seen = [];
        public int RetiredDuringWalk;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            if (Seen.Count == 10)
            {
                // Overwrite, delete, compact everything, and fill again with other keys, while this walk stands in an old tree.
                long revision = 200;
                for (int i = 1; i <= 200; i++)
                {
                    index.Put(Key($"a{i:D4}"), new(++revision, 0), i, 2);
                    index.Delete(Key($"a{i:D4}"), new(++revision, 0));
                    index.Publish();
                }

                CompactAll(index, ++revision, 50);
                for (int i = 1; i <= 2000; i++)
                {
                    index.Put(Key($"zz{i:D3}"), new(++revision, 0), revision, 1);
                    index.Publish();
                }

                RetiredDuringWalk = index.Retired;
            }

            Seen.Add($"{Encoding.UTF8.GetString(key)}@{at.Main}.{at.Sub}");
            return true;
        }
    }
}
