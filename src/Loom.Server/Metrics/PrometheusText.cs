using System.Globalization;
using System.Text;

namespace Loom.Server.Metrics;

/// <summary>Metrics in Prometheus' text format, version 0.0.4. A family is begun once, then its samples follow.</summary>
internal sealed class PrometheusText
{
    public const string ContentType = "text/plain; version=0.0.4; charset=utf-8";

    private readonly StringBuilder text = new(16 * 1024);

    public override string ToString() => text.ToString();

    public void Begin(string name, string type, string help) => text.Append("# HELP ").Append(name).Append(' ').Append(help.ReplaceLineEndings(" ")).Append("\n# TYPE ").Append(name).Append(' ').Append(type).Append('\n');

    public void Sample(string name, double value, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        text.Append(name);
        AppendLabels(labels);
        text.Append(' ').Append(Number(value)).Append('\n');
    }

    public void Gauge(string name, string help, double value)
    {
        Begin(name, "gauge", help);
        Sample(name, value);
    }

    public void Counter(string name, string help, double value)
    {
        Begin(name, "counter", help);
        Sample(name, value);
    }

    public void Histogram(string name, HistogramCounts counts, params ReadOnlySpan<(string Name, string Value)> labels)
    {
        long[] cumulative = counts.Cumulative();
        for (int i = 0; i < cumulative.Length; i++)
        {
            string bound = i < counts.Bounds.Count ? Number(counts.Bounds[i]) : "+Inf";
            Sample(name + "_bucket", cumulative[i], [.. labels, ("le", bound)]);
        }

        Sample(name + "_sum", counts.Sum, labels);
        Sample(name + "_count", cumulative[^1], labels);
    }

    private static string Number(double value) => double.IsPositiveInfinity(value) ? "+Inf" : value.ToString("R", CultureInfo.InvariantCulture);

    private void AppendLabels(ReadOnlySpan<(string Name, string Value)> labels)
    {
        if (labels.Length == 0)
        {
            return;
        }

        char before = '{';
        foreach ((string name, string value) in labels)
        {
            text.Append(before).Append(name).Append("=\"").Append(Escaped(value)).Append('"');
            before = ',';
        }

        text.Append('}');
    }

    private static string Escaped(string value) => value.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal).Replace("\n", "\\n", StringComparison.Ordinal);
}
