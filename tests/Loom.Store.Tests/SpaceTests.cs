using System.Text;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>A store that is compacted and then left alone: nobody writes, and its files shrink all the same.</summary>
internal sealed class SpaceTests
{
    private const int Keys = 3_000;
    private const int Bytes = 8_000;

    // Whole files of 16 MiB are given back.
    private const long Enough = (3L * Keys * Bytes / 2) + (16 << 20);
    private string root = "";

    [SetUp]
    public void CreateRoot() => root = Directory.CreateTempSubdirectory("loom-space-").FullName;

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task The_files_of_an_idle_store_shrink_after_a_compaction()
    {
        HashResult hash;
        await using (LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = root }))
        {
            await FillAsync(store);
            await store.CompactAsync(store.Status.Revision);
            Assert.That(RecordBytes, Is.LessThanOrEqualTo(Enough).After(60_000, 100));

            // The files go first, one by one, and the status says so when all are gone.
            Assert.That(() => store.Status.SizeBytes, Is.EqualTo(RecordBytes()).Within(15).Percent.After(60_000, 100));
            Assert.That(store.Status.SizeInUseBytes, Is.EqualTo((long)Keys * Bytes).Within(15).Percent);
            hash = await store.HashAsync();
        }

        await using LoomStore again = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = root });
        Assert.That(await again.HashAsync(), Is.EqualTo(hash));
        Assert.That(again.Get(Key(Keys - 1))!.Version, Is.EqualTo(5));
    }

    /// <summary>Closed right after the compaction, it has given next to nothing back; nobody writes to it afterwards.</summary>
    [Test]
    public async Task The_files_of_an_idle_store_shrink_after_a_restart_too()
    {
        HashResult hash;
        await using (LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = root }))
        {
            await FillAsync(store);
            hash = await store.HashAsync();
            await store.CompactAsync(store.Status.Revision);
        }

        Assert.That(RecordBytes(), Is.GreaterThan(3L * Keys * Bytes));
        await using LoomStore again = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = root });
        Assert.That(RecordBytes, Is.LessThanOrEqualTo(Enough).After(60_000, 100));
        Assert.That(again.Status.Revision, Is.EqualTo(hash.Revision));
        Assert.That(again.Get(Key(Keys - 1))!.Version, Is.EqualTo(5));
    }

    private async Task FillAsync(LoomStore store)
    {
        for (int round = 0; round < 5; round++)
        {
            byte[] value = Enumerable.Repeat((byte)round, Bytes).ToArray();
            foreach (int[] part in Enumerable.Range(0, Keys).Chunk(200))
            {
                await Task.WhenAll(part.Select(i => store.PutAsync(Key(i), value).AsTask()));
            }
        }

        Assert.That(RecordBytes(), Is.GreaterThan(3L * Keys * Bytes));
    }

    private long RecordBytes() => Directory.GetFiles(Path.Combine(root, "records"), "hlog.log.*", SearchOption.AllDirectories).Sum(Length);

    private static long Length(string file)
    {
        try
        {
            return new FileInfo(file).Length;
        }
        catch (FileNotFoundException)
        {
            return 0; // deleted meanwhile
        }
    }

    private static byte[] Key(int i) => Encoding.UTF8.GetBytes($"key{i:D5}");
}
