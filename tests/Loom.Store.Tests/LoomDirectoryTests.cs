using System.Globalization;
using System.Runtime.Versioning;
using System.Security.Cryptography;
using System.Text;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Store.Model;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Store.Tests;

/// <summary>Looking at a data directory: what is found, that nothing is changed, and that what is said about a start is what a start does.</summary>
internal sealed class LoomDirectoryTests
{
    private string root = "";
    private string data = "";

    [SetUp]
    public void CreateRoot()
    {
        root = Directory.CreateTempSubdirectory("loom-verify-").FullName;
        data = Path.Combine(root, "data");
    }

    [TearDown]
    public void DeleteRoot() => Directory.Delete(root, recursive: true);

    [Test]
    public async Task A_whole_directory_is_described_and_nothing_in_it_changes()
    {
        await FillAsync(300);
        List<string> before = Everything();
        LoomDirectoryReport report = LoomDirectory.Verify(data);
        Assert.That(Everything(), Is.EqualTo(before), "a byte, a name or a time has changed");
        Assert.That(report.Damage, Is.Empty);
        Assert.That(report.WouldStart, Is.True, report.Start);
        Assert.That(report.Raft.Name, Is.EqualTo("default"));
        Assert.That(report.Raft.Log!.LastIndex, Is.GreaterThan(300));
        Assert.That(report.Checkpoints, Is.Not.Empty);
        Assert.That(report.Checkpoints[0], Has.Property("Revision").EqualTo(301).And.Property("Keys").EqualTo(300).And.Property("Records").EqualTo(300));
        Assert.That(report.Start, Does.StartWith($"from the checkpoint at entry {report.Checkpoints[0].Index}"));
    }

    [Test]
    [Platform(Exclude = "Win")]
    [UnsupportedOSPlatform("windows")]
    public async Task Nobody_else_may_look_into_what_was_made_and_what_was_there_keeps_its_mode()
    {
        await FillAsync(20);
        Assert.That(Modes(data), Is.All.EndsWith("UserExecute, UserWrite, UserRead"));
        string file = Path.Combine(root, "backup"), theirs = Path.Combine(root, "theirs");
        await using (LoomStore store = await OpenAsync())
        {
            await using Stream archive = await store.OpenBackupAsync();
            await LoomBackup.SaveAsync(archive, file);
        }

        LoomBackup.Restore(file, new LoomOptions { DataDirectory = Path.Combine(root, "restored") });
        Assert.That(Modes(Path.Combine(root, "restored")), Is.All.EndsWith("UserExecute, UserWrite, UserRead"));

        const UnixFileMode chosen = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.GroupRead | UnixFileMode.GroupExecute;
        Directory.CreateDirectory(theirs, chosen);
        await (await LoomStore.OpenAsync(new LoomOptions { DataDirectory = theirs, RecordIndexBytes = 1 << 20 })).DisposeAsync();
        Assert.That(File.GetUnixFileMode(theirs), Is.EqualTo(chosen));
        Assert.That(Modes(theirs).Skip(1), Is.Not.Empty.And.All.EndsWith("UserExecute, UserWrite, UserRead"));
    }

    [Test]
    public async Task A_directory_in_which_a_member_runs_is_refused()
    {
        await using LoomStore store = await OpenAsync();
        LoomException refusal = Assert.Throws<LoomException>(() => LoomDirectory.Verify(data))!;
        Assert.That(refusal.Code, Is.EqualTo(LoomErrorCode.CannotOpen));
        Assert.That(refusal.Message, Does.Contain("already in use by another process"));
    }

    [Test]
    public void What_is_no_data_directory_is_refused()
    {
        Assert.That(Assert.Throws<LoomException>(() => LoomDirectory.Verify(data))!.Message, Does.Contain("There is no directory"));
        Directory.CreateDirectory(data);
        File.WriteAllText(Path.Combine(data, "letter"), "Dear");
        Assert.That(Assert.Throws<LoomException>(() => LoomDirectory.Verify(data))!.Message, Does.Contain("is no data directory"));
        Assert.That(Directory.EnumerateFileSystemEntries(data).Count(), Is.EqualTo(1));
    }

