using System.CommandLine;
using System.Globalization;

namespace Loom.Server.Demo;

/// <summary>The options of <c>loom demo</c>.</summary>
internal static class DemoCommand
{
    private const double ShortestSeconds = 10;

    public static Command Create()
    {
        Option<double> seconds = new("--seconds") { Description = "How long traffic runs; at least 10", DefaultValueFactory = _ => 30 };
        Option<string> wan = new("--wan") { Description = "Round trips in ms: east-west,west-south,east-south (20,40,80)", DefaultValueFactory = _ => "" };
        Option<bool> keep = new("--keep") { Description = "Leave the cluster running afterwards; prints endpoints and commands to try" };
        Option<bool> json = new("--json") { Description = "One JSON object on stdout at the end, nothing else there" };
        Option<int> basePort = new("--base-port") { Description = "First of twelve ports (default 23790, or free ones)" };
        seconds.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<double>() is < ShortestSeconds or double.NaN)
            {
                result.AddError("--seconds must be at least 10: a datacenter dies and comes back in that time");
            }
        });
        wan.Validators.Add(result =>
        {
            if (RoundTrips(result.GetValueOrDefault<string>() ?? "") is null)
            {
                result.AddError("--wan takes three round trips in ms, 0 to 2000: east-west,west-south,east-south, e.g. 20,40,80");
            }
        });
        Command command = new("demo", "Three datacenters on this machine: writes flow, one datacenter is killed and comes back, an audit follows") { seconds, wan, keep, json, basePort };
        command.SetAction(parsed => DemoProgram.RunAsync(new DemoOptions
        {
            Seconds = parsed.GetValue(seconds),
            Wan = RoundTrips(parsed.GetValue(wan)!)!,
            Keep = parsed.GetValue(keep),
            Json = parsed.GetValue(json),
            BasePort = parsed.GetValue(basePort),
        }));
        return command;
    }

    /// <summary>Empty for no WAN, three numbers, or null when the text is neither.</summary>
    private static int[]? RoundTrips(string text)
    {
        if (text.Length == 0)
        {
            return [];
        }

        string[] parts = text.Split(',');
        int[] numbers = [.. parts.Select(p => int.TryParse(p, NumberStyles.None, CultureInfo.InvariantCulture, out int ms) && ms <= 2000 ? ms : -1)];
        return numbers.Length == 3 && numbers.All(n => n >= 0) ? numbers : null;
    }
}
