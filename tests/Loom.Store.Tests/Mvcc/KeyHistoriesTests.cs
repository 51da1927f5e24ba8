using CsCheck;
using Loom.Store.Mvcc;
using NUnit.Framework;

namespace Loom.Store.Tests.Mvcc;

/// <summary>One key that is written again and again, beside quiet ones: its history is a table of pages, and no step touches more than a few of them.</summary>
internal sealed class KeyHistoriesTests
{
    private static readonly byte[] Hot = "hot"u8.ToArray();

    [Test]
    public void A_long_history_answers_as_a_list() =>
        Gen.Select(Gen.Int[0, 5000], Gen.Int[0, 1000], Gen.Int[1, 3000]).Array[1, 8].Sample(Run, iter: 40, threads: 1);

    [Test]
    public void A_long_history_is_loaded_as_it_was_written()
    {
        foreach (int count in new[] { 1, 2, 1024, 1025, 1026, 2049, 5000 })
        {
            KeyIndex.Loader loader = new();
            loader.Add(Hot, [.. Enumerable.Range(1, count).Select(i => new KeyVersion(new(i, 0), false, 1, i, default))]);
            KeyIndex index = loader.Complete();
            for (int i = 1; i <= count; i += 13)
            {
                Assert.That(index.TryFind(Hot, i, out RecordKey at), Is.True);
                Assert.That(at.Main, Is.EqualTo(i));
            }

            index.Put(Hot, new(count + 1, 0), 1, count + 1);
            index.Publish();
            Assert.That(index.TryFind(Hot, count, out RecordKey newest), Is.True);
            Assert.That(newest.Main, Is.EqualTo(count));
        }
    }

    [Test]
    public void Overwrites_and_compactions_for_ever_take_the_same_memory()
    {
        KeyIndex index = new();
        long revision = 1;
        long bytes = 0;
        for (int round = 0; round < 60; round++)
        {
            for (int i = 0; i < 7000; i++)
            {
                index.Put(i % 7 == 0 ? [(byte)(i % 100), 1] : Hot, new(++revision, 0), revision, 1);
                if (i % 50 == 0)
                {
                    index.Publish();
                }
            }

            CompactAll(index, revision - 500, 700);
            bytes = round == 10 ? index.SlabBytes : bytes;
        }

        Assert.That(index.SlabBytes, Is.EqualTo(bytes));
    }

    [Test]
    public void A_dead_key_with_a_long_history_leaves_in_bounded_steps()
    {
        KeyIndex index = new();
        for (int i = 1; i <= 10_000; i++)
        {
            index.Put(Hot, new(i, 0), 1, i);
        }

        index.Delete(Hot, new(10_001, 0));
        index.Publish();
        Assert.That(CompactAll(index, 10_002, 100), Is.EqualTo(10_001));
        Assert.That(index.TryGetNewest(Hot, out _), Is.False);
    }

    private static void Run((int Puts, int Share, int Budget)[] rounds)
    {
        KeyIndex index = new();
        KeyIndexModel model = new();
        long revision = 1, compacted = 0;
        foreach ((int puts, int share, int budget) in rounds)
        {
            for (int i = 0; i < puts; i++)
            {
                byte[] key = i % 911 == 910 ? [(byte)(i % 3)] : Hot;
                RecordKey at = new(++revision, 0);
                (long create, long version) = model.Put(key, at);
                index.Put(key, at, create, version);
            }

            index.Publish();
            compacted += (revision - compacted) * share / 1000;
            Assert.That(CompactAll(index, compacted, budget), Is.EqualTo(model.Compact(compacted).Count));
            for (long at = Math.Max(1, compacted); at <= revision; at += 1 + ((revision - compacted) / 97))
            {
                RecordKey? found = index.TryFind(Hot, at, out RecordKey record) ? record : null;
                Assert.That(found, Is.EqualTo(model.LiveAt(Hot, at)), $"at {at}");
                Assert.That(found is null || index.Contains(Hot, found.Value), Is.True);
            }

            Counter counter = default;
            index.VisitVersions([], RecordKey.BeforeAll, compacted, revision, ref counter);
            Assert.That(counter.Seen, Is.EqualTo(model.State(compacted, revision).Sum(k => k.Versions.Length)));
        }
    }

    private static int CompactAll(KeyIndex index, long revision, int budget)
    {
        int all = 0;
        byte[]? cursor = null;
        List<RecordKey> removed = [];
        bool done;
        do
        {
            removed.Clear();
            done = index.Compact(revision, ref cursor, budget, removed);
            Assert.That(removed, Has.Count.LessThanOrEqualTo(budget + KeyHistories.PageLength + 1), "a step is bounded");
            all += removed.Count;
        }
        while (!done);
        return all;
    }

    private struct Counter : IVersionVisitor
    {
        public int Seen;

        public bool Visit(ReadOnlySpan<byte> key, RecordKey at)
        {
            Seen++;
            return true;
        }
    }
}
