using System.Globalization;
using NUnit.Framework;

namespace Loom.Scenarios.Processes;

/// <summary>How thorough this run is: LOOM_ROUNDS, 5 in <c>.ci/run</c>, 1 under a plain <c>dotnet test</c>.</summary>
internal static class Rounds
{
    public static readonly int Count = int.Parse(Environment.GetEnvironmentVariable("LOOM_ROUNDS") ?? "1", CultureInfo.InvariantCulture);

    /// <summary>For a scenario whose rule another one shows in every run too: it runs where there is time.</summary>
    public static void RequireSeveral()
    {
        if (Count < 2)
        {
            Assert.Ignore("runs in .ci/run, or with LOOM_ROUNDS=2 dotnet test tests/Loom.Scenarios");
        }
    }
}
