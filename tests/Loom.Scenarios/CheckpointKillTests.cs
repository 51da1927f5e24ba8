using System.Diagnostics;
using Loom.Scenarios.Processes;
using Loom.Scenarios.Workload;
using Loom.Testing;
using NUnit.Framework;

namespace Loom.Scenarios;

/// <summary>
/// L9 with a real process: a member that is alone and takes checkpoints all the time is killed at random moments while one is under way, and started again. Every acknowledged put is there, with its value, its
/// version and its revision; of what was under way either. Three kills under <c>dotnet test</c>; LOOM_ROUNDS=50: fifty.
/// </summary>
[NonParallelizable]
public sealed class CheckpointKillTests
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);

    [Test]
    public async Task Acknowledged_writes_survive_kill_9_in_the_middle_of_a_checkpoint()
    {
        int kills = Math.Max(3, TestRun.Rounds);
        int seed = Environment.TickCount;
        Random random = new(seed);
        using LoomCluster cluster = await LoomCluster.StartOneAsync("--snapshot-count", "200");
        LoomProcess node = cluster.Nodes[0];
        OwnedKeys keys = new(cluster, node);
        CheckpointWatch watch = new(node);
        keys.Start();
        SortedDictionary<string, int> struck = new(StringComparer.Ordinal);
        int[] checkedBefore = OwnedKeys.Nothing;
        int round = 0;
        for (; round < kills || (struck.Count == 0 && round < kills + 10); round++)
        {
            int before = keys.Acknowledged;
            await KillInsideAsync(node, watch, random.NextDouble());
            await keys.StopAsync();
            Assert.That(keys.Acknowledged, Is.GreaterThan(before), "nothing was written in this round");
            if (watch.StruckWhere() is { } where)
            {
                struck[where] = struck.GetValueOrDefault(where) + 1;
            }

            cluster.Start(node);
            await cluster.WaitUntilServingAsync();
            await keys.CheckAsync(checkedBefore);
            keys.Start();
        }

        await keys.StopAsync();
        await keys.CheckAsync(OwnedKeys.Nothing);
        TestContext.Out.WriteLine(
            $"{round} kills (seed {seed}); struck inside of one in {struck.Values.Sum()}: {string.Join(", ", struck.Select(s => $"{s.Key} {s.Value}"))}; {keys.Acknowledged} puts acknowledged, {keys.UnknownApplied} of unknown outcome were there");
        Assert.That(struck.Values.Sum(), Is.GreaterThanOrEqualTo(Math.Max(1, round / 5)), "too few kills struck inside of a checkpoint to prove anything");
    }

    /// <summary>
    /// At some part of the time that a checkpoint takes, the shorter one of two in the same life: after a start they become faster. On a thread that does nothing else, for it is a matter of milliseconds.
    /// </summary>
    private static Task KillInsideAsync(LoomProcess node, CheckpointWatch watch, double part) => Task.Run(() =>
    {
        TimeSpan delay = Patience;
        for (int i = 0; i < 2; i++)
        {
            AwaitBegin(node, watch);
            TimeSpan took = part * watch.Duration(Patience);
            delay = took < delay ? took : delay;
        }

        AwaitBegin(node, watch);
        for (Stopwatch since = Stopwatch.StartNew(); since.Elapsed < delay;)
        {
            Thread.Yield();
        }

        node.Kill();
    });

    private static void AwaitBegin(LoomProcess node, CheckpointWatch watch) => Assert.That(watch.AwaitBegin(Patience), Is.True, "no checkpoint is taken\n" + node.Output());
}
