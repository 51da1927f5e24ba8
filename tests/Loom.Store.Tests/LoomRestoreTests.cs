using System.Globalization;
using System.Text;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>A cluster that begins from a backup of another one.</summary>
internal sealed class LoomRestoreTests
{
    private string root = "";
    private string file = "";

    [SetUp]
    public void CreateRoot()
    {
        root = Directory.CreateTempSubdirectory("loom-restore-").FullName;
        file = Path.Combine(root, "backup");
    }

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task Without_a_bump_the_whole_history_is_there_again()
    {
        HashResult hash, older;
        await using (LoomStore old = await OpenAsync(One("old")))
        {
            await FillAsync(old);
            hash = await old.HashAsync();
            older = await old.HashAsync(new Revision(old.Status.Revision.Number - 20));
            await BackUpAsync(old);
        }

        LoomRestoreReport report = LoomBackup.Restore(file, One("new"), revisionBump: 0);
        Assert.That(LoomDirectory.Verify(One("new").DataDirectory), Has.Property("WouldStart").True.And.Property("Damage").Empty);
        await using LoomStore restored = await OpenAsync(One("new"));
        Assert.That(await restored.HashAsync(), Is.EqualTo(hash));
        Assert.That((await restored.HashAsync(new Revision(older.HashRevision))).Hash, Is.EqualTo(older.Hash));
        Assert.That(restored.Status, Has.Property("Epoch").EqualTo(1).And.Property("Revision").EqualTo(hash.Revision).And.Property("CompactRevision").EqualTo(hash.CompactRevision));
        Assert.That(report.Revision, Is.EqualTo(hash.Revision.Number));
    }

    [Test]
    public async Task With_a_bump_every_pair_is_there_and_all_older_revisions_are_compacted()
    {
        KeyValue[] pairs;
        HashResult hash;
        await using (LoomStore old = await OpenAsync(One("old")))
        {
            await FillAsync(old);
            await BackUpAsync(old);
            pairs = Pairs(old);
            await old.CompactAsync(old.Status.Revision);
            hash = await old.HashAsync();
        }

        LoomRestoreReport report = LoomBackup.Restore(file, One("new"));
        Assert.That(report.Revision, Is.EqualTo(hash.Revision.Number + 1_000_000_000));
        await using LoomStore restored = await OpenAsync(One("new"));
        Assert.That(restored.Status.Revision.Number, Is.EqualTo(report.Revision));
        Assert.That(restored.Status.CompactRevision, Is.EqualTo(report.Revision));
        Assert.That(Pairs(restored).Select(Text), Is.EqualTo(pairs.Select(Text)), "keys, values, create and mod revisions, versions, leases");
        Assert.That((await restored.HashAsync()).Hash, Is.EqualTo(hash.Hash), "what a compaction at the backup's revision leaves");
        LoomException compacted = Assert.Throws<LoomException>(() => restored.Range(new RangeQuery(KeyRange.All) { Revision = hash.Revision.Number }))!;
        Assert.That(compacted.Code, Is.EqualTo(LoomErrorCode.Compacted));
        Assert.That((await restored.PutAsync("key-0001"u8.ToArray(), "new"u8.ToArray())).Number, Is.EqualTo(report.Revision + 1));
        KeyValue changed = restored.Get("key-0001"u8.ToArray())!;
        KeyValue before = pairs.Single(p => p.Key.Span.SequenceEqual("key-0001"u8));
        Assert.That((changed.Version, changed.CreateRevision), Is.EqualTo((before.Version + 1, before.CreateRevision)));
    }

    [Test]
    public async Task What_is_written_after_a_restore_survives_restarts_and_can_be_restored_again()
    {
        await using (LoomStore old = await OpenAsync(One("old")))
        {
            await FillAsync(old);
            await BackUpAsync(old);
        }

        LoomBackup.Restore(file, One("new"), revisionBump: 100);
        for (int life = 0; life < 3; life++)
        {
            await using LoomStore restored = await OpenAsync(One("new"));
            for (int i = 0; i < life; i++)
            {
                Assert.That(restored.Get(Encoding.ASCII.GetBytes($"life-{i}")), Is.Not.Null);
            }

            await restored.PutAsync(Encoding.ASCII.GetBytes($"life-{life}"), "x"u8.ToArray());
        }

        file += "-2";
        string before;
        await using (LoomStore restored = await OpenAsync(One("new")))
        {
            await BackUpAsync(restored);
            before = string.Join(' ', Pairs(restored).Select(Text));
        }

        Assert.That(LoomBackup.Verify(file).Epoch, Is.EqualTo(1));
        LoomBackup.Restore(file, One("third"), revisionBump: 0);
        await using LoomStore third = await OpenAsync(One("third"));
        Assert.That(third.Status.Epoch, Is.EqualTo(2));
        Assert.That(string.Join(' ', Pairs(third).Select(Text)), Is.EqualTo(before));
    }

