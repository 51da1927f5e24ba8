using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Globalization;

namespace Loom.Server.Metrics;

/// <summary>
/// Listens to the meters <c>Loom.*</c> of one member and keeps what histograms and counters said; gauges are asked when they are written. The one place that would change for another exporter: the meters are .NET's own, and
/// OpenTelemetry's SDK can listen to them beside this.
/// </summary>
internal sealed class MeterReadings : IDisposable
{
    private const string MemberTag = "loom.member";

    /// <summary>Series that an instrument may have: its tags come from us, and are few.</summary>
    private const int MaxSeries = 256;

    private readonly MeterListener listener = new();
    private readonly ConcurrentDictionary<Instrument, ConcurrentDictionary<string, double>> values = new();
    private readonly ConcurrentDictionary<Instrument, HistogramCounts> histograms = new();
    private readonly string member;

    public MeterReadings(string member)
    {
        this.member = member;
        listener.InstrumentPublished = Published;
        listener.MeasurementsCompleted = (instrument, state) =>
        {
            values.TryRemove(instrument, out _);
            histograms.TryRemove(instrument, out _);
        };
        listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Measured(instrument, value, tags));
        listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Measured(instrument, value, tags));
        listener.SetMeasurementEventCallback<int>((instrument, value, tags, _) => Measured(instrument, value, tags));
        listener.Start();
    }

    /// <summary>The histogram of that name; null: there is none.</summary>
    public HistogramCounts? Histogram(string instrument) => histograms.FirstOrDefault(pair => pair.Key.Name == instrument).Value;

    /// <summary>What a counter has come to, over all its tags.</summary>
    public double Total(string instrument) => values.Where(pair => pair.Key.Name == instrument).Sum(pair => pair.Value.Values.Sum());

    /// <summary>Everything, under names of Prometheus: dots become underscores, the unit and "total" are added.</summary>
    public void Write(PrometheusText text)
    {
        // A gauge whose tags are gone (an alarm, a peer) must not stay.
        foreach ((Instrument instrument, ConcurrentDictionary<string, double> series) in values)
        {
            if (instrument.IsObservable)
            {
                series.Clear();
            }
        }

        listener.RecordObservableInstruments();
        foreach ((Instrument instrument, ConcurrentDictionary<string, double> series) in values.OrderBy(pair => pair.Key.Name, StringComparer.Ordinal))
        {
            bool isCounter = instrument is Counter<long> or ObservableCounter<long>;
            string name = Name(instrument) + (isCounter ? "_total" : "");
            text.Begin(name, isCounter ? "counter" : "gauge", instrument.Description ?? "");
            foreach ((string labels, double value) in series.OrderBy(pair => pair.Key, StringComparer.Ordinal))
            {
                text.Sample(name, value, Labels(labels));
            }
        }

        foreach ((Instrument instrument, HistogramCounts counts) in histograms.OrderBy(pair => pair.Key.Name, StringComparer.Ordinal))
        {
            text.Begin(Name(instrument), "histogram", instrument.Description ?? "");
            text.Histogram(Name(instrument), counts);
        }
    }

    public void Dispose() => listener.Dispose();

    private static string Name(Instrument instrument) => instrument.Name.Replace('.', '_') + instrument.Unit switch { "s" => "_seconds", "By" => "_bytes", _ => "" };

    private static (string, string)[] Labels(string labels) =>
        [.. labels.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(label => (label[..label.IndexOf('=', StringComparison.Ordinal)], label[(label.IndexOf('=', StringComparison.Ordinal) + 1)..]))];

    private static string Labels(ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        string labels = "";
        foreach ((string name, object? value) in tags)
        {
            labels += $"{name}={Convert.ToString(value, CultureInfo.InvariantCulture)}\n";
        }

        return labels;
    }

    private void Published(Instrument instrument, MeterListener listening)
    {
        if (!instrument.Meter.Name.StartsWith("Loom.", StringComparison.Ordinal) || instrument.Meter.Tags?.Any(tag => tag.Key == MemberTag && (string?)tag.Value == member) != true)
        {
            return;
        }

        if (instrument is Histogram<double> histogram)
        {
            histograms[instrument] = new HistogramCounts(histogram.Advice?.HistogramBucketBoundaries ?? []);
        }
        else
        {
            values[instrument] = new ConcurrentDictionary<string, double>(StringComparer.Ordinal);
        }

        listening.EnableMeasurementEvents(instrument);
    }

    private void Measured(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags)
    {
        if (histograms.TryGetValue(instrument, out HistogramCounts? histogram))
        {
            histogram.Record(value);
        }
        else if (values.TryGetValue(instrument, out ConcurrentDictionary<string, double>? series) && Labels(tags) is var labels && (series.ContainsKey(labels) || series.Count < MaxSeries))
        {
            _ = instrument.IsObservable ? series[labels] = value : series.AddOrUpdate(labels, value, (_, sum) => sum + value);
        }
    }
}
