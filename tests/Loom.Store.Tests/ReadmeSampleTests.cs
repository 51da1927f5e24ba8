using System.Text;
using Loom.Store.Model;
using NUnit.Framework;
using static Loom.Store.Conditions;

namespace Loom.Store.Tests;

/// <summary>The sample of the README, compiled and run on a real store: a cluster of one on disk, opened twice.</summary>
internal sealed class ReadmeSampleTests
{
    [Test]
    public async Task The_sample_of_the_readme_runs_and_the_state_survives_a_restart()
    {
        string directory = Path.Combine(Path.GetTempPath(), "loom-readme-" + Guid.NewGuid().ToString("N"));
        try
        {
            (Revision at, TransactionResult transaction) = await RunAsync(directory);
            Assert.That((at.Number, transaction.Succeeded, transaction.Revision.Number), Is.EqualTo((2L, true, 3L)));

            await using LoomStore again = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = directory });
            KeyValue? pair = again.Get("config/rate"u8.ToArray());
            using (Assert.EnterMultipleScope())
            {
                Assert.That(Encoding.UTF8.GetString(pair!.Value.Span), Is.EqualTo("200"));
                Assert.That((pair.CreateRevision, pair.ModRevision, pair.Version), Is.EqualTo((2L, 3L, 2L)));
                Assert.That(again.Status.Raft.Role, Is.EqualTo("leader"));
            }
        }
        finally
        {
            Directory.Delete(directory, recursive: true);
        }
    }

    private static async Task<(Revision At, TransactionResult Transaction)> RunAsync(string directory)
    {
        CancellationToken ct = CancellationToken.None;

        // README: begin
        await using LoomStore store = await LoomStore.OpenAsync(new LoomOptions { DataDirectory = directory });

        byte[] key = "config/rate"u8.ToArray();
        Revision at = await store.PutAsync(key, "100"u8.ToArray(), cancellationToken: ct);

        KeyValue? here = store.Get(key);                                                  // this replica, now
        KeyValue? latest = await store.GetAsync(key, ReadConsistency.Linearizable, ct);   // sees every acknowledged write
        KeyValue? mine = await store.GetAsync(key, ReadConsistency.AtLeast(at), ct);      // sees at least this write

        TransactionResult transaction = await store.TransactAsync(
            t => t.When(Version(key) == 1).Put(key, "200"u8.ToArray()).Otherwise().Get(key), ct);

        RangeResult all = store.Range(new RangeQuery(KeyRange.Prefix("config/")) { Limit = 100 });

        LeaseGrant lease = await store.Leases.GrantAsync(TimeSpan.FromSeconds(10), cancellationToken: ct);
        await store.PutAsync("workers/7"u8.ToArray(), "here"u8.ToArray(), lease.Id, ct);     // deleted when nobody renews the lease
        LeaseRenewal renewal = await store.Leases.KeepAliveAsync(lease.Id, ct);              // renewal.Lives: false once it has ended

        // Every change from a revision on, in order; a slow reader delays nobody. It goes on until it is cancelled, or ends with a reason.
        await foreach (WatchBatch batch in store.WatchAsync(KeyRange.Prefix("config/"), from: at.Next, ct))
        {
            foreach (WatchEvent change in batch.Events)
            {
                Console.WriteLine($"{batch.Revision}: {change.Kind} {Encoding.UTF8.GetString(change.Pair.Key.Span)}");
            }

            break;   // batch.Revision.Next is where another watch takes it up
        }
        // README: end

        Assert.That((renewal.Lives, renewal.Id), Is.EqualTo((true, lease.Id)));

        Assert.That(new[] { here, latest, mine }.Select(pair => pair!.ModRevision), Is.All.EqualTo(at.Number));
        Assert.That(all.Count, Is.EqualTo(1));
        return (at, transaction);
    }
}
