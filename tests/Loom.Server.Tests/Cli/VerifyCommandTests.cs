using System.Text.Json;
using Loom.Store;

namespace Loom.Server.Tests.Cli;

/// <summary><c>loom verify</c>: what it writes, and its exit codes, which scripts depend on.</summary>
[TestFixture]
internal sealed class VerifyCommandTests
{
    private string root = "";
    private string data = "";

    [SetUp]
    public async Task MakeDirectoryAsync()
    {
        root = Directory.CreateTempSubdirectory("loom-verify-").FullName;
        data = Path.Combine(root, "data");
        await using LoomStore store = await OpenAsync();
        await store.PutAsync("a"u8.ToArray(), "1"u8.ToArray());
    }

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_whole_directory_is_exit_code_0()
    {
        CommandRun run = await CommandRun.OfAsync("verify", data);
        Assert.That(run.Code, Is.Zero, run.Error);
        string[] lines = run.Output.Split('\n');
        Assert.That(lines.Select(l => l.Split('\t')[0]), Is.EqualTo((string[])["directory", "member", "cluster", "log", "checkpoint", "starts", ""]));
        Assert.That(lines[4], Does.Match("^checkpoint\tentry [0-9]+, revision 2, compacted -1; 1 keys, 1 records, [0-9]+ bytes$"));
        Assert.That(lines[5], Does.StartWith("starts\tyes: from the checkpoint at entry "));
    }

    [Test]
    public async Task Damage_is_exit_code_1_and_names_the_file()
    {
        string identity = Path.Combine(data, "cluster");
        byte[] bytes = await File.ReadAllBytesAsync(identity);
        bytes[^1] ^= 1;
        await File.WriteAllBytesAsync(identity, bytes);
        CommandRun run = await CommandRun.OfAsync("verify", data, "-o", "json");
        Assert.That(run.Code, Is.EqualTo(1));
        using JsonDocument json = JsonDocument.Parse(run.Output);
        Assert.That(json.RootElement.GetProperty("would_start").GetBoolean(), Is.False);
        Assert.That(json.RootElement.GetProperty("damage")[0].GetString(), Does.StartWith($"{identity} is damaged at offset 8"));
        Assert.That(json.RootElement.GetProperty("log").GetProperty("last_index").GetInt64(), Is.GreaterThan(1), "what is left is told");
    }

    [Test]
    public async Task A_name_of_nothing_is_said()
    {
        string nothing = Path.Combine(root, "nosuch.db");
        CommandRun run = await CommandRun.OfAsync("verify", nothing);
        Assert.That((run.Code, run.Error), Is.EqualTo((1, $"error: there is no file or directory {nothing}\nhint: name a backup, or the --data-dir of a member\n")));
    }

    [Test]
    public async Task A_directory_in_use_is_refused()
    {
        await using LoomStore store = await OpenAsync();
        CommandRun run = await CommandRun.OfAsync("verify", data);
        Assert.That((run.Code, run.Output), Is.EqualTo((1, "")));
        Assert.That(run.Error, Does.StartWith("error LOOM1019: The data directory").And.Contain("already in use by another process"));
    }

    private ValueTask<LoomStore> OpenAsync() => LoomStore.OpenAsync(new LoomOptions { DataDirectory = data, RecordIndexBytes = 1 << 20 });
}
