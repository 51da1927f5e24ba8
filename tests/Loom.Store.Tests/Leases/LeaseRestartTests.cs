using Loom.Store.Model;
using Loom.Store.Tests.Records;
using NUnit.Framework;

namespace Loom.Store.Tests.Leases;

/// <summary>Leases of real stores on a real disk that come back: from a checkpoint, from the log above one, and from a backup. The keys are not in the table that is kept: they are found in the records.</summary>
internal sealed class LeaseRestartTests
{
    private string root = "";

    [SetUp]
    public void CreateRoot() => root = Directory.CreateTempSubdirectory("loom-leases-").FullName;

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_closed_store_has_its_leases_again()
    {
        var options = new LoomOptions { DataDirectory = Path.Combine(root, "closed") };
        await using (LoomStore first = await LoomStore.OpenAsync(options))
        {
            await FillAsync(first);
        }

        await using LoomStore again = await LoomStore.OpenAsync(options);
        await CheckAsync(again);
    }

    /// <summary>A checkpoint in the middle, entries above it that move keys from lease to lease, and no orderly end.</summary>
    [Test]
    public async Task A_store_that_died_has_its_leases_again()
    {
        var options = new LoomOptions { DataDirectory = Path.Combine(root, "live"), SnapshotCount = 6 };
        await using LoomStore live = await LoomStore.OpenAsync(options);
        await FillAsync(live);
        CheckpointDirectory.CopyAtRest(options.DataDirectory, Path.Combine(root, "copy"));
        await using LoomStore again = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = Path.Combine(root, "copy") });
        await CheckAsync(again);
    }

    [Test]
    public async Task A_restored_backup_has_its_leases_with_the_time_that_they_had_left()
    {
        string backup = Path.Combine(root, "backup");
        await using (LoomStore first = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = Path.Combine(root, "first") }))
        {
            await FillAsync(first);
            await using FileStream file = File.Create(backup);
            await using LoomBackupStream stream = await first.OpenBackupAsync();
            await stream.CopyToAsync(file);
        }

        var options = new LoomOptions { DataDirectory = Path.Combine(root, "restored") };
        LoomBackup.Restore(backup, options);
        await using LoomStore restored = await LoomStore.OpenAsync(options);
        await CheckAsync(restored);
    }

    private static async Task FillAsync(LoomStore store)
    {
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(500), id: 1);
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(100), id: 2);
        await store.Leases.GrantAsync(TimeSpan.FromSeconds(400), id: 3);
        foreach (char key in "hgfedcba")
        {
            await store.PutAsync(Key(key), Key(key), lease: 1);
        }

        await store.PutAsync(Key('b'), Key('x'), lease: 2);
        await store.PutAsync(Key('c'), Key('x'));
        await store.PutAsync(new PutOperation(Key('d'), Key('x')) { IgnoreLease = true });
        await store.DeleteAsync(KeyRange.Single(Key('e')));
        await store.DeleteAsync(KeyRange.Single(Key('f')));
        await store.PutAsync(Key('f'), Key('x'), lease: 2);
        await store.Leases.KeepAliveAsync(2);
        await store.Leases.RevokeAsync(3);
    }

    private static async Task CheckAsync(LoomStore store)
    {
        Assert.That((await store.Leases.ListAsync()).Ids, Is.EqualTo(new long[] { 2, 1 }));
        LeaseState first = await store.Leases.TimeToLiveAsync(1, keys: true);
        LeaseState second = await store.Leases.TimeToLiveAsync(2, keys: true);
        Assert.That((Keys(first), first.Granted.TotalSeconds), Is.EqualTo(("adgh", 500.0)));
        Assert.That((Keys(second), second.Granted.TotalSeconds), Is.EqualTo(("bf", 100.0)));
        Assert.That(first.Remaining.TotalSeconds, Is.InRange(400, 500));
        await store.Leases.RevokeAsync(1);
        Assert.That(Keys(store.Range(new RangeQuery(KeyRange.All)).Pairs.Select(pair => pair.Key)), Is.EqualTo("bcf"));
        await store.Leases.RevokeAsync(2);
        Assert.That(Keys(store.Range(new RangeQuery(KeyRange.All)).Pairs.Select(pair => pair.Key)), Is.EqualTo("c"));
    }

    private static string Keys(LeaseState state) => Keys(state.Keys);

    private static string Keys(IEnumerable<ReadOnlyMemory<byte>> keys) => string.Concat(keys.Select(key => (char)key.Span[0]));

    private static byte[] Key(char name) => [(byte)name];
}
