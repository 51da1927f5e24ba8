using System.Globalization;
using System.Text;
using Loom.Server.Configuration;
using Loom.Testing;

namespace Loom.Server.Tests.Configuration;

/// <summary>docs/flags.md is the table of settings and nothing else: every flag of etcd 3.4 and 3.5, and ours. LOOM_RECORD=DIRECTORY writes the page as it should be.</summary>
[TestFixture]
internal sealed class FlagsPageTests
{
    private static readonly string[] Ours = ["datacenter", "placement-goal", "min-free-disk-bytes"];

    [Test]
    public void The_page_of_flags_is_the_table_of_settings()
    {
        string page = Page();
        if (Environment.GetEnvironmentVariable("LOOM_RECORD") is { Length: > 0 } directory)
        {
            File.WriteAllText(Path.Combine(directory, "flags.md"), page);
        }

        Assert.That(File.ReadAllText(Path.Combine(TestRun.Repository, "docs", "flags.md")), Is.EqualTo(page));
    }

    private static string Page()
    {
        CultureInfo c = CultureInfo.InvariantCulture;
        var text = new StringBuilder("# Flags of `loom serve`\n\nEach is a variable too (`--data-dir`: `LOOM_DATA_DIR`, `ETCD_DATA_DIR`) and a key of `--config-file`. Made from the table in the source; how they are read: [etcd-compatibility.md](etcd-compatibility.md#settings).\n\n");
        text.Append("| flag | default | what it does |\n|---|---|---|\n");
        foreach (Setting setting in SettingTable.All.Where(s => s.Use == SettingUse.Works))
        {
            text.Append(c, $"| `--{setting.Name}`{(Ours.Contains(setting.Name) ? " (ours)" : "")} | {(setting.Default.Length > 0 ? $"`{setting.Default}`" : "")} | {setting.Help.Replace("|", "\\|", StringComparison.Ordinal)} |\n");
        }

        text.Append("\n## Flags of etcd that mean nothing here\n\nThey are accepted with one line in the log, so that units written for etcd start: ");
        text.AppendJoin(", ", SettingTable.All.Where(s => s.Use == SettingUse.Ignored).Select(s => $"`--{s.Name}`").Order(StringComparer.Ordinal));
        text.Append(".\n\n## Flags of etcd that are refused\n\nIgnoring them would break what they ask for. Off or empty they are accepted.\n\n| flag | instead |\n|---|---|\n");
        foreach (Setting setting in SettingTable.All.Where(s => s.Use == SettingUse.Refused))
        {
            text.Append(c, $"| `--{setting.Name}` | {setting.Help} |\n");
        }

        return text.ToString();
    }
}
