using System.Text.Json;
using Loom.Raft;
using Loom.Server.Tests.Hosting;
using Loom.Store;

namespace Loom.Server.Tests.Cli;

/// <summary><c>loom backup</c> against a live node, in this process: what it writes, and what it leaves behind when something fails.</summary>
[TestFixture]
internal sealed class BackupCommandTests
{
    private TestNode node = null!;
    private string root = "";
    private string file = "";

    [SetUp]
    public async Task StartAsync()
    {
        root = Directory.CreateTempSubdirectory("loom-backup-").FullName;
        file = Path.Combine(root, "backup");
        node = await TestNode.StartAsync();
        await node.Store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
        await node.Store.PutAsync("a"u8.ToArray(), "2"u8.ToArray());
    }

    [TearDown]
    public async Task StopAsync()
    {
        await node.DisposeAsync();
        Directory.Delete(root, recursive: true);
    }

    [Test]
    public async Task It_says_what_verify_says()
    {
        CommandRun run = await BackUpAsync();
        LoomBackupReport report = LoomBackup.Verify(file);
        Assert.That(run, Is.EqualTo(new CommandRun(
            0, $"backup\t{file}\nrevision\t3, compacted -1\nkeys\t1, 2 records\nbytes\t{report.Bytes}\nhash\t{report.Hash}\nsource\tdefault of cluster c1, entry 2 of term 2\n", "")));
        Assert.That(await CommandRun.OfAsync("verify", file), Is.EqualTo(run));
        Assert.That(Names(), Is.EqualTo((string[])["backup"]));
    }

    [Test]
    public async Task It_overwrites_nothing_unless_forced()
    {
        await File.WriteAllTextAsync(file, "precious");
        CommandRun refused = await BackUpAsync();
        Assert.That((refused.Code, refused.Output), Is.EqualTo((1, "")));
        Assert.That(refused.Error, Is.EqualTo($"error LOOM1025: {file} exists already. Nothing was changed. Choose another name, or move it away.\n"));
        Assert.That(await File.ReadAllTextAsync(file), Is.EqualTo("precious"));
        Assert.That((await BackUpAsync("--force")).Code, Is.Zero);
        Assert.That(LoomBackup.Verify(file).Revision, Is.EqualTo(3));
    }

    [Test]
    public async Task Without_a_quorum_it_takes_what_there_is_and_says_so()
    {
        int calls = 0;
        node.Node.Fault = _ => calls++ == 0 ? new RaftException(RaftErrorCode.NoQuorum, "none") : null;
        CommandRun run = await BackUpAsync();
        Assert.That((run.Code, run.Error), Is.EqualTo((0, "note: no quorum; the backup holds what this member has applied, and may lack the newest writes\n")));
        Assert.That(LoomBackup.Verify(file).Revision, Is.EqualTo(3));
    }

    [Test]
    public async Task A_member_that_gives_none_leaves_no_file()
    {
        int calls = 0;
        node.Node.Fault = _ => calls++ == 1 ? new RaftException(RaftErrorCode.Overloaded, "two already") : null;
        CommandRun run = await BackUpAsync();
        Assert.That(run.Code, Is.EqualTo(1));
        Assert.That(run.Error, Does.StartWith("error LOOM1008: "));
        Assert.That(Names(), Is.Empty);
    }

    [Test]
    public async Task A_node_that_dies_on_the_way_leaves_no_file()
    {
        for (int i = 0; i < 300; i++)
        {
            await node.Store.PutAsync(BitConverter.GetBytes(i), new byte[100_000]);
        }

        // The state cannot be read on from some chunk on: the member closes under it.
        Task<CommandRun> backup = BackUpAsync();
        while (!File.Exists(file + ".part") || new FileInfo(file + ".part").Length < 1_000_000)
        {
            Assert.That(backup.IsCompleted, Is.False, "the backup was over too soon");
            await Task.Delay(1);
        }

        await node.Node.DisposeAsync();
        CommandRun run = await backup;
        Assert.That(run.Code, Is.Not.Zero, run.Output);
        Assert.That(run.Error, Does.StartWith("error"));
        Assert.That(Names(), Is.Empty);
    }

    [Test]
    public async Task Nobody_there_is_exit_code_6()
    {
        CommandRun run = await CommandRun.OfAsync("backup", file, "--endpoints", "127.0.0.1:1");
        Assert.That(run.Code, Is.EqualTo(6));
        Assert.That(Names(), Is.Empty);
    }

    [Test]
    public async Task A_damaged_file_is_found_and_json_has_the_figures()
    {
        await BackUpAsync();
        using (JsonDocument json = JsonDocument.Parse((await CommandRun.OfAsync("verify", file, "-o", "json")).Output))
        {
            Assert.That(json.RootElement.GetProperty("revision").GetInt64(), Is.EqualTo(3));
            Assert.That(json.RootElement.GetProperty("hash").GetString(), Has.Length.EqualTo(64));
        }

        byte[] bytes = await File.ReadAllBytesAsync(file);
        bytes[bytes.Length / 2] ^= 4;
        await File.WriteAllBytesAsync(file, bytes);
        CommandRun run = await CommandRun.OfAsync("verify", file);
        Assert.That(run.Code, Is.EqualTo(1));
        Assert.That(run.Error, Does.Match($"^error LOOM1020: {file}: The backup is damaged at offset [0-9]+: "));
    }

    private Task<CommandRun> BackUpAsync(params string[] options) => CommandRun.OfAsync(["backup", file, "--endpoints", node.Endpoint, .. options]);

    private string[] Names() => [.. Directory.EnumerateFileSystemEntries(root).Select(path => Path.GetFileName(path))];
}
