using System.Collections.Concurrent;
using System.Globalization;
using Loom.Raft;
using Loom.Server.Etcd;
using Loom.Store;
using Loom.Store.Model;

namespace Loom.Server.Metrics;

/// <summary>The names that etcd's dashboards and alerts (its mixin) read, from what this store knows of the same.</summary>
internal sealed class EtcdMetrics(ILoomStore store, MeterReadings readings)
{
    // etcd's: from 0.1 ms, doubling, 16 of them.
    private static readonly double[] RoundTripBuckets = [.. Enumerable.Range(0, 16).Select(i => 0.0001 * (1 << i))];
    private readonly ConcurrentDictionary<ulong, HistogramCounts> roundTrips = new();

    /// <summary>Notes the round trips as they are now: called every second, because the leader keeps a smoothed one and not each.</summary>
    public void SampleRoundTrips()
    {
        foreach (PeerStatus peer in store.Status.Raft.Peers)
        {
            if (peer is { Connected: true } && double.IsFinite(peer.RttMilliseconds) && peer.RttMilliseconds > 0)
            {
                roundTrips.GetOrAdd(peer.Id.Value, static _ => new HistogramCounts(RoundTripBuckets)).Record(peer.RttMilliseconds / 1e3);
            }
        }
    }

    public void Write(PrometheusText text)
    {
        LoomStatus status = store.Status;
        WriteServer(text, status);
        WriteDisk(text);
        WriteStore(text, status);
        WritePeers(text, status);
    }

    private void WriteServer(PrometheusText text, LoomStatus status)
    {
        RaftNodeStatus raft = status.Raft;
        text.Gauge("etcd_server_has_leader", "Whether or not a leader exists. 1 is existence, 0 is not.", raft.Leader.IsNone || raft.NoQuorum ? 0 : 1);
        text.Gauge("etcd_server_is_leader", "Whether or not this member is a leader. 1 if is, 0 otherwise.", raft.Role == "leader" ? 1 : 0);
        text.Gauge("etcd_server_is_learner", "Whether or not this member is a learner. 1 if is, 0 otherwise.", raft.Role == "learner" ? 1 : 0);
        text.Counter("etcd_server_leader_changes_seen_total", "The number of leader changes seen.", readings.Total("loom.raft.leader_changes"));
        text.Gauge("etcd_server_proposals_committed_total", "The total number of consensus proposals committed.", raft.CommitIndex);
        text.Gauge("etcd_server_proposals_applied_total", "The total number of consensus proposals applied.", raft.AppliedIndex);
        text.Gauge("etcd_server_proposals_pending", "The current number of pending proposals to commit.", readings.Total("loom.raft.proposals.pending"));
        text.Counter("etcd_server_proposals_failed_total", "The total number of failed proposals seen.", readings.Total("loom.store.writes.failed"));
        text.Gauge("etcd_server_quota_backend_bytes", "Current backend storage quota size in bytes.", status.QuotaBytes);
        text.Begin("etcd_server_id", "gauge", "Server or member ID in hexadecimal format. 1 for 'server_id' label with current ID.");
        text.Sample("etcd_server_id", 1, ("server_id", raft.MemberId.Value.ToString("x", CultureInfo.InvariantCulture)));
        text.Begin("etcd_server_version", "gauge", "Which version is running. 1 for 'server_version' label with current version.");
        text.Sample("etcd_server_version", 1, ("server_version", EtcdVersion.Server));
        text.Begin("etcd_cluster_version", "gauge", "Which version is running. 1 for 'cluster_version' label with current cluster version");
        text.Sample("etcd_cluster_version", 1, ("cluster_version", EtcdVersion.Cluster[..EtcdVersion.Cluster.LastIndexOf('.')]));
    }

    private void WriteDisk(PrometheusText text)
    {
        Write("etcd_disk_wal_fsync_duration_seconds", "The latency distributions of fsync called by WAL.", "loom.log.flush.duration");
        Write("etcd_disk_backend_commit_duration_seconds", "The latency distributions of commit called by backend (here: one batch of entries applied).", "loom.apply.duration");

        void Write(string name, string help, string instrument)
        {
            if (readings.Histogram(instrument) is { } counts)
            {
                text.Begin(name, "histogram", help);
                text.Histogram(name, counts);
            }
        }
    }

    private static void WriteStore(PrometheusText text, LoomStatus status)
    {
        text.Gauge("etcd_mvcc_db_total_size_in_bytes", "Total size of the underlying database physically allocated in bytes.", status.SizeBytes);
        text.Gauge("etcd_mvcc_db_total_size_in_use_in_bytes", "Total size of the underlying database logically in use in bytes.", status.SizeInUseBytes);
        text.Gauge("etcd_debugging_mvcc_keys_total", "Total number of keys.", status.Keys);
        text.Gauge("etcd_debugging_mvcc_watcher_total", "Total number of watchers.", status.Watches);
        text.Gauge("etcd_debugging_mvcc_current_revision", "The current revision of store.", status.Revision.Number);
        text.Gauge("etcd_debugging_mvcc_compact_revision", "The revision of the last compaction in store.", status.CompactRevision);
        text.Begin("etcd_server_alarms", "gauge", "Alarms for every member in cluster. 1 for 'server_id' label with current ID, 'alarm_type' label with the alarm.");
        foreach (Alarm alarm in status.Alarms)
        {
            text.Sample("etcd_server_alarms", 1, ("server_id", alarm.Member.ToString("x", CultureInfo.InvariantCulture)), ("alarm_type", alarm.Kind.ToString().ToUpperInvariant()));
        }
    }

    private void WritePeers(PrometheusText text, LoomStatus status)
    {
        string self = Hex(status.Raft.MemberId.Value);
        text.Begin("etcd_network_active_peers", "gauge", "The current number of active peer connections.");
        foreach (PeerStatus peer in status.Raft.Peers)
        {
            text.Sample("etcd_network_active_peers", peer.Connected ? 1 : 0, ("Local", self), ("Remote", Hex(peer.Id.Value)));
        }

        text.Begin("etcd_network_peer_round_trip_time_seconds", "histogram", "Round-Trip-Time histogram between peers (the leader's smoothed one, each second).");
        foreach ((ulong peer, HistogramCounts counts) in roundTrips.OrderBy(pair => pair.Key))
        {
            text.Histogram("etcd_network_peer_round_trip_time_seconds", counts, ("To", Hex(peer)));
        }
    }

    private static string Hex(ulong id) => id.ToString("x", CultureInfo.InvariantCulture);
}
