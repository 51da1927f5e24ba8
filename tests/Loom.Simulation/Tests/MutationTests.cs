using Loom.Simulation.Engine;
using NUnit.Framework;

namespace Loom.Simulation.Tests;

/// <summary>Proves the checkers: a product that breaks one rule must be caught. The seeds were found by <c>--mutations</c> within 200 each.</summary>
internal sealed class MutationTests
{
    private static IEnumerable<MutationLine> Simulated => MutationTable.Read().Where(l => l.Seed is not null);

    [TestCaseSource(nameof(Simulated))]
    [Parallelizable(ParallelScope.All)]
    public void A_broken_rule_is_caught(MutationLine mutation)
    {
        SeedReport report = MutationTable.Run(mutation.Name, mutation.Seed!.Value);
        Assert.That(report.Failure, Is.Not.Null, $"{mutation.Name} survived seed {mutation.Seed}: search again with --mutations --only {mutation.Name}");
    }

    [Test]
    public void Every_mutation_in_the_sources_has_its_proof() =>
        Assert.That(MutationTable.Read().Select(l => l.Name).Order(StringComparer.Ordinal), Is.EqualTo(MutationTable.InSources()));
}
