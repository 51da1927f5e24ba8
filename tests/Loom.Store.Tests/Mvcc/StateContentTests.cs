using CsCheck;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Mvcc;

/// <summary>
/// What the state is (S2), said three times: by a plain model, by the walk over the index however far it is trimmed, and by the sums that the applier keeps.
/// Then an index that is loaded from the walk must go on exactly as the one that it came from.
/// </summary>
internal sealed class StateContentTests
{
    private static readonly Gen<(int Kind, int Key, int Number)> Operation = Gen.Select(
        Gen.Frequency((8, Gen.Const(0)), (3, Gen.Const(1)), (2, Gen.Const(2)), (1, Gen.Const(3)), (2, Gen.Const(4))), Gen.Int[0, 30], Gen.Int[0, 1000]);

    [Test]
    public void The_walk_and_the_sums_are_what_the_rule_says_however_far_it_is_trimmed() =>
        Operation.Array[1, 200].Sample(operations => new Twin().Run(operations), iter: 100, threads: 1);

    [Test]
    public void An_index_that_was_loaded_goes_on_as_the_one_it_came_from() =>
        Gen.Select(Operation.Array[1, 150], Operation.Array[1, 150]).Sample(
            (before, after) =>
            {
                Twin twin = new();
                twin.Run(before);
                twin.Reload();
                twin.Run(after);
            }, iter: 40, threads: 1);

    [Test]
    public void Many_keys_are_loaded_in_several_levels()
    {
        // Above 48 * 48 keys there are three levels, and each number ends with other nodes half empty.
        foreach (int count in new[] { 0, 1, 47, 48, 49, 2303, 2304, 2305, 9001 })
        {
            KeyIndex.Loader loader = new();
            for (int i = 0; i < count; i++)
            {
                loader.Add(Name(i), [new(new(i + 1, 0), false, i + 1, 1, default)]);
            }

            KeyIndex index = loader.Complete();
            Assert.That(index.LiveKeys, Is.EqualTo(count));
            Assert.That(index.Count(Name(count / 3), Name(count), long.MaxValue - 1), Is.EqualTo(count - (count / 3)));
            for (int i = 0; i < count; i += 7)
            {
                Assert.That(index.TryFind(Name(i), count, out RecordKey at), Is.True);
                Assert.That(at, Is.EqualTo(new RecordKey(i + 1, 0)));
            }
        }
    }

    [Test]
    public void A_compaction_of_many_versions_takes_blocks_not_versions()
    {
        ExpiringVersions versions = new();
        ContentSums all = default;
        for (int i = 0; i < 5000; i++)
        {
            RecordMark mark = new((ulong)i * 0x9E3779B97F4A7C15, i % 100);
            versions.Add(i / 3, mark);
            all = all.With(mark);
        }

        ContentSums taken = default;
        foreach (long revision in new long[] { -1, 0, 1, 340, 341, 1200, 1665, 1666, 5000 })
        {
            ContentSums part = versions.Take(revision);
            taken = new(taken.Hash + part.Hash, taken.Records + part.Records, taken.Bytes + part.Bytes);
            Assert.That(taken.Records, Is.EqualTo(Math.Min(5000, 3 * (revision + 1))));
        }

        Assert.That(taken, Is.EqualTo(all));

        // A gap that does not fit into a block begins another one.
        versions.Add(6000, new(1, 1));
        versions.Add(6000 + (1L << 40), new(2, 2));
        Assert.That(versions.Take(6000), Is.EqualTo(new ContentSums(1, 1, 1)));
        Assert.That(versions.Take(6000 + (1L << 40)), Is.EqualTo(new ContentSums(2, 1, 2)));
    }

    private static byte[] Name(int i) => [(byte)'k', (byte)(i >> 16), (byte)(i >> 8), (byte)i];

    /// <summary>An index, the content that the applier keeps beside it, and the model of both.</summary>
    private sealed class Twin
    {
        private readonly KeyIndexModel model = new();
        private readonly List<RecordKey> removed = [];
        private KeyIndex index = new();
        private StateContent content = new();
        private byte[]? cursor;
        private long revision = 1;
        private long compacted = -1;
        private long trimming = -1;