    [Test]
    public async Task The_copy_of_a_running_members_directory_starts_as_it_is_said()
    {
        await using (LoomStore store = await OpenAsync())
        {
            await PutAsync(store, 0, 500);
            string copy = Path.Combine(root, "copy");
            Copy(data, copy);
            data = copy;
        }

        LoomDirectoryReport report = LoomDirectory.Verify(data);
        Assert.That(report.Damage, Is.Empty);
        Assert.That(report.WouldStart, Is.True, report.Start);
        long last = report.Raft.Log!.LastIndex;
        await using LoomStore again = await OpenAsync();
        Assert.That(again.Status.Keys, Is.EqualTo(500));
        Assert.That(again.Status.Raft.LastIndex, Is.GreaterThanOrEqualTo(last));
    }

    /// <summary>Bits all over each file that the start needs. Behind its end a segment is filled with zeros that nobody reads.</summary>
    [Test]
    public async Task A_flipped_bit_is_found_wherever_it_is_and_a_start_does_what_is_said_of_it()
    {
        await FillAsync(200);
        await FillAsync(200);
        string whole = data;
        LoomDirectoryReport report = LoomDirectory.Verify(whole);
        string last = Directory.GetFiles(Path.Combine(whole, "raft"), "*.log").Order(StringComparer.Ordinal).Last();
        string[] files = ["cluster", .. report.Checkpoints.Select(c => Path.GetRelativePath(whole, c.File)), Path.GetRelativePath(whole, last), .. Records(whole)];
        foreach (string file in files)
        {
            int length = 1 + Array.FindLastIndex(File.ReadAllBytes(Path.Combine(whole, file)), b => b != 0);
            foreach (long at in (int[])[length / 9, length / 3, length / 2, length - 1])
            {
                data = Path.Combine(root, string.Create(CultureInfo.InvariantCulture, $"flipped-{Path.GetFileName(file)}-{at}"));
                Copy(whole, data);
                Flip(Path.Combine(data, file), at);
                LoomDirectoryReport found = LoomDirectory.Verify(data);
                Assert.That(found.Damage, Is.Not.Empty, $"{file} at {at}");
                Assert.That(await StartsAsync(), Is.EqualTo(found.WouldStart), $"{file} at {at}: {found.Start}");
                Directory.Delete(data, recursive: true);
            }
        }
    }

    [Test]
    public async Task A_checkpoint_beyond_the_log_shows_that_the_log_lost_its_tail()
    {
        await FillAsync(20);
        string old = Path.Combine(root, "old");
        Copy(Path.Combine(data, "raft"), Path.Combine(old));
        await FillAsync(200);
        Directory.Delete(Path.Combine(data, "raft"), recursive: true);
        Copy(old, Path.Combine(data, "raft"));
        LoomDirectoryReport report = LoomDirectory.Verify(data);
        Assert.That(report.WouldStart, Is.False);
        Assert.That(report.Start, Does.Contain("lost its tail"));
        Assert.That(await StartsAsync(), Is.False);
    }

    // Goal: what is said of a member without a checkpoint is what its start does. Method: the log is cut behind two checkpoints, and both are deleted, in a cluster of one and of two.
    [Test]
    public async Task Without_a_checkpoint_below_the_log_a_member_of_one_is_refused()
    {
        InitialMember[] members = Members(1);
        await CutLogAsync(members);
        LoomDirectoryReport report = LoomDirectory.Verify(data);
        Assert.That(report.WouldStart, Is.False, report.Start);
        Assert.That(report.Start, Does.Contain("no checkpoint can be used").And.Contain("restore a backup"));
        LoomException refusal = (await Assert.ThrowsAsync<LoomException>(async () => await (await OpenAsync(members, 0)).DisposeAsync()))!;
        Assert.That(refusal, Has.Property("Code").EqualTo(LoomErrorCode.Corruption).And.Message.Contains("holds no checkpoint").And.Message.Contains("Nothing was changed"));
    }

    [Test]
    public async Task Without_a_checkpoint_below_the_log_a_member_of_two_starts_without_a_state_and_is_filled()
    {
        InitialMember[] members = Members(2);
        await CutLogAsync(members);
        LoomDirectoryReport report = LoomDirectory.Verify(data);
        Assert.That(report.WouldStart, Is.True, report.Start);
        Assert.That(report.Start, Does.StartWith("without a state: no checkpoint can be used").And.Contain("answers no read"));

        LoomStore[] stores = await Task.WhenAll(members.Select((_, i) => OpenAsync(members, i).AsTask()));
        await using LoomStore first = stores[0], second = stores[1];
        Assert.That(await first.GetAsync(Key(0), ReadConsistency.Linearizable), Is.Not.Null);
        Assert.That(first.Status.Keys, Is.EqualTo(second.Status.Keys));
    }

