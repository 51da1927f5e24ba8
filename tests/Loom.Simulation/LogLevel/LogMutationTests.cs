using Loom.Raft.Diagnostics;
using NUnit.Framework;

namespace Loom.Simulation.LogLevel;

/// <summary>
/// The rules of the log, proven at the log's own level: the cluster needs days to meet a recycled segment, a random life of one log meets it in milliseconds.
/// Each mutation breaks one rule and must be caught; the same lives without a mutation must pass.
/// </summary>
[TestFixture]
internal sealed class LogMutationTests
{
    private const int Steps = 400;

    [TearDown]
    public void Switch_off() => Mutations.Active = null;

    [Test]
    public void A_log_keeps_its_promises_through_random_lives()
    {
        int recycled = 0, installed = 0, pauses = 0;
        for (ulong seed = 1; seed <= 60; seed++)
        {
            var model = new LogModel(seed);
            model.Run(Steps);
            recycled += model.Recycled;
            installed += model.Installed;
            pauses += model.Pauses;
        }

        Assert.That(recycled, Is.GreaterThan(100), "the lives are too short to recycle segments");
        Assert.That(installed, Is.GreaterThan(100), "the lives are too short for snapshots");
        Assert.That(pauses, Is.GreaterThan(50), "the disks are full too seldom for the logs to notice");
    }

    [TestCase("L1-ack-without-flush", 1ul)]
    [TestCase("L1-ignore-flush-error", 1ul)]
    [TestCase("L2-old-records-of-recycled-segment", 15ul)]
    [TestCase("L3-rewrite-flushed-block", 4ul)]
    [TestCase("L4-cut-damage-as-torn", 1ul)]
    [TestCase("L4-both-slots-unflushed", 678ul)]
    [TestCase("L5-report-before-flush-at-open", 1ul)]
    [TestCase("L5-forget-directory-flush", 1ul)]
    [TestCase("L6-forget-vote-on-recycle", 1ul)]
    [TestCase("L6-forget-configuration", 1ul)]
    [TestCase("L6-forget-cluster-time", 7ul)]
    [TestCase("L6-free-before-flush", 1ul)]
    [TestCase("L7-completion-by-index", 1ul)]
    [TestCase("L7-hint-before-its-entries", 1ul)]
    [TestCase("L8-entries-before-their-term", 2ul)]
    [TestCase("S3-base-without-configuration", 1ul)]
    [TestCase("S3-install-over-longer-log", 1ul)]
    [TestCase("S6-full-disk-is-success", 1ul)]
    public void A_broken_rule_is_caught(string mutation, ulong recordedSeed)
    {
        // The recorded seed catches at once; when the code has changed under it, the search begins anew.
        foreach (ulong seed in Enumerable.Range(1, 200).Select(n => (ulong)n).Prepend(recordedSeed))
        {
            Mutations.Active = mutation;
            try
            {
                new LogModel(seed).Run(Steps);
            }
            catch (LogViolationException e)
            {
                TestContext.Out.WriteLine($"{mutation}: {e.Message}");
                return;
            }
        }

        Assert.Fail($"{mutation} was not caught in 200 lives");
    }
}
