using System.Globalization;
using Loom.Raft.Consensus;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>
/// Random faults on the whole path: isolation, lost messages, kills with power loss, short deadlines; on request logs that keep little, so that who was away for a moment needs a snapshot,
/// and checkpoints that turn out to be damaged. What each caller was told must be true (P3), every write applies at most once (P1), every barrier sees what was acknowledged
/// before it (R1), all replicas agree at every index (S5), and the order of indexes holds after every step (L9).
/// </summary>
public sealed class RandomReplicaTests
{
    /// <summary>LOOM_SEEDS=500 for a long run.</summary>
    private static readonly int Count = int.Parse(Environment.GetEnvironmentVariable("LOOM_SEEDS") ?? "12", CultureInfo.InvariantCulture);

    [TestCaseSource(nameof(Seeds))]
    public void What_callers_are_told_is_true(int seed) => new Run(seed, snapshots: false).Play();

    [Test]
    public void What_callers_are_told_is_true_where_logs_are_cut_and_states_installed()
    {
        var installed = 0;
        var restored = 0;
        for (var seed = 1; seed <= 2 * Count; seed++)
        {
            var run = new Run(seed, snapshots: true);
            try
            {
                run.Play();
            }
            catch (Exception e)
            {
                throw new InvalidOperationException($"seed {seed}: {e.Message}", e);
            }

            installed += run.Installed;
            restored += run.Restored;
        }

        TestContext.Out.WriteLine($"{installed} states installed, {restored} lives began with a checkpoint");
        Assert.That(installed, Is.GreaterThan(2 * Count));
        Assert.That(restored, Is.GreaterThan(2 * Count));
    }

    private static IEnumerable<int> Seeds() => Enumerable.Range(1, Count);

    private sealed class Run
    {
        private readonly SeededRandom random;
        private readonly ReplicaCluster cluster;
        private readonly List<(ReplicaNode Node, Loom.Raft.Proposals.ProposalRequest Request)> writes = [];
        private readonly List<ReplicaNode> lives = [];
        private readonly List<long> acknowledged = [];
        private readonly bool snapshots;
        private long lossPercent;

        public Run(int seed, bool snapshots)
        {
            this.snapshots = snapshots;
            random = new SeededRandom((ulong)seed);
            cluster = new ReplicaCluster(
                voters: 3, standbys: 1, o => snapshots ? o with { SnapshotCatchUpEntries = 1 + random.Below(8), SnapshotCatchUpBytes = 30 + random.Below(1000), MaxRetainedBytes = 30 + random.Below(1000), MaxPinnedBytes = random.Below(4000) } : o,
                maxSessions: seed % 3 == 0 ? 3 : 4096)
            {
                CheckpointEvery = snapshots ? 2 + (seed % 4) : 0,
                TransferTime = () => random.Below(200),
            };
            cluster.Lose = (_, _, _) => random.Below(100) < lossPercent;
            lives.AddRange(cluster.Nodes);
            foreach (var node in lives)
            {
                Watch(node);
            }
        }

        public int Installed => lives.Sum(n => n.Installed);

        public int Restored { get; private set; }

        public void Play()
        {
            for (var i = 0; i < 250; i++)
            {
                Act();
                cluster.Run(random.Below(60));
            }

            Recover();
            Check();
        }

        private void Act()
        {
            var node = cluster.Nodes[random.Below(cluster.Nodes.Length)];
            switch (random.Below(40))
            {
                case 0:
                    cluster.Isolate(random.Below(2) == 0 ? node : cluster.Leader ?? node);
                    break;
                case < 4:
                    cluster.Heal();
                    break;
                case 4 when cluster.Nodes.All(n => n.Alive):
                    cluster.Kill(random.Below(2) == 0 ? node : cluster.Leader ?? node);
                    break;
                case < 8 when !node.Alive:
                    Restart(node);
                    break;
                case 8:
                    lossPercent = random.Below(3) * 12;
                    break;
                case < 16 when node.Alive:
                    node.Read(50 + random.Below(3000));
                    break;
                default:
                    if (node.Alive)
                    {
                        writes.Add((node, node.Propose(writes.Count, 20 + random.Below(4000))));
                    }

                    break;
            }
        }

        private void Restart(ReplicaNode dead)
        {
            dead.Machine.Disk.NewestIsDamaged = snapshots && random.Below(5) == 0;
            var node = cluster.Restart(dead);
            Restored += node.Replica.Applied > 0 ? 1 : 0;
            lives.Add(node);
            Watch(node);
        }

        private void Watch(ReplicaNode node)
        {
            node.AcknowledgedCount = () => acknowledged.Count;
            node.Acknowledged = acknowledged.Add;
            node.ReadDone = (count, index) =>
            {
                var seen = node.Machine.Seen.ToHashSet();
                Assert.That(acknowledged.Take(count).All(seen.Contains), "a barrier that misses an acknowledged write (R1)");
                Assert.That(node.Replica.Applied, Is.GreaterThanOrEqualTo(index));
            };
        }

        private void Recover()
        {
            lossPercent = 0;
            foreach (var dead in cluster.Nodes.Where(n => !n.Alive).ToList())
            {
                Restart(dead);
            }

            cluster.Heal();
            cluster.Until(() => cluster.Nodes.All(n => n.Replica.UnsettledProposals == 0)
                && writes.All(w => !w.Node.Alive || w.Node.CompletionOf(w.Request) is not null)
                && cluster.Nodes.All(n => n.Replica.Applied == cluster.Nodes.Max(m => m.Log.LastIndex)));
        }

        private void Check()
        {
            var seen = cluster.Nodes[0].Machine.Seen;
            Assert.That(seen, Is.Unique, "applied at most once (P1)");
            foreach (var node in cluster.Nodes)
            {
                Assert.That(node.Machine.Seen, Is.EqualTo(seen));
                Assert.That(node.Replica.Failure, Is.Null);
            }

            foreach (var (node, request) in writes)
            {
                if (node.CompletionOf(request) is { } told)
                {
                    var applied = seen.Contains((long)request.Caller!);
                    Assert.That(!told.Succeeded || applied, $"acknowledged and lost: {request.Caller}");
                    Assert.That(told.Succeeded || told.Known != WriteOutcome.NotApplied || !applied, $"NotApplied and applied: {request.Caller}");
                }
            }

            var hashes = new SortedDictionary<long, UInt128>();
            foreach (var (index, hash) in lives.SelectMany(n => n.Hashes))
            {
                hashes.TryAdd(index, hash);
                Assert.That(hashes[index], Is.EqualTo(hash), $"state at index {index} (S5)");
            }

            Assert.That(acknowledged, Has.Count.GreaterThan(20), "the run did something");
        }
    }
}
