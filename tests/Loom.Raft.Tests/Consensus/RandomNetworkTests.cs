using NUnit.Framework;

namespace Loom.Raft.Tests.Consensus;

/// <summary>
/// Cores of 3 and 5 members under a hostile network (loss, duplicates, any order), crashes that lose unflushed writes, slow flushes, clocks with offsets, transfers.
/// The safety properties of the Raft paper are checked after every step; then everything heals and the cluster must agree.
/// </summary>
[TestFixture]
public sealed class RandomNetworkTests
{
    [TestCase(3, 0)]
    [TestCase(3, 1)]
    [TestCase(5, 0)]
    [TestCase(5, 1)]
    public void Safety_holds_after_every_step_and_the_healed_cluster_agrees(int voters, int standbys)
    {
        for (ulong seed = 1; seed <= 20; seed++)
        {
            var network = new RandomNetwork(voters, standbys, seed);
            try
            {
                network.Run(steps: 3000);
                network.Heal();
            }
            catch (Exception e) when (e is not SuccessException)
            {
                throw new InvalidOperationException($"seed {seed}: {e.Message}\n{string.Join('\n', network.Tail)}", e);
            }
        }
    }
}
