using System.CommandLine;
using Loom.Store;

namespace Loom.Server.Cli;

/// <summary><c>loom backup FILE</c>: a member's state into a file, which is verified before it gets its name.</summary>
internal static class BackupCommand
{
    public static Command Create(CommandLineOptions common)
    {
        var file = new Argument<string>("file") { Description = "the file to write" };
        var force = new Option<bool>("--force") { Description = "replace FILE if it exists" };
        var command = new Command("backup", "Write the state of a member to a file, online; it is verified before it gets its name");
        command.Arguments.Add(file);
        command.Options.Add(force);
        common.SetAction(command, async (parsed, session) =>
        {
            string path = parsed.GetValue(file)!;
            await using var source = new SnapshotSource(session);
            LoomBackupReport report = await LocalFiles.RunAsync(() => LoomBackup.SaveAsync(source, path, parsed.GetValue(force), session.CancellationToken)).ConfigureAwait(false);
            BackupText.Write(session.Data, report);
            return ExitCode.Ok;
        });
        return command;
    }
}
