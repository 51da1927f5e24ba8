using System.CommandLine;
using System.Globalization;
using Loom.Server.Demo;

namespace Loom.Server.Cli;

/// <summary><c>loom demo</c>: its options; what it does is in Demo/.</summary>
internal static class DemoCommand
{
    private const double MinSeconds = 10;

    public static Command Create(CommandContext context)
    {
        var seconds = new Option<double>("--seconds") { DefaultValueFactory = _ => 30, Description = "how long traffic runs; at least 10" };
        var wan = new Option<string?>("--wan") { HelpName = "EW,WS,ES", Description = "round trips in ms between east-west, west-south, east-south, e.g. 20,40,80" };
        var keep = new Option<bool>("--keep") { Description = "leave the cluster running after the audit" };
        var json = new Option<bool>("--json") { Description = "one JSON object on standard output at the end, nothing else there" };
        var basePort = new Option<int>("--base-port") { Description = "first of twelve consecutive ports" };
        var command = new Command("demo", "Start three datacenters, run traffic, kill one, and audit that nothing was lost");
        foreach (Option option in (Option[])[seconds, wan, keep, json, basePort])
        {
            command.Options.Add(option);
        }

        command.SetAction(async (parsed, _) =>
        {
            try
            {
                var options = new DemoOptions
                {
                    Seconds = parsed.GetValue(seconds),
                    Wan = RoundTrips(parsed.GetValue(wan)),
                    Keep = parsed.GetValue(keep),
                    Json = parsed.GetValue(json),
                    BasePort = parsed.GetValue(basePort),
                };
                Check(options);
                return await DemoProgram.RunAsync(options).ConfigureAwait(false);
            }
            catch (CommandException exception)
            {
                ErrorText.Write(context.Error, exception.Message, exception.Fix);
                return exception.ExitCode;
            }
        });
        return command;
    }

    private static void Check(DemoOptions options)
    {
        if (!(options.Seconds is >= MinSeconds and <= 86_400))
        {
            throw new CommandException(ExitCode.Usage, "--seconds is out of range: a datacenter could not die and come back", "write --seconds 10 or more, up to 86400");
        }

        if (options.BasePort is < 0 or > 65_535 - 12)
        {
            throw new CommandException(ExitCode.Usage, "--base-port leaves no room for twelve ports", "write a port from 1024 to 65523");
        }
    }

    private static int[] RoundTrips(string? text)
    {
        if (string.IsNullOrEmpty(text))
        {
            return [];
        }

        string[] parts = text.Split(',');
        int[] numbers = [.. parts.Select(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out int n) && n <= 1000 ? n : -1)];
        return numbers.Length == 3 && !numbers.Contains(-1)
            ? numbers
            : throw new CommandException(ExitCode.Usage, $"--wan is '{text}'", "write three round trips in ms, at most 1000, e.g. --wan 20,40,80");
    }
}