    private static InitialMember[] Members(int count) =>
        [.. FreePorts.Take(count).Select((port, i) => new InitialMember($"m{i}", $"dc{i}", MemberRole.Voter, [string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}")]))];

    private ValueTask<LoomStore> OpenAsync(InitialMember[] members, int self) => LoomStore.OpenAsync(new LoomOptions
    {
        Name = members[self].Name,
        DataDirectory = self == 0 ? data : Path.Combine(root, members[self].Name),
        InitialCluster = members,
        ListenPeerUrls = members[self].PeerUrls,
        RecordIndexBytes = 1 << 20,
        SnapshotCount = 1_000,
    });

    /// <summary>The first member's log begins after the tail of 5,000 entries that is kept, and its checkpoints are gone.</summary>
    private async Task CutLogAsync(InitialMember[] members)
    {
        LoomStore[] stores = await Task.WhenAll(members.Select((_, i) => OpenAsync(members, i).AsTask()));
        for (int round = 0; round < 9; round++)
        {
            await Task.WhenAll(Enumerable.Range(0, 1_000).Select(i => stores[0].PutAsync(Key(i), Key(round)).AsTask()));
        }

        foreach (LoomStore store in stores)
        {
            await store.DisposeAsync();
        }

        Assert.That(LoomDirectory.Verify(data).Raft.Log!.BaseIndex, Is.GreaterThan(0));
        foreach (string path in Directory.GetFiles(Path.Combine(data, "records"), "checkpoint-*"))
        {
            File.Delete(path);
        }
    }

    private static byte[] Key(int number) => Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"key-{number:d6}"));

    [UnsupportedOSPlatform("windows")]
    private static string[] Modes(string directory) =>
        [.. Directory.EnumerateDirectories(directory, "*", SearchOption.AllDirectories).Prepend(directory).Select(path => $"{path}: {File.GetUnixFileMode(path)}")];

    private async Task FillAsync(int keys)
    {
        await using LoomStore store = await OpenAsync();
        await PutAsync(store, (int)store.Status.Keys, keys);
    }

    private static async Task PutAsync(LoomStore store, int from, int keys) =>
        await Task.WhenAll(Enumerable.Range(from, keys).Select(i => store.PutAsync(Encoding.ASCII.GetBytes($"key-{i:d6}"), new byte[100 + i]).AsTask()));

    private ValueTask<LoomStore> OpenAsync() => LoomStore.OpenAsync(new LoomOptions { DataDirectory = data, RecordIndexBytes = 1 << 20 });

    private async Task<bool> StartsAsync()
    {
        try
        {
            await using LoomStore store = await OpenAsync();
            return true;
        }
        catch (LoomException)
        {
            return false;
        }
    }

    private List<string> Everything() =>
    [
        .. Directory.EnumerateFileSystemEntries(data, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal).Select(path =>
            $"{path} {File.GetLastWriteTimeUtc(path):O} {(File.Exists(path) ? Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path))) : "")}"),
    ];

    private static IEnumerable<string> Records(string directory) =>
        Directory.EnumerateFiles(Path.Combine(directory, "records"), "hlog.log.*", SearchOption.AllDirectories)
            .Where(path => File.ReadAllBytes(path).Any(b => b != 0)) // others are taken ahead
            .Select(path => Path.GetRelativePath(directory, path));

    private static void Flip(string path, long at)
    {
        byte[] bytes = File.ReadAllBytes(path);
        bytes[at] ^= 0x10;
        File.WriteAllBytes(path, bytes);
    }

    private static void Copy(string from, string to)
    {
        Directory.CreateDirectory(to);
        foreach (string path in Directory.EnumerateFiles(from))
        {
            if (Path.GetFileName(path) == "lock")
            {
                File.WriteAllBytes(Path.Combine(to, "lock"), []);
                continue;
            }

            using FileStream source = new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete);
            using FileStream copy = File.Create(Path.Combine(to, Path.GetFileName(path)));
            source.CopyTo(copy);
        }

        foreach (string path in Directory.EnumerateDirectories(from))
        {
            Copy(path, Path.Combine(to, Path.GetFileName(path)));
        }
    }
}
