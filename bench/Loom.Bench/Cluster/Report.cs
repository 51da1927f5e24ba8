using System.Diagnostics;
using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Loom.Bench.Cluster;

/// <summary>Writes a run's results as JSON and as a Markdown table whose ratios are to a baseline of the same run.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    public static async Task WriteAsync(string directory, string name, string command, string baseline, IReadOnlyList<LoadResult> results, IEnumerable<(string Name, string Meaning)> peers)
    {
        Directory.CreateDirectory(directory);
        object document = new { command, machine = Machine(), commit = Commit(), date = DateTime.UtcNow.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture), baseline, results };
        await File.WriteAllTextAsync(Path.Combine(directory, name + ".json"), JsonSerializer.Serialize(document, Indented));
        string table = Table(command, baseline, results, peers);
        await File.WriteAllTextAsync(Path.Combine(directory, name + ".md"), table);
        Console.WriteLine(table);
    }

    public static string Machine() => $"{Environment.ProcessorCount} cores shared by servers and client, {Environment.OSVersion}, .NET {Environment.Version}";

    public static string Commit()
    {
        try
        {
            using Process git = Process.Start(new ProcessStartInfo("git", "rev-parse --short HEAD") { RedirectStandardOutput = true })!;
            return git.StandardOutput.ReadToEnd().Trim();
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return "unknown";
        }
    }

    private static string Table(string command, string baseline, IReadOnlyList<LoadResult> results, IEnumerable<(string Name, string Meaning)> peers)
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"`{command}`").AppendLine();
        text.AppendLine(CultureInfo.InvariantCulture, $"Commit {Commit()}, {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {Machine()}. Closed loop; medians of interleaved rounds after one that is not counted. Ratio = throughput / {baseline}'s at the same operation and number of clients (gRPC put's for library puts).").AppendLine();
        foreach (var (name, meaning) in peers)
        {
            text.AppendLine(CultureInfo.InvariantCulture, $"- {name}: an acknowledgement means {meaning}.");
        }

        text.AppendLine().AppendLine("| operation | clients | peer | ops/s | ratio | p50 ms | p99 ms | p99.9 ms | server µs/op | client µs/op | errors |");
        text.AppendLine("|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (LoadResult r in results.OrderBy(r => r.Operation, StringComparer.Ordinal).ThenBy(r => r.Clients).ThenBy(r => r.Peer, StringComparer.Ordinal))
        {
            double? reference = results.FirstOrDefault(x => x.Peer == baseline && x.Operation == r.Operation && x.Clients == r.Clients)?.OpsPerSecond;
            string ratio = reference is > 0 ? (r.OpsPerSecond / reference.Value).ToString("0.00", CultureInfo.InvariantCulture) : "";
            text.AppendLine(CultureInfo.InvariantCulture, $"| {r.Operation} | {r.Clients} | {r.Peer} | {r.OpsPerSecond:N0} | {ratio} | {r.P50Milliseconds:0.00} | {r.P99Milliseconds:0.00} | {r.P999Milliseconds:0.00} | {r.ServerMicrosPerOp:0} | {r.ClientMicrosPerOp:0} | {r.Errors} |");
        }

        return text.ToString();
    }
}
