using System.CommandLine;
using System.Globalization;
using System.Text.Json;
using Loom.Raft;
using Loom.Store;

namespace Loom.Server.Cli;

/// <summary><c>loom verify PATH</c>: checks every checksum of what lies on a disk, and changes nothing.</summary>
internal static class VerifyCommand
{
    public static Command Create(CommandLineOptions common)
    {
        var path = new Argument<string>("path") { Description = "a backup, or the data directory of a member that does not run" };
        var command = new Command("verify", "Check every checksum of a backup, or of a data directory and whether a member would start from it; exit code 1 if it is damaged");
        command.Arguments.Add(path);
        common.SetAction(command, async (parsed, session) =>
        {
            string name = parsed.GetValue(path)!;
            if (!File.Exists(name) && !Directory.Exists(name))
            {
                throw new CommandException(ExitCode.Failure, $"there is no file or directory {name}", "name a backup, or the --data-dir of a member");
            }

            return await LocalFiles.RunAsync(() => File.Exists(name) ? VerifyBackup(name, session) : VerifyDirectory(name, session.Data)).ConfigureAwait(false);
        });
        return command;
    }

    private static int VerifyBackup(string path, CommandSession session)
    {
        BackupText.Write(session.Data, LoomBackup.Verify(path, session.CancellationToken));
        return ExitCode.Ok;
    }

    private static int VerifyDirectory(string path, DataWriter data)
    {
        LoomDirectoryReport report = LoomDirectory.Verify(path);
        if (data.IsJson)
        {
            data.Json(json => Write(json, report));
        }
        else
        {
            Write(data, report);
        }

        return report is { WouldStart: true, Damage.Count: 0 } ? ExitCode.Ok : ExitCode.Failure;
    }

    private static void Write(DataWriter data, LoomDirectoryReport report)
    {
        RaftDirectoryReport raft = report.Raft;
        data.Fact("directory", report.Path);
        data.Fact("member", raft.Name is null ? "unknown" : $"{raft.Name} ({raft.MemberId}), token {raft.Token}");
        data.Fact("cluster", raft.ClusterId == 0 ? "not formed" : Hex(raft.ClusterId));
        if (raft.Log is { } log)
        {
            data.Fact("log", string.Create(
                CultureInfo.InvariantCulture, $"entries {log.BaseIndex + 1} to {log.LastIndex}, committed {log.CommitHint} at least, term {log.Term}; {log.Segments} segments, {log.Bytes} bytes"));
        }

        foreach (CheckpointReport checkpoint in report.Checkpoints)
        {
            data.Fact(checkpoint.IsInstalled ? "snapshot" : "checkpoint", checkpoint.Damage is not null
                ? string.Create(CultureInfo.InvariantCulture, $"entry {checkpoint.Index}, damaged")
                : string.Create(
                    CultureInfo.InvariantCulture,
                    $"entry {checkpoint.Index}, revision {checkpoint.Revision}, compacted {checkpoint.CompactRevision}; {checkpoint.Keys} keys, {checkpoint.Records} records, {checkpoint.Bytes} bytes"));
        }

        foreach (string damage in report.Damage)
        {
            data.Fact("damage", damage);
        }

        data.Fact("starts", (report.WouldStart ? "yes: " : "no: ") + report.Start);
    }

    private static void Write(Utf8JsonWriter json, LoomDirectoryReport report)
    {
        RaftDirectoryReport raft = report.Raft;
        json.WriteString("directory", report.Path);
        json.WriteString("name", raft.Name);
        json.WriteString("token", raft.Token);
        json.WriteString("member_id", Hex(raft.MemberId.Value));
        json.WriteString("cluster_id", Hex(raft.ClusterId));
        json.WriteString("restored_from", raft.RestoredFrom);
        if (raft.Log is { } log)
        {
            json.WriteStartObject("log");
            json.WriteNumber("segments", log.Segments);
            json.WriteNumber("bytes", log.Bytes);
            json.WriteNumber("base_index", log.BaseIndex);
            json.WriteNumber("last_index", log.LastIndex);
            json.WriteNumber("commit_hint", log.CommitHint);
            json.WriteNumber("term", log.Term);
            json.WriteEndObject();
        }

        json.WriteStartArray("checkpoints");
        foreach (CheckpointReport checkpoint in report.Checkpoints)
        {
            Write(json, checkpoint);
        }

        json.WriteEndArray();
        json.WriteStartArray("damage");
        foreach (string damage in report.Damage)
        {
            json.WriteStringValue(damage);
        }

        json.WriteEndArray();
        json.WriteBoolean("would_start", report.WouldStart);
        json.WriteString("start", report.Start);
    }

    private static void Write(Utf8JsonWriter json, CheckpointReport checkpoint)
    {
        json.WriteStartObject();
        json.WriteString("file", checkpoint.File);
        json.WriteNumber("index", checkpoint.Index);
        json.WriteNumber("term", checkpoint.Term);
        json.WriteBoolean("installed", checkpoint.IsInstalled);
        json.WriteNumber("revision", checkpoint.Revision);
        json.WriteNumber("compact_revision", checkpoint.CompactRevision);
        json.WriteNumber("keys", checkpoint.Keys);
        json.WriteNumber("records", checkpoint.Records);
        json.WriteNumber("bytes", checkpoint.Bytes);
        json.WriteString("damage", checkpoint.Damage);
        json.WriteEndObject();
    }

    private static string Hex(ulong id) => id.ToString("x", CultureInfo.InvariantCulture);
}
