using System.Globalization;
using System.Text;
using Loom.Store.Model;
using NUnit.Framework;

namespace Loom.Store.Tests.Watch;

/// <summary>Watches over records that are on the disk, most of them cold, after a restart, beside writes and compaction.</summary>
internal sealed class WatchOnDiskTests
{
    private const int Keys = 40;
    private string directory = "";

    [SetUp]
    public void Create() => directory = Path.Combine(Path.GetTempPath(), "loom-watch-" + Guid.NewGuid().ToString("N"));

    [TearDown]
    public void Delete() => Directory.Delete(directory, recursive: true);

    [Test]
    public async Task History_is_read_from_the_disk_while_writes_go_on_and_after_a_restart()
    {
        const int Before = 700, Meanwhile = 200;
        await using (LoomStore store = await OpenAsync())
        {
            await WriteAsync(store, 2, Before);
        }

        await using LoomStore again = await OpenAsync();
        Task writing = WriteAsync(again, 2 + Before, Meanwhile);
        long last = 1 + Before + Meanwhile;
        await Task.WhenAll(
            writing,
            FollowAsync(again, KeyRange.All, 2, last),
            FollowAsync(again, KeyRange.Prefix("key"), 300, last),
            FollowAsync(again, KeyRange.Single(Key(7)), 2, last),
            FollowAsync(again, KeyRange.Single(Key(8)), 650, last));
    }

    [Test]
    public async Task A_reader_of_history_that_compaction_overtakes_is_told_and_has_missed_nothing_before()
    {
        await using LoomStore store = await OpenAsync();
        await WriteAsync(store, 2, 600);
        Task<long>[] readers = [.. Enumerable.Range(0, 6).Select(i => Task.Run(() => FollowUntilCompactedAsync(store, i % 2 == 0 ? KeyRange.All : KeyRange.Single(Key(i)), 2)))];
        for (long revision = 40; revision <= 600; revision += 40)
        {
            await store.CompactAsync(new Revision(revision), physical: true);
        }

        await Task.WhenAll(readers);
    }

    /// <summary>The revision through which it got everything: to the end, or to where it was told that the rest is compacted.</summary>
    private static async Task<long> FollowUntilCompactedAsync(LoomStore store, KeyRange range, long from)
    {
        try
        {
            await FollowAsync(store, range, from, 601);
            return 601;
        }
        catch (WatchCompactedException compacted)
        {
            Assert.That(compacted.CompactRevision, Is.LessThanOrEqualTo(600));
            return compacted.CompactRevision;
        }
    }

    /// <summary>Revision r puts key r % Keys, and nothing else.</summary>
    private static async Task FollowAsync(LoomStore store, KeyRange range, long from, long last)
    {
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(120));
        bool isOne = range.IsSingle;
        long through = from - 1;
        await foreach (WatchBatch batch in store.WatchAsync(new WatchQuery(range) { From = new Revision(from), PreviousPairs = isOne, Progress = true }, limit.Token))
        {
            foreach (WatchEvent change in batch.Events)
            {
                long expected = through + 1;
                while (isOne && !Key((int)(expected % Keys)).AsSpan().SequenceEqual(range.Start.Span))
                {
                    expected++;
                }

                through = change.Pair.ModRevision;
                Assert.That(through, Is.EqualTo(expected));
                Assert.That(change.Previous?.ModRevision ?? through - Keys, Is.EqualTo(through - Keys));
            }

            through = batch.Revision.Number;
            if (through > last - (isOne ? Keys : 1))
            {
                return;
            }
        }
    }

    private static async Task WriteAsync(LoomStore store, long first, int count)
    {
        for (long revision = first; revision < first + count; revision++)
        {
            Revision at = await store.PutAsync(Key((int)(revision % Keys)), new byte[30_000]);
            Assert.That(at.Number, Is.EqualTo(revision));
        }
    }

    private static byte[] Key(int number) => Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key/{number:d3}"));

    private ValueTask<LoomStore> OpenAsync() => LoomStore.OpenAsync(new LoomOptions { DataDirectory = directory, RecordMemoryBytes = 16 << 20 });
}