        public void Run((int Kind, int Key, int Number)[] operations)
        {
            foreach ((int kind, int key, int number) in operations)
            {
                switch (kind)
                {
                    case 0:
                        Put(Name(key), new(++revision, 0));
                        break;
                    case 1:
                        DeleteAndPut(key, number % 12, number % 5);
                        break;
                    case 2:
                        // Logically at once; the trimming follows in steps, or never.
                        compacted = Math.Max(compacted, revision - (number % 10));
                        content.Compact(compacted);
                        trimming = compacted;
                        cursor = null;
                        break;
                    case 3:
                        for (int i = 0; i < number % 40; i++)
                        {
                            Put(Name(key), new(++revision, 0));
                        }

                        break;
                    default:
                        index.Publish();
                        if (trimming >= 0)
                        {
                            index.Compact(trimming, ref cursor, 1 + (number % 4), removed);
                        }

                        break;
                }

                Check();
            }
        }

        public void Reload()
        {
            KeyIndex.Loader loader = new();
            ContentLoader sums = new();
            foreach ((byte[] key, KeyIndexModel.Change[] versions) in model.State(compacted, revision))
            {
                KeyVersion[] loaded = [.. versions.Select(v => new KeyVersion(v.At, v.IsDeleted, v.Create, v.Version, Mark(v.At, key)))];
                loader.Add(key, loaded);
                sums.Add(loaded);
            }

            Assert.That(sums.Sums, Is.EqualTo(content.Sums));
            index = loader.Complete();
            content = sums.Complete();
            trimming = -1;
            Check();
        }

        /// <summary>One transaction: a range is deleted, and some of its keys are put again.</summary>
        private void DeleteAndPut(int key, int width, int again)
        {
            int sub = 0;
            long main = revision + 1;
            List<byte[]> doomed = [.. Enumerable.Range(key, width).Select(Name).Where(k => model.Newest(k) is { IsDeleted: false })];
            foreach (byte[] name in doomed)
            {
                RecordKey at = new(main, sub++);
                Append(name, at, isTombstone: true);
                index.Delete(name, at, Mark(at, name));
                model.Delete(name, at);
            }

            foreach (byte[] name in doomed.Take(again))
            {
                Put(name, new(main, sub++));
            }

            revision += sub > 0 ? 1 : 0;
        }

        private void Put(byte[] key, RecordKey at)
        {
            Append(key, at, isTombstone: false);
            (long create, long version) = model.Put(key, at);
            index.Put(key, at, create, version, Mark(at, key));
        }

        private void Append(byte[] key, RecordKey at, bool isTombstone) =>
            content.Add(at, isTombstone, Mark(at, key), index.TryGetNewest(key, out KeyHead head) ? head : null);

        private static RecordMark Mark(RecordKey at, byte[] key) => RecordMark.Of(at, key);

        private void Check()
        {
            index.Publish();
            List<(byte[] Key, RecordKey At)> expected = [.. model.State(compacted, revision).SelectMany(k => k.Versions.Select(v => (k.Key, v.At)))];
            ContentSums sums = expected.Aggregate(default(ContentSums), (sum, version) => sum.With(Mark(version.At, version.Key)));
            Assert.That(content.Sums, Is.EqualTo(sums));
            Assert.That(Walk(compacted, revision, int.MaxValue), Is.EqualTo(expected.Select(e => e.At)));
            Assert.That(Walk(compacted, revision, 3), Is.EqualTo(expected.Select(e => e.At)), "in pages");
            long earlier = Math.Max(compacted, revision - 4);
            Assert.That(Walk(compacted, earlier, 5), Is.EqualTo(model.State(compacted, earlier).SelectMany(k => k.Versions.Select(v => v.At))), "as it was");
            foreach ((byte[] key, RecordKey at) in expected)
            {
                Assert.That(index.Contains(key, at), Is.True);
                Assert.That(index.Contains(key, new(at.Main, at.Sub + 100)), Is.False);
            }
        }

        private List<RecordKey> Walk(long from, long to, int page)
        {
            List<RecordKey> seen = [];
            byte[] key = [];
            RecordKey after = RecordKey.BeforeAll;
            while (true)
            {
                Collector collector = new([], page);
                index.VisitVersions(key, after, from, to, ref collector);
                seen.AddRange(collector.Seen.Select(s => s.At));
                if (collector.Seen.Count < page)
                {
                    return seen;
                }

                (key, after) = collector.Seen[^1];
            }
        }
    }

    private readonly struct Collector(List<(byte[] Key, RecordKey At)> seen, int limit) : IVersionVisitor
    {
        public List<(byte[] Key, RecordKey At)> Seen => seen;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            seen.Add((key.ToArray(), at));
            return seen.Count < limit;
        }
    }
}
