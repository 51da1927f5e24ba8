using System.Diagnostics.Metrics;

namespace Loom.Raft.Diagnostics;

/// <summary>
/// The meter <c>Loom.Raft</c> of one replica, tagged with its name. What a status knows is observed when somebody asks; only flushes and applied batches are measured as they happen, each of which costs more than a thousand
/// measurements. Without a listener a measurement is one comparison.
/// </summary>
internal sealed class RaftMetrics : IDisposable
{
    public const string MeterName = "Loom.Raft";
    public const string MemberTag = "loom.member";

    // Seconds: etcd's, from 1 ms doubling, with two below for disks that are faster.
    private static readonly InstrumentAdvice<double> Buckets = new() { HistogramBucketBoundaries = [0.00025, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192] };

    private readonly Meter meter;
    private readonly Histogram<double> flush;
    private readonly Histogram<double> apply;

    /// <param name="member">The replica's name.</param>
    public RaftMetrics(string member)
    {
        meter = new Meter(new MeterOptions(MeterName) { Tags = [new(MemberTag, member)] });
        flush = meter.CreateHistogram("loom.log.flush.duration", "s", "Time of one fdatasync of the log.", advice: Buckets);
        apply = meter.CreateHistogram("loom.apply.duration", "s", "Time in which one batch of committed entries was applied to the state.", advice: Buckets);
    }

    public bool MeasuresFlush => flush.Enabled;

    public bool MeasuresApply => apply.Enabled;

    public void Flushed(long nanoseconds) => flush.Record(nanoseconds / 1e9);

    public void Applied(long nanoseconds) => apply.Record(nanoseconds / 1e9);

    /// <summary>Adds what is read from the status.</summary>
    public void Observe(Func<RaftNodeStatus> status, Func<long> leaderChanges, Func<int> pending)
    {
        _ = meter.CreateObservableGauge("loom.raft.has_leader", () => status() is { Leader.IsNone: false, NoQuorum: false } ? 1 : 0, description: "1: a leader with a quorum is known.");
        _ = meter.CreateObservableGauge("loom.raft.is_leader", () => status().Role == "leader" ? 1 : 0, description: "1: this member leads.");
        _ = meter.CreateObservableCounter("loom.raft.leader_changes", leaderChanges, description: "Leaders that this member saw begin since it started.");
        _ = meter.CreateObservableGauge("loom.raft.term", () => status().Term, description: "Current term.");
        _ = meter.CreateObservableGauge("loom.raft.last_index", () => status().LastIndex, description: "Last entry of the log here.");
        _ = meter.CreateObservableGauge("loom.raft.commit_index", () => status().CommitIndex, description: "Last entry known here to be committed.");
        _ = meter.CreateObservableGauge("loom.raft.applied_index", () => status().AppliedIndex, description: "Last entry applied here.");
        _ = meter.CreateObservableGauge("loom.raft.checkpoint_index", () => status().CheckpointIndex, description: "Entry up to which a durable checkpoint holds the state.");
        _ = meter.CreateObservableGauge("loom.raft.log.size", () => status().LogBytes, "By", "Bytes of the log on disk.");
        _ = meter.CreateObservableGauge("loom.raft.proposals.pending", pending, description: "Writes of callers here that wait for their outcome.");
        _ = meter.CreateObservableGauge("loom.raft.paused", () => status() is { LogPause: null, ApplyPause: null } ? 0 : 1, description: "1: the disk is full; nothing is logged or applied.");
        _ = meter.CreateObservableGauge("loom.raft.peer.connected", () => status().Peers.Select(peer => new Measurement<int>(peer.Connected ? 1 : 0, PeerTag(peer))), description: "1: there are connections to the member.");
        _ = meter.CreateObservableGauge(
            "loom.raft.peer.rtt", () => status().Peers.Where(peer => double.IsFinite(peer.RttMilliseconds)).Select(peer => new Measurement<double>(peer.RttMilliseconds / 1e3, PeerTag(peer))), "s",
            "Smoothed round trip to the member, as the leader measures it.");
    }

    public void Dispose() => meter.Dispose();

    private static KeyValuePair<string, object?> PeerTag(PeerStatus peer) => new("peer", peer.Id.ToString());
}
