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
        int recycled = 0;
        for (ulong seed = 1; seed <= 60; seed++)
        {
            var model = new LogModel(seed);
            model.Run(Steps);
            recycled += model.Recycled;
        }

        Assert.That(recycled, Is.GreaterThan(100), "the lives are too short to recycle segments");
    }

    [TestCase("L1-ack-without-flush")]
    [TestCase("L1-ignore-flush-error")]
    [TestCase("L2-old-records-of-recycled-segment")]
    [TestCase("L3-rewrite-flushed-block")]
    [TestCase("L4-cut-damage-as-torn")]
    [TestCase("L4-both-slots-unflushed")]
    [TestCase("L5-report-before-flush-at-open")]
    [TestCase("L5-forget-directory-flush")]
    [TestCase("L6-forget-vote-on-recycle")]
    [TestCase("L6-forget-configuration")]
    [TestCase("L6-free-before-flush")]
    [TestCase("L7-completion-by-index")]
    [TestCase("L8-entries-before-their-term")]
    public void A_broken_rule_is_caught(string mutation)
    {
        for (ulong seed = 1; seed <= 200; seed++)
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
