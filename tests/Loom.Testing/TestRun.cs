using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using NUnit.Framework;

namespace Loom.Testing;

/// <summary>What this run of the tests is asked for: LOOM_ROUNDS, how thorough it is (5 in <c>.ci/run</c>, 1 under a plain <c>dotnet test</c>), and LOOM_REQUIRE_INTEROP=1, that no program may be absent.</summary>
internal static class TestRun
{
    public static readonly int Rounds = int.Parse(Environment.GetEnvironmentVariable("LOOM_ROUNDS") ?? "1", CultureInfo.InvariantCulture);

    /// <summary>There is time.</summary>
    public static bool IsThorough => Rounds > 1;

    public static bool RequiresPrograms => Environment.GetEnvironmentVariable("LOOM_REQUIRE_INTEROP") == "1";

    /// <summary>The folder of Loom.sln.</summary>
    public static string Repository { get; } = FindRepository();

    /// <summary>For a test whose rule another one shows in every run too: it runs where there is time.</summary>
    public static void RequireTime()
    {
        if (!IsThorough)
        {
            Assert.Ignore("runs in .ci/run, or with LOOM_ROUNDS=2");
        }
    }

    /// <summary>Something that a test needs is not on this machine: it is skipped with the reason, or fails where nothing may be absent.</summary>
    [DoesNotReturn]
    public static void Lack(string reason)
    {
        if (RequiresPrograms)
        {
            Assert.Fail(reason + ", and LOOM_REQUIRE_INTEROP=1 asks for it");
        }

        Assert.Ignore(reason);
        throw new InvalidOperationException(reason);
    }

    private static string FindRepository()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "Loom.sln")))
        {
            directory = Path.GetDirectoryName(directory);
        }

        return directory ?? throw new InvalidOperationException("the tests do not lie in the repository");
    }
}
