using System.Collections;
using Loom.Server.Configuration;
using Loom.Server.Hosting;
using Loom.Store;

namespace Loom.Server.Cli;

/// <summary><c>loom serve</c>. Its flags are etcd's, read as etcd reads them, so it has a parser of its own (<see cref="SettingSources"/>).</summary>
internal static class ServeCommand
{
    public static async Task<int> RunAsync(
        IReadOnlyList<string> arguments, IDictionary environment, TextWriter output, TextWriter error,
        Func<ServeSettings, ILoggerFactory, CancellationToken, Task<ILoomStore>> open, CancellationToken stop)
    {
        ServeSettings settings;
        try
        {
            SettingSources sources = SettingSources.Read(arguments, environment, File.ReadAllText);
            if (sources.HelpAsked)
            {
                WriteHelp(output);
                return ExitCode.Ok;
            }

            if (sources.VersionAsked)
            {
                VersionText.Write(output);
                return ExitCode.Ok;
            }

            settings = ServeSettings.From(sources);
        }
        catch (ConfigurationException exception)
        {
            ErrorText.Write(error, exception.Message, exception.Fix);
            return ExitCode.Usage;
        }

        return await new NodeHost(settings, open, error).RunAsync(stop).ConfigureAwait(false);
    }

    private static void WriteHelp(TextWriter output)
    {
        output.WriteLine("Usage: loom serve [--name value]...");
        output.WriteLine();
        output.WriteLine("Runs a node. With no option: a cluster of one on 127.0.0.1:2379, its data in ./loom-data.");
        output.WriteLine("Each setting is a flag (--data-dir), a variable (LOOM_DATA_DIR, then ETCD_DATA_DIR) or a key in --config-file; the first of these wins.");
        output.WriteLine("etcd's other flags are accepted with a warning, so that unit files written for etcd start.");
        output.WriteLine();
        foreach (Setting setting in SettingTable.All.Where(s => s.Use == SettingUse.Works))
        {
            string text = setting.Default.Length == 0 ? setting.Help : $"{setting.Help} [{setting.Default}]";
            output.WriteLine($"  --{setting.Name,-28} {text}");
        }

        output.WriteLine();
        output.WriteLine("Example, a member of three datacenters:");
        output.WriteLine("  loom serve --name east1 --initial-cluster east1@east=http://10.0.1.1:2380,west1@west=http://10.0.2.1:2380,south1@south=http://10.0.3.1:2380 \\");
        output.WriteLine("    --listen-client-urls http://10.0.1.1:2379 --data-dir /var/lib/loom");
    }
}
