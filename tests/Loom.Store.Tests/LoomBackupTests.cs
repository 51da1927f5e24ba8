using System.Text;
using Loom.Store.Model;
using Loom.Store.Tests.Snapshots;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Backups as files: what has the name is whole; what is not has no name.</summary>
internal sealed class LoomBackupTests
{
    private string root = "";
    private string file = "";

    [SetUp]
    public void CreateRoot()
    {
        root = Directory.CreateTempSubdirectory("loom-backup-").FullName;
        file = Path.Combine(root, "backup");
    }

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_backup_that_was_saved_is_there_and_whole()
    {
        byte[] archive = await ArchiveAsync();
        LoomBackupReport saved = await LoomBackup.SaveAsync(new MemoryStream(archive), file);
        Assert.That(saved.Path, Is.EqualTo(file));
        Assert.That(await File.ReadAllBytesAsync(file), Is.EqualTo(archive));
        LoomBackupReport again = LoomBackup.Verify(file);
        Assert.That(again, Is.EqualTo(saved with { Configuration = again.Configuration }));
        Assert.That(Names(), Is.EqualTo((string[])["backup"]));
        if (!OperatingSystem.IsWindows())
        {
            Assert.That(File.GetUnixFileMode(file), Is.EqualTo(UnixFileMode.UserRead | UnixFileMode.UserWrite), "it holds everything, passwords' hashes too");
        }
    }

    [Test]
    public async Task Nothing_is_overwritten_unless_it_is_asked_for()
    {
        await File.WriteAllTextAsync(file, "precious");
        LoomException refusal = (await Assert.ThrowsAsync<LoomException>(async () => await LoomBackup.SaveAsync(new MemoryStream(await ArchiveAsync()), file)))!;
        Assert.That(refusal.Code, Is.EqualTo(LoomErrorCode.TargetExists));
        Assert.That(await File.ReadAllTextAsync(file), Is.EqualTo("precious"));
        await LoomBackup.SaveAsync(new MemoryStream(await ArchiveAsync()), file, overwrite: true);
        Assert.That(LoomBackup.Verify(file).Revision, Is.EqualTo(2));
        Assert.That(Names(), Is.EqualTo((string[])["backup"]));
    }

    [Test]
    public async Task A_stream_that_breaks_off_leaves_no_file_and_the_old_one_as_it_was()
    {
        byte[] archive = await ArchiveAsync();
        await LoomBackup.SaveAsync(new MemoryStream(archive), file);
        await Assert.ThrowsAsync<IOException>(() => LoomBackup.SaveAsync(new Breaking(archive[..600]), file, overwrite: true));
        Assert.That(Names(), Is.EqualTo((string[])["backup"]));
        Assert.That(await File.ReadAllBytesAsync(file), Is.EqualTo(archive));

        // One that merely ends.
        LoomException damage = (await Assert.ThrowsAsync<LoomException>(() => LoomBackup.SaveAsync(new MemoryStream(archive[..600]), Path.Combine(root, "other"))))!;
        Assert.That(damage.Code, Is.EqualTo(LoomErrorCode.Corruption));
        Assert.That(damage.Message, Does.Contain("ends too early"));
        Assert.That(Names(), Is.EqualTo((string[])["backup"]));
    }

    [Test]
    public async Task Two_backups_into_one_file_do_not_mix()
    {
        byte[] archive = await ArchiveAsync();
        TaskCompletionSource begun = new(), go = new();
        Task<LoomBackupReport> first = LoomBackup.SaveAsync(new Waiting(archive, begun, go.Task), file);
        await begun.Task;
        await Assert.ThrowsAsync<IOException>(() => LoomBackup.SaveAsync(new MemoryStream(archive), file));
        go.SetResult();
        Assert.That((await first).Revision, Is.EqualTo(2));
    }

