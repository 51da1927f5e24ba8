using System.Diagnostics;
using Loom.Simulation.Engine;
using NUnit.Framework;

namespace Loom.Simulation.Tests;

/// <summary>The runs of each change: enough seeds that a broken rule is met, few enough to wait for. The long runs are Program's.</summary>
internal sealed class SeedTests
{
    // Twice as many where there is time: LOOM_ROUNDS, .ci/run.
    private static readonly int Seeds = TestRun.IsThorough ? 300 : 150;

    private const int SeedsInTwoProcesses = 20;

    /// <summary>Bugs that seeds found, by the table in docs/reliability.md: each stays a test for ever.</summary>
    private static readonly (ulong Seed, string What)[] Regressions =
    [
        (1, "a receipt with the refusal Invalid could not be decoded"),
        (103, "a member that had lost its disk and the leader sent each other the same append and refusal without end"),
        (398, "an attempt whose place was committed with an entry of an older term was waited for for ever"),
    ];

    [Test]
    public void Many_seeds_break_no_promise()
    {
        SeedReport[] reports = new SeedReport[Seeds];
        Parallel.For(0, Seeds, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount }, i => reports[i] = Simulation.Run((ulong)i + 1));

        SeedReport? failed = reports.FirstOrDefault(r => r.Failure is not null);
        Assert.That(failed, Is.Null, () => Program.Describe(failed!));

        // A run in which nothing happened proves nothing.
        Assert.Multiple(() =>
        {
            Assert.That(reports.Sum(r => r.Acknowledged), Is.GreaterThan(Seeds * 30), "acknowledged operations");
            Assert.That(reports.Sum(r => r.Unknown), Is.GreaterThan(0), "unknown outcomes");
            Assert.That(reports.Sum(r => r.NotApplied), Is.GreaterThan(0), "definite refusals");
            Assert.That(reports.Sum(r => r.Conflicts), Is.GreaterThan(0), "overwritten suffixes");
            Assert.That(reports.Sum(r => r.Coverage.PowerCuts), Is.GreaterThan(0), "power cuts");
            Assert.That(reports.Sum(r => r.Coverage.Restored), Is.GreaterThan(0), "starts from a checkpoint");
            Assert.That(reports.Sum(r => r.Coverage.Refused), Is.GreaterThan(0), "damaged logs that were put aside");
            Assert.That(reports.Sum(r => r.Coverage.Replaced), Is.GreaterThan(Seeds / 10), "members that lost their disk and are whole again");
            Assert.That(reports.Sum(r => r.Coverage.OldCopies), Is.GreaterThan(0), "old copies that were found out");
        });
    }

    /// <summary>A seed is only worth something if it says the same everywhere: the trace hash of a second process, with its own hash codes and timings, must be equal.</summary>
    [Test]
    public void A_seed_replays_exactly_in_another_process()
    {
        ProcessStartInfo start = new(Environment.ProcessPath!.EndsWith("dotnet", StringComparison.Ordinal) ? Environment.ProcessPath : "dotnet")
        {
            RedirectStandardOutput = true,
        };
        foreach (string argument in (string[])[typeof(Program).Assembly.Location, "--seeds", $"{SeedsInTwoProcesses}", "--from", "1", "--emit-hash"])
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start)!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();

        string[] elsewhere = [.. output.Split('\n').Where(l => l.StartsWith("hash ", StringComparison.Ordinal))];
        string[] here = [.. Enumerable.Range(1, SeedsInTwoProcesses).Select(s => $"hash {s} {Simulation.Run((ulong)s).TraceHash:x16}")];
        Assert.That(elsewhere, Is.EqualTo(here));
    }

    [TestCaseSource(nameof(Regressions))]
    public void A_bug_that_a_seed_found_stays_away((ulong Seed, string What) regression)
    {
        SeedReport report = Simulation.Run(regression.Seed);
        Assert.That(report.Failure, Is.Null, () => $"{regression.What}: {Program.Describe(report)}");
    }
}
