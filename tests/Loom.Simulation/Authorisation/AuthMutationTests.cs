using Loom.Raft.Diagnostics;
using NUnit.Framework;

namespace Loom.Simulation.Authorisation;

/// <summary>
/// The rules of authorisation (A1, A3), proven at the machine: who may do what depends on no network and no disk, so a random life of one machine shows more than a cluster's. Each mutation breaks one rule and must be
/// caught; the same lives without one must pass.
/// </summary>
[TestFixture]
internal sealed class AuthMutationTests
{
    private const int Steps = 400;

    [TearDown]
    public void Switch_off() => Mutations.Active = null;

    [Test]
    public void Nobody_does_what_he_may_not_through_random_lives()
    {
        int denied = 0, permitted = 0;
        for (ulong seed = 1; seed <= 100; seed++)
        {
            using var model = new AuthModel(seed);
            model.Run(Steps);
            denied += model.Seen.Denied;
            permitted += model.Seen.Permitted;
        }

        Assert.That(denied, Is.GreaterThan(4000), "the lives forbid too little");
        Assert.That(permitted, Is.GreaterThan(4000), "the lives permit too little");
    }

    [TestCase("A1-one-branch-checked")]
    [TestCase("A1-old-revision-passes")]
    [TestCase("A1-previous-pair-unchecked")]
    [TestCase("A1-lease-keys-unchecked")]
    [TestCase("A3-token-outlives-password")]
    public void A_broken_rule_is_caught(string mutation)
    {
        for (ulong seed = 1; seed <= 100; seed++)
        {
            Mutations.Active = mutation;
            try
            {
                using var model = new AuthModel(seed);
                model.Run(Steps);
            }
            catch (AuthViolationException e)
            {
                TestContext.Out.WriteLine($"{mutation}, life {seed}: {e.Message}");
                return;
            }
        }

        Assert.Fail($"{mutation} was not caught in 100 lives");
    }
}
