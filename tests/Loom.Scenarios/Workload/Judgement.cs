using NUnit.Framework;
using System.Collections.Concurrent;
using Google.Protobuf;
using Loom.Scenarios.Processes;
using Loom.Server.Etcd.Protos;
using Loom.Simulation.Checkers;
using Loom.Simulation.History;

namespace Loom.Scenarios.Workload;

/// <summary>After the faults: all replicas equal, every acknowledged write present, and the history linearizable, judged by the revisions that the replicas hold.</summary>
internal static class Judgement
{
    public static async Task CheckAsync(LoomCluster cluster, ScenarioWorkload workload)
    {
        await cluster.WaitUntilServingAsync();
        RangeResponse everything = await cluster.Kv(cluster.Nodes[0]).RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8("\0"), CountOnly = true, RangeEnd = ByteString.CopyFromUtf8("\0") }, deadline: DateTime.UtcNow.AddSeconds(20));
        long last = everything.Header.Revision;
        await CheckHashesAsync(cluster, last);
        RevisionChecker.Check([.. workload.Operations], await RevisionsAsync(cluster, last));
    }

    private static async Task CheckHashesAsync(LoomCluster cluster, long revision)
    {
        SortedDictionary<string, uint> hashes = new(StringComparer.Ordinal);
        foreach (LoomProcess node in cluster.Nodes)
        {
            // A linearizable read first: the replica has then applied what the first one answered from.
            await cluster.Kv(node).RangeAsync(new RangeRequest { Key = ScenarioWorkload.Key(0) }, deadline: DateTime.UtcNow.AddSeconds(20));
            hashes[node.Name] = (await cluster.Maintenance(node).HashKVAsync(new HashKVRequest { Revision = revision }, deadline: DateTime.UtcNow.AddSeconds(20))).Hash;
        }

        Assert.That(hashes.Values.Distinct().Count(), Is.EqualTo(1), $"replicas differ at revision {revision}: {string.Join(", ", hashes.Select(h => $"{h.Key} {h.Value:x8}"))}");
    }

    /// <summary>What each revision wrote. The workload never deletes, so a range at revision r of pairs modified at r is all of it.</summary>
    private static async Task<IReadOnlyList<RevisionRecord>> RevisionsAsync(LoomCluster cluster, long last)
    {
        ConcurrentDictionary<long, RevisionRecord> found = [];
        await Parallel.ForEachAsync(Enumerable.Range(2, (int)last - 1), new ParallelOptions { MaxDegreeOfParallelism = 16 }, async (revision, token) =>
        {
            RangeResponse at = await cluster.Kv(cluster.Nodes[revision % cluster.Nodes.Count]).RangeAsync(new RangeRequest
            {
                Key = ByteString.CopyFromUtf8("\0"), RangeEnd = ByteString.CopyFromUtf8("\0"), Revision = revision, MinModRevision = revision, Serializable = true,
            }, deadline: DateTime.UtcNow.AddSeconds(20), cancellationToken: token);
            found[revision] = new RevisionRecord(revision, [.. at.Kvs.Select(kv => new Effect(ScenarioWorkload.KeyNumber(kv.Key), ScenarioWorkload.Value(kv)))]);
        });
        return [.. found.Values.OrderBy(r => r.Revision)];
    }
}
