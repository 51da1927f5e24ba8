using System.CommandLine;
using System.Globalization;
using Loom.Raft.Membership;
using Loom.Server.Configuration;
using Loom.Server.Hosting;
using Loom.Store;

namespace Loom.Server.Cli;

/// <summary>
/// <c>loom restore FILE</c>: the data directory of a member of a new cluster. Its options are those of <c>loom serve</c> that name member and cluster, and are read and checked as there:
/// what was restored with them is served with them.
/// </summary>
internal static class RestoreCommand
{
    /// <summary>Options that go to the settings of a node as they are.</summary>
    private static readonly string[] NodeOptions =
        ["name", "data-dir", "datacenter", "initial-cluster", "initial-cluster-token", "initial-advertise-peer-urls", "placement-goal"];

    public static Command Create(CommandLineOptions common)
    {
        var file = new Argument<string>("file") { Description = "the backup: of loom backup, or of etcdctl snapshot save on a node of Loom" };
        Option<string?>[] node = [.. NodeOptions.Select(name => new Option<string?>("--" + name) { Description = SettingTable.Find(name)!.Help })];
        var bump = new Option<long>("--bump-revision")
        {
            DefaultValueFactory = _ => LoomBackup.DefaultRevisionBump,
            Description = "raise the revision by this much, and count all older ones as compacted; 0 keeps revision and history",
        };
        var compacted = new Option<bool>("--mark-compacted") { Description = "etcd's: implied by a raised revision" };
        var dryRun = new Option<bool>("--dry-run") { Description = "verify FILE and the options, say what would be done, and do nothing" };
        var command = new Command("restore", "Make the data directory of a member of a new cluster from a backup; restore every member from the same FILE, then serve each with the same options");
        command.Arguments.Add(file);
        foreach (Option option in (Option[])[.. node, bump, compacted, dryRun])
        {
            command.Options.Add(option);
        }

        common.SetAction(command, async (parsed, session) =>
        {
            LoomOptions options = Options(parsed, node);
            if (parsed.GetValue(compacted) && parsed.GetValue(bump) == 0)
            {
                throw new CommandException(ExitCode.Usage, "--mark-compacted goes with a raised revision, and --bump-revision is 0", "leave one of the two out");
            }

            string path = parsed.GetValue(file)!;
            bool dry = parsed.GetValue(dryRun);
            LoomRestoreReport report = await LocalFiles.RunAsync(() => LoomBackup.Restore(path, options, parsed.GetValue(bump), dry, session.CancellationToken)).ConfigureAwait(false);
            Write(session.Data, report, dry);
            session.Note(dry ? "note: dry run, nothing was written" : Next(report));
            return ExitCode.Ok;
        });
        return command;
    }

    private static LoomOptions Options(ParseResult parsed, Option<string?>[] node)
    {
        try
        {
            string[] arguments = [.. node.Where(option => parsed.GetValue(option) is not null).SelectMany(option => (string[])[option.Name, parsed.GetValue(option)!])];
            return StoreOpening.Options(ServeSettings.From(SettingSources.Read(arguments, new Dictionary<string, string>(), File.ReadAllText), serves: false), loggers: null);
        }
        catch (ConfigurationException exception)
        {
            throw new CommandException(ExitCode.Usage, exception.Message, exception.Fix);
        }
    }

    private static string Next(LoomRestoreReport report) => report.Members.Members.Count == 1
        ? "note: start it with: loom serve and the same options"
        : "note: restore the other members from the same file with the same options, then start all with: loom serve and the same options";

    private static void Write(DataWriter data, LoomRestoreReport report, bool dry)
    {
        if (data.IsJson)
        {
            data.Json(json =>
            {
                json.WriteBoolean("dry_run", dry);
                json.WriteString("file", report.Backup.Path);
                json.WriteString("hash", report.Backup.Hash);
                json.WriteString("data_dir", report.DataDirectory);
                json.WriteString("name", report.Name);
                json.WriteNumber("backup_revision", report.Backup.Revision);
                json.WriteNumber("revision", report.Revision);
                json.WriteNumber("compact_revision", report.CompactRevision);
                json.WriteNumber("epoch", report.Epoch);
                json.WriteNumber("keys", report.Backup.Keys);
                json.WriteNumber("records", report.Records);
                json.WriteStartArray("members");
                foreach (Member member in report.Members.Members)
                {
                    json.WriteStringValue(member.Name);
                }

                json.WriteEndArray();
            });
            return;
        }

        data.Fact("backup", string.Create(CultureInfo.InvariantCulture, $"{report.Backup.Path}, revision {report.Backup.Revision}, hash {report.Backup.Hash}"));
        data.Fact("directory", report.DataDirectory);
        data.Fact("member", $"{report.Name} of {string.Join(", ", report.Members.Members.Select(m => m.Name).Order(StringComparer.Ordinal))}");
        data.Fact("revision", string.Create(CultureInfo.InvariantCulture, $"{report.Revision}, compacted {report.CompactRevision}, epoch {report.Epoch}"));
        data.Fact("keys", string.Create(CultureInfo.InvariantCulture, $"{report.Backup.Keys}, {report.Records} records"));
    }
}
