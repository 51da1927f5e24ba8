using System.Diagnostics;
using System.Diagnostics.Metrics;
using Loom.Raft;

namespace Loom.Store.Diagnostics;

/// <summary>
/// The meter <c>Loom.Store</c> of one store, tagged with its member's name, and the activity source of that name. Writes are measured from the proposal until they are applied here; reads are not, at all.
/// </summary>
internal sealed class StoreMetrics : IDisposable
{
    public const string MeterName = "Loom.Store";
    public const string MemberTag = "loom.member";

    /// <summary>One activity for each write, where somebody listens: <c>loom.write</c>.</summary>
    public static readonly ActivitySource Activities = new(MeterName);

    private static readonly InstrumentAdvice<double> Buckets = new() { HistogramBucketBoundaries = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192] };

    private readonly Meter meter;
    private readonly Histogram<double> write;
    private readonly Counter<long> failed;

    /// <param name="member">The member's name.</param>
    public StoreMetrics(string member)
    {
        meter = new Meter(new MeterOptions(MeterName) { Tags = [new(MemberTag, member)] });
        write = meter.CreateHistogram("loom.store.write.duration", "s", "Time from the proposal of a write until it was applied here.", advice: Buckets);
        failed = meter.CreateCounter<long>("loom.store.writes.failed", description: "Writes that ended without an outcome of the state: not applied, or not known.");
    }

    public bool MeasuresWrites => write.Enabled;

    public void Written(TimeSpan time) => write.Record(time.TotalSeconds);

    public void Failed(WriteOutcome outcome) => failed.Add(1, new KeyValuePair<string, object?>("outcome", outcome == WriteOutcome.Unknown ? "unknown" : "not_applied"));

    /// <summary>Adds what is read from the status.</summary>
    public void Observe(Func<LoomStatus> status)
    {
        _ = meter.CreateObservableGauge("loom.store.revision", () => status().Revision.Number, description: "Current revision of this replica.");
        _ = meter.CreateObservableGauge("loom.store.compact_revision", () => status().CompactRevision, description: "Compacted revision; -1: none.");
        _ = meter.CreateObservableGauge("loom.store.keys", () => status().Keys, description: "Live keys.");
        _ = meter.CreateObservableGauge("loom.store.watches", () => status().Watches, description: "Watches that are open on this member.");
        _ = meter.CreateObservableGauge("loom.store.size", () => status().SizeBytes, "By", "Bytes that the records hold on disk.");
        _ = meter.CreateObservableGauge("loom.store.size_in_use", () => status().SizeInUseBytes, "By", "Bytes of the state: keys, values, history.");
        _ = meter.CreateObservableGauge("loom.store.quota", () => status().QuotaBytes, "By", "Most bytes of state; 0: no limit.");
        _ = meter.CreateObservableGauge("loom.store.disk_free", () => status().DiskFreeBytes, "By", "Free bytes of the data directory's file system; -1: not known.");
        _ = meter.CreateObservableGauge(
            "loom.store.alarms", () => status().Alarms.Select(alarm => new Measurement<int>(1, new KeyValuePair<string, object?>("kind", alarm.Kind.ToString().ToUpperInvariant()), new("alarm_member", alarm.Member))),
            description: "1 for each active alarm.");
        _ = meter.CreateObservableGauge("loom.store.refuses_puts", () => status().SpaceRefusal is null ? 0 : 1, description: "1: puts are refused here for want of disk.");
    }

    public void Dispose() => meter.Dispose();
}