    [Test]
    public async Task Alarms_of_the_old_cluster_are_dropped()
    {
        await using (LoomStore old = await OpenAsync(One("old")))
        {
            await old.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
            await old.RaiseAlarmAsync(AlarmKind.Corrupt, 7);
            await BackUpAsync(old);
        }

        LoomBackup.Restore(file, One("new"));
        await using LoomStore restored = await OpenAsync(One("new"));
        Assert.That(restored.Status.Alarms, Is.Empty);
        await restored.PutAsync("a"u8.ToArray(), "2"u8.ToArray());
    }

    [Test]
    public async Task A_dry_run_says_what_it_would_do_and_does_nothing()
    {
        await BackedUpAsync();
        LoomRestoreReport report = LoomBackup.Restore(file, One("new"), dryRun: true);
        Assert.That(report, Has.Property("Revision").EqualTo(1_000_000_002).And.Property("Epoch").EqualTo(1).And.Property("Records").EqualTo(1));
        Assert.That(Directory.Exists(One("new").DataDirectory), Is.False);
    }

    [Test]
    public async Task A_directory_that_holds_something_is_refused_and_left_as_it_is()
    {
        await BackedUpAsync();
        string data = One("new").DataDirectory;
        Directory.CreateDirectory(data);
        await File.WriteAllTextAsync(Path.Combine(data, "precious"), "x");
        foreach (bool dryRun in (bool[])[true, false])
        {
            LoomException refusal = Assert.Throws<LoomException>(() => LoomBackup.Restore(file, One("new"), dryRun: dryRun))!;
            Assert.That(refusal.Code, Is.EqualTo(LoomErrorCode.TargetExists));
        }

        Assert.That(Directory.EnumerateFileSystemEntries(data).Count(), Is.EqualTo(1));
    }

    [Test]
    public async Task A_damaged_backup_is_refused_and_leaves_nothing()
    {
        await BackedUpAsync();
        byte[] bytes = await File.ReadAllBytesAsync(file);
        bytes[300] ^= 1;
        await File.WriteAllBytesAsync(file, bytes);
        LoomException refusal = Assert.Throws<LoomException>(() => LoomBackup.Restore(file, One("new")))!;
        Assert.That(refusal.Code, Is.EqualTo(LoomErrorCode.Corruption));
        Assert.That(refusal.Message, Does.Contain(file).And.Contain("is damaged at offset"));
        Assert.That(Directory.Exists(One("new").DataDirectory), Is.False);
    }

    [TestCase(-1)]
    [TestCase(long.MaxValue)]
    public async Task A_bump_that_cannot_be_is_refused(long bump)
    {
        await BackedUpAsync();
        Assert.That(Assert.Throws<LoomException>(() => LoomBackup.Restore(file, One("new"), bump))!.Code, Is.EqualTo(LoomErrorCode.InvalidRequest));
    }

    [Test]
    public async Task A_restored_directory_keeps_its_name_its_token_and_its_list()
    {
        await BackedUpAsync();
        LoomOptions as1 = One("new");
        as1.Name = "m1";
        LoomBackup.Restore(file, as1);
        LoomOptions other = One("new");
        other.Name = "m2";
        Assert.That((await Assert.ThrowsAsync<LoomException>(async () => await OpenAsync(other)))!.Message, Does.Contain("belongs to member m1, not m2"));
        await using LoomStore restored = await OpenAsync(as1);
        Assert.That(restored.Status.Configuration.Members.Single().Name, Is.EqualTo("m1"));
    }

    private LoomOptions One(string name) => new() { DataDirectory = Path.Combine(root, name), RecordIndexBytes = 1 << 20, RecordMemoryBytes = 16 << 20 };

    private static ValueTask<LoomStore> OpenAsync(LoomOptions options) => LoomStore.OpenAsync(options);

    private async Task BackUpAsync(LoomStore store)
    {
        await using LoomBackupStream backup = await store.OpenBackupAsync();
        await LoomBackup.SaveAsync(backup, file);
    }

    private async Task BackedUpAsync()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
        await BackUpAsync(store);
    }

    /// <summary>Overwritten and deleted keys, a compaction in between.</summary>
    private static async Task FillAsync(LoomStore store)
    {
        for (int i = 0; i < 600; i++)
        {
            byte[] key = Encoding.ASCII.GetBytes($"key-{i % 170:d4}");
            if (i % 7 == 3)
            {
                await store.DeleteAsync(KeyRange.Single(key));
            }
            else
            {
                await store.PutAsync(key, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"value-{i}-{new string('x', i)}")));
            }

            if (i == 300)
            {
                await store.CompactAsync(new Revision(200));
            }
        }
    }

    private static KeyValue[] Pairs(LoomStore store) => [.. store.Range(new RangeQuery(KeyRange.All)).Pairs];

    private static string Text(KeyValue pair) =>
        $"{Encoding.ASCII.GetString(pair.Key.Span)}={Encoding.ASCII.GetString(pair.Value.Span)} {pair.CreateRevision} {pair.ModRevision} {pair.Version} {pair.Lease}";
}
