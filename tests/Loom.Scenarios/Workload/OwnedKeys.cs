using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Loom.Scenarios.Processes;
using Loom.Server.Etcd.Protos;
using NUnit.Framework;

namespace Loom.Scenarios.Workload;

/// <summary>
/// Writers in a closed loop, each of keys that nobody else writes, so that after a kill each key is known but for the one put that was under way: its value, its version and the revision of every put that was
/// acknowledged. A writer ends at its first error.
/// </summary>
internal sealed class OwnedKeys(LoomCluster cluster, LoomProcess node)
{
    private const int Writers = 8;
    private const int KeysOfEach = 5;
    private readonly List<Put>[] acknowledged = [.. Enumerable.Range(0, Writers).Select(_ => new List<Put>())];
    private readonly Dictionary<string, Put> newest = [];
    private readonly Put?[] unknown = new Put?[Writers];
    private Task running = Task.CompletedTask;
    private int stopping;

    public int Acknowledged => acknowledged.Sum(puts => puts.Count);

    /// <summary>Puts whose outcome nobody was told, and that were found to be there.</summary>
    public int UnknownApplied { get; private set; }

    public void Start()
    {
        Volatile.Write(ref stopping, 0);
        running = Task.WhenAll(Enumerable.Range(0, Writers).Select(WriteAsync));
    }

    /// <summary>Returns when each writer has got its last answer, or none.</summary>
    public async Task StopAsync()
    {
        Volatile.Write(ref stopping, 1);
        await running;
    }

    /// <summary>Every key is as acknowledged, or as the put left it whose outcome is unknown; and every put that was acknowledged since the last time is found at its revision.</summary>
    public async Task CheckAsync(int[] checkedBefore)
    {
        foreach ((int writer, int key) in Enumerable.Range(0, Writers).SelectMany(writer => Enumerable.Range(0, KeysOfEach).Select(key => (writer, key))))
        {
            string name = Name(writer, key);
            KeyValue? found = await ReadAsync(name, 0);
            Put? was = newest.GetValueOrDefault(name), may = unknown[writer] is { } put && put.Key == name ? put : null;
            if (may is not null && found?.Value.ToStringUtf8() == may.Value)
            {
                Assert.That((found.Version, found.ModRevision), Is.EqualTo((may.Version, Math.Max(found.ModRevision, (was?.Revision ?? 0) + 1))), $"{name}: a put of unknown outcome");
                newest[name] = may with { Revision = found.ModRevision };
                UnknownApplied++;
                continue;
            }

            Assert.That(Found(name, found), Is.EqualTo(was), $"{name}, where {(may is null ? "no put was under way" : $"{may} was under way")}");
        }

        Array.Clear(unknown);
        for (int writer = 0; writer < Writers; writer++)
        {
            foreach (Put put in acknowledged[writer].Skip(checkedBefore[writer]))
            {
                Assert.That(Found(put.Key, await ReadAsync(put.Key, put.Revision)), Is.EqualTo(put), "it was acknowledged");
            }

            checkedBefore[writer] = acknowledged[writer].Count;
        }
    }

    /// <summary>Nothing is checked yet.</summary>
    public static int[] Nothing => new int[Writers];

    private async Task WriteAsync(int writer)
    {
        while (Volatile.Read(ref stopping) == 0)
        {
            string key = Name(writer, acknowledged[writer].Count % KeysOfEach);
            Put put;
            lock (newest)
            {
                long version = (newest.GetValueOrDefault(key)?.Version ?? 0) + 1;
                put = new Put(key, string.Create(CultureInfo.InvariantCulture, $"{version}:{node.Life}:{new string('x', 300)}"), version, 0);
            }

            unknown[writer] = put;
            try
            {
                PutResponse answer = await cluster.Kv(node).PutAsync(new PutRequest { Key = ByteString.CopyFromUtf8(key), Value = ByteString.CopyFromUtf8(put.Value) }, deadline: DateTime.UtcNow.AddSeconds(10));
                put = put with { Revision = answer.Header.Revision };
                acknowledged[writer].Add(put);
                unknown[writer] = null;
                lock (newest)
                {
                    newest[key] = put;
                }
            }
            catch (RpcException)
            {
                return;
            }
        }
    }

    private async Task<KeyValue?> ReadAsync(string key, long revision) =>
        (await cluster.Kv(node).RangeAsync(new RangeRequest { Key = ByteString.CopyFromUtf8(key), Revision = revision }, deadline: DateTime.UtcNow.AddSeconds(10))).Kvs.FirstOrDefault();

    private static Put? Found(string key, KeyValue? pair) => pair is null ? null : new Put(key, pair.Value.ToStringUtf8(), pair.Version, pair.ModRevision);

    private static string Name(int writer, int key) => string.Create(CultureInfo.InvariantCulture, $"w{writer}-{key}");

    private sealed record Put(string Key, string Value, long Version, long Revision);
}
