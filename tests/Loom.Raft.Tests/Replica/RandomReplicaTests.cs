using Loom.Raft.Consensus;
using NUnit.Framework;

namespace Loom.Raft.Tests.Replica;

/// <summary>
/// Random faults on the whole path: isolation, lost messages, kills with power loss, short deadlines. What each caller was told must be true (P3),
/// every write applies at most once (P1), every barrier sees what was acknowledged before it (R1), and all replicas agree at every index (S5).
/// </summary>
public sealed class RandomReplicaTests
{
    [TestCaseSource(nameof(Seeds))]
    public void What_callers_are_told_is_true(int seed) => new Run(seed).Play();

    private static IEnumerable<int> Seeds() => Enumerable.Range(1, 12);

    private sealed class Run
    {
        private readonly SeededRandom random;
        private readonly ReplicaCluster cluster;
        private readonly List<(ReplicaNode Node, Loom.Raft.Proposals.ProposalRequest Request)> writes = [];
        private readonly List<ReplicaNode> lives = [];
        private readonly List<long> acknowledged = [];
        private long lossPercent;

        public Run(int seed)
        {
            random = new SeededRandom((ulong)seed);
            cluster = new ReplicaCluster(voters: 3, standbys: 1, maxSessions: seed % 3 == 0 ? 3 : 4096);
            cluster.Lose = (_, _, _) => random.Below(100) < lossPercent;
            lives.AddRange(cluster.Nodes);
            foreach (var node in lives)
            {
                Watch(node);
            }
        }

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
            var node = cluster.Restart(dead);
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
