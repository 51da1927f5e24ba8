using System.IO.Hashing;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Protos;
using Loom.Server.Hosting.Protos;

namespace Loom.Server.Demo;

/// <summary>What the audit found.</summary>
/// <param name="Lost">Acknowledged transactions of which at least one replica lacks a write.</param>
/// <param name="ReplicasEqual">All six state hashes are equal at one revision.</param>
/// <param name="Revision">The revision that was compared.</param>
/// <param name="Hash">The hash, if equal.</param>
/// <param name="Findings">What is wrong, a line each, at most ten.</param>
internal sealed record AuditResult(long Lost, bool ReplicasEqual, long Revision, uint Hash, IReadOnlyList<string> Findings)
{
    public bool Passed => Lost == 0 && ReplicasEqual;
}

/// <summary>
/// Reads every acknowledged write back from every replica, at the revision that its answer named, and compares the state hash of all replicas at one revision. Reads are local to each replica
/// (serializable), after it has caught up: a quorum must not answer in its place.
/// </summary>
internal sealed class DemoAudit(DemoCluster cluster, DemoLedger ledger)
{
    private const int ReadsPerCall = 100; // Below etcd's limit of 128 operations a transaction.
    private const int FindingsShown = 10;

    public async Task<AuditResult> RunAsync(CancellationToken token)
    {
        IReadOnlyList<AcknowledgedWrite> writes = ledger.Writes();
        List<string> findings = [];
        long revision = await CatchUpAsync(writes.Count == 0 ? 1 : writes.Max(w => w.Revision), findings, token);
        SortedSet<long> lost = [];
        foreach (DemoNode node in cluster.Nodes)
        {
            lost.UnionWith(await ReadBackAsync(node, writes, findings, token));
        }

        uint[] hashes = await Task.WhenAll(cluster.Nodes.Select(n => HashAsync(n, revision, findings, token)));
        bool equal = hashes.Distinct().Count() == 1 && hashes[0] != 0;
        if (!equal)
        {
            findings.Add("state hashes differ: " + string.Join(", ", cluster.Nodes.Zip(hashes, (n, h) => $"{n.Name} {h:x8}")));
        }

        return new AuditResult(lost.Count, equal, revision, equal ? hashes[0] : 0, [.. findings.Take(FindingsShown)]);
    }

    /// <summary>Waits until every replica has applied what any of them has, at most 30 s; returns the revision that all have.</summary>
    private async Task<long> CatchUpAsync(long target, List<string> findings, CancellationToken token)
    {
        DateTime until = DateTime.UtcNow.AddSeconds(30);
        while (true)
        {
            ClusterStatusResponse?[] all = await Task.WhenAll(cluster.Nodes.Select(n => cluster.StatusAsync(n, token)));
            target = Math.Max(target, all.Max(s => s?.Revision ?? 0));
            if (all.All(s => s is not null && s.Revision >= target))
            {
                return target;
            }

            if (DateTime.UtcNow > until)
            {
                findings.Add("did not catch up in 30 s: " + string.Join(", ", cluster.Nodes.Zip(all, (n, s) => $"{n.Name} at {s?.Revision.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "no answer"}")) + $", wanted {target}");
                return target;
            }

            await Task.Delay(100, token);
        }
    }

    private async Task<HashSet<long>> ReadBackAsync(DemoNode node, IReadOnlyList<AcknowledgedWrite> writes, List<string> findings, CancellationToken token)
    {
        HashSet<long> lost = [];
        foreach (AcknowledgedWrite[] chunk in writes.Chunk(ReadsPerCall))
        {
            TxnRequest reads = new();
            foreach (AcknowledgedWrite write in chunk)
            {
                reads.Success.Add(new RequestOp { RequestRange = new RangeRequest { Key = ByteString.CopyFromUtf8(write.Key), Revision = write.Revision, Serializable = true } });
            }

            TxnResponse? answer = await ReadAsync(node, reads, findings, token);
            for (int i = 0; i < chunk.Length; i++)
            {
                if (answer is null || !IsThere(chunk[i], answer.Responses[i].ResponseRange))
                {
                    lost.Add(chunk[i].Revision);
                    findings.Add($"{node.Name} lacks {chunk[i].Key} of revision {chunk[i].Revision}");
                }
            }
        }

        return lost;
    }

    private static bool IsThere(AcknowledgedWrite write, RangeResponse found) => write.Deleted
        ? found.Kvs.Count == 0
        : found.Kvs.Count == 1 && found.Kvs[0].ModRevision == write.Revision && XxHash3.HashToUInt64(found.Kvs[0].Value.Span) == write.ValueHash;

    private async Task<TxnResponse?> ReadAsync(DemoNode node, TxnRequest reads, List<string> findings, CancellationToken token)
    {
        try
        {
            return await cluster.Endpoints.Of(node).Kv.TxnAsync(reads, deadline: DateTime.UtcNow.AddSeconds(20), cancellationToken: token);
        }
        catch (RpcException e) when (e.StatusCode != StatusCode.Cancelled)
        {
            findings.Add($"{node.Name} did not answer the audit: {e.Status.Detail}");
            return null;
        }
    }

    private async Task<uint> HashAsync(DemoNode node, long revision, List<string> findings, CancellationToken token)
    {
        try
        {
            return (await cluster.Endpoints.Of(node).Maintenance.HashKVAsync(new HashKVRequest { Revision = revision }, deadline: DateTime.UtcNow.AddSeconds(20), cancellationToken: token)).Hash;
        }
        catch (RpcException e) when (e.StatusCode != StatusCode.Cancelled)
        {
            lock (findings)
            {
                findings.Add($"{node.Name} did not hash its state: {e.Status.Detail}");
            }

            return 0;
        }
    }
}
