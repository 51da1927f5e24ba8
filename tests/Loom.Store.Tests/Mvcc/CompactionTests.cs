using Loom.Store.Mvcc;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests.Mvcc;

internal sealed class CompactionTests
{
    [Test]
    public void Compactions_that_come_faster_than_they_are_trimmed_reach_every_key()
    {
        KeyIndex index = new();
        MemoryRecordStore records = new();
        Compaction compaction = new(index, records);
        long revision = 1;
        for (int round = 0; round < 200; round++)
        {
            for (int key = 0; key < 20; key++)
            {
                index.Put([(byte)key], new(++revision, 0), revision, 1);
                records.Append(new(revision, 0), [1], 0);
            }

            index.Publish();

            // Each compaction is trimmed for three of twenty keys when the next one comes.
            compaction.Begin(revision);
            compaction.Step(6);
        }

        Assert.That(records.Count, Is.LessThan(20 * 20), "of 4,000 versions");
        Assert.That(compaction.Done, Is.GreaterThan(20 * 150));
        while (compaction.Step(6))
        {
        }

        Assert.That((records.Count, compaction.Done), Is.EqualTo((20, revision)));
    }
}
