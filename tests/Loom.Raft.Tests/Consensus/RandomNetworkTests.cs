using System.Globalization;
using NUnit.Framework;

namespace Loom.Raft.Tests.Consensus;

/// <summary>
/// Cores of 3 and 5 members under a hostile network (loss, duplicates, any order), crashes that lose unflushed writes, slow flushes, clocks with offsets, transfers, changes of members, truncated logs and snapshots.
/// The safety properties of the Raft paper are checked after every step; then everything heals and the cluster must agree.
/// </summary>
[TestFixture]
public sealed class RandomNetworkTests
{
    /// <summary>LOOM_SEEDS=2000 for a long run.</summary>
    private static readonly ulong Seeds = ulong.Parse(Environment.GetEnvironmentVariable("LOOM_SEEDS") ?? "20", CultureInfo.InvariantCulture);

    [TestCase(3, 0, 0, false)]
    [TestCase(3, 1, 0, true)]
    [TestCase(5, 0, 0, true)]
    [TestCase(5, 1, 0, false)]
    [TestCase(3, 0, 2, true)]
    [TestCase(3, 1, 3, true)]
    [TestCase(1, 1, 2, true)]
    [TestCase(5, 1, 2, false)]
    public void Safety_holds_after_every_step_and_the_healed_cluster_agrees(int voters, int standbys, int outsiders, bool snapshots)
    {
        int jointChanges = 0, installed = 0;
        for (ulong seed = 1; seed <= Seeds; seed++)
        {
            var network = new RandomNetwork(voters, standbys, outsiders, snapshots, seed);
            try
            {
                network.Run(steps: 3000);
                network.Heal();
                jointChanges += network.JointChanges;
                installed += network.Installed;
            }
            catch (Exception e) when (e is not SuccessException)
            {
                throw new InvalidOperationException($"seed {seed}: {e.Message}\n{string.Join('\n', network.Tail)}", e);
            }
        }

        // A run in which no voter changed proves nothing of changes.
        Assert.That(jointChanges, outsiders == 0 ? Is.Zero : Is.GreaterThan((int)Seeds / 3));
        Assert.That(installed, snapshots ? Is.GreaterThan((int)Seeds / 8) : Is.Zero);
    }
}