    /// <summary>Each writer overwrites its own key in turn and a common one, so that a state at any revision is known from the revision alone.</summary>
    [Test]
    public async Task A_backup_while_writes_go_on_is_the_state_at_its_revision()
    {
        string data = Path.Combine(root, "data");
        await using LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = data, RecordIndexBytes = 1 << 20 });
        for (int i = 0; i < 200; i++)
        {
            await store.PutAsync(Encoding.ASCII.GetBytes($"old-{i:d4}"), new byte[3000]);
        }

        using CancellationTokenSource end = new();
        Task writing = Task.WhenAll(Enumerable.Range(0, 4).Select(w => WriteAsync(store, w, end.Token)));
        for (int round = 0; round < 5; round++)
        {
            await Task.Delay(30);
            string name = $"{file}-{round}";
            await using LoomBackupStream backup = await store.OpenBackupAsync();
            LoomBackupReport report = await LoomBackup.SaveAsync(new Slow(backup), name);
            Assert.That(report.Revision, Is.EqualTo(backup.Revision.Number));
            HashResult there = await store.HashAsync(backup.Revision);
            Assert.That(RestoredState.HashOf(name, there.HashRevision), Is.EqualTo(there.Hash), $"round {round}");
        }

        await end.CancelAsync();
        await writing;
    }

    [Test]
    public async Task Two_at_a_time_and_a_place_is_free_again_when_one_ends()
    {
        await using LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = Path.Combine(root, "data"), RecordIndexBytes = 1 << 20 });
        await store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
        LoomBackupStream first = await store.OpenBackupAsync(), second = await store.OpenBackupAsync();
        Assert.That((await Assert.ThrowsAsync<LoomException>(async () => await store.OpenBackupAsync()))!.Code, Is.EqualTo(LoomErrorCode.Overloaded));
        await first.DisposeAsync();
        await (await store.OpenBackupAsync()).DisposeAsync();
        await second.DisposeAsync();
    }

    private static async Task WriteAsync(LoomStore store, int writer, CancellationToken end)
    {
        for (int i = 0; !end.IsCancellationRequested; i++)
        {
            byte[] key = Encoding.ASCII.GetBytes($"key-{writer}-{i % 50}");
            if (i % 10 == 9)
            {
                await store.DeleteAsync(KeyRange.Single(key), CancellationToken.None);
            }
            else
            {
                await store.PutAsync(key, new byte[500], 0, CancellationToken.None);
            }
        }
    }

    private static async Task<byte[]> ArchiveAsync()
    {
        await using LoomStore store = ImmediateNode.OpenStore();
        await store.PutAsync("a"u8.ToArray(), new byte[1000]);
        return await BackupArchiveTests.BackupOfAsync(store);
    }

    private string[] Names() => [.. Directory.EnumerateFileSystemEntries(root).Select(path => Path.GetFileName(path)).Order(StringComparer.Ordinal)];

    private sealed class Breaking(byte[] bytes) : MemoryStream(bytes)
    {
        public override Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken) =>
            base.CopyToAsync(destination, bufferSize, cancellationToken).ContinueWith(_ => throw new IOException("broken"), TaskScheduler.Default);
    }

    private sealed class Waiting(byte[] bytes, TaskCompletionSource begun, Task go) : MemoryStream(bytes)
    {
        public override async Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken)
        {
            begun.SetResult();
            await go;
            await base.CopyToAsync(destination, bufferSize, cancellationToken);
        }
    }

    private sealed class Slow(LoomBackupStream source) : MemoryStream
    {
        public override async Task CopyToAsync(Stream destination, int bufferSize, CancellationToken cancellationToken)
        {
            byte[] buffer = new byte[16 * 1024];
            for (int count; (count = await source.ReadAsync(buffer, cancellationToken)) > 0;)
            {
                await destination.WriteAsync(buffer.AsMemory(0, count), cancellationToken);
                await Task.Delay(1, cancellationToken);
            }
        }
    }
}
