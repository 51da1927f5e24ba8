using System.Globalization;
using System.Text;

namespace Loom.Bench.State;

/// <summary>Three stacked curves over time as SVG: memory, disk, latency.</summary>
internal static class SoakPlot
{
    private const int Width = 860;
    private const int Panel = 170;
    private const int Left = 70;

    public static string Draw(IReadOnlyList<SoakSample> samples)
    {
        StringBuilder svg = new();
        svg.AppendLine(CultureInfo.InvariantCulture, $"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{Width}\" height=\"{3 * Panel}\" font-family=\"sans-serif\" font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"white\"/>");
        Curves(svg, 0, "RSS, MiB", samples, [.. Enumerable.Range(0, 3).Select(n => new Curve($"n{n + 1}", s => s.Resident[n] / 1048576.0))]);
        Curves(svg, 1, "directory, MiB", samples, [.. Enumerable.Range(0, 3).Select(n => new Curve($"n{n + 1}", s => s.Disk[n] / 1048576.0))]);
        Curves(svg, 2, "put, ms", samples, [new Curve("p50", s => s.P50), new Curve("p99", s => s.P99)]);
        return svg.AppendLine("</svg>").ToString();
    }

    private static void Curves(StringBuilder svg, int panel, string title, IReadOnlyList<SoakSample> samples, Curve[] curves)
    {
        string[] colours = ["#1f77b4", "#d62728", "#2ca02c"];
        double top = samples.Count == 0 ? 1 : Math.Max(1e-9, curves.Max(c => samples.Max(c.Of)) * 1.1);
        double end = samples.Count == 0 ? 1 : samples[^1].At.TotalMinutes;
        int low = ((panel + 1) * Panel) - 30;
        int high = (panel * Panel) + 24;
        svg.AppendLine(CultureInfo.InvariantCulture, $"<text x=\"{Left}\" y=\"{high - 8}\">{title}</text><text x=\"{Left - 8}\" y=\"{high + 8}\" text-anchor=\"end\">{top:0}</text><text x=\"{Left - 8}\" y=\"{low}\" text-anchor=\"end\">0</text><text x=\"{Width - 20}\" y=\"{low + 16}\" text-anchor=\"end\">{end:0} min</text>");
        svg.AppendLine(CultureInfo.InvariantCulture, $"<path d=\"M{Left} {high}V{low}H{Width - 20}\" fill=\"none\" stroke=\"black\"/>");
        for (int c = 0; c < curves.Length; c++)
        {
            string points = string.Join(' ', samples.Select(s => string.Create(CultureInfo.InvariantCulture, $"{Left + (s.At.TotalMinutes / end * (Width - 20 - Left)):0.0},{low - (curves[c].Of(s) / top * (low - high)):0.0}")));
            svg.AppendLine(CultureInfo.InvariantCulture, $"<polyline points=\"{points}\" fill=\"none\" stroke=\"{colours[c]}\"/><text x=\"{Width - 60 - (60 * c)}\" y=\"{high - 8}\" fill=\"{colours[c]}\">{curves[c].Name}</text>");
        }
    }

    private sealed record Curve(string Name, Func<SoakSample, double> Of);
}
