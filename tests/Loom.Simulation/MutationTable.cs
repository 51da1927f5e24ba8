using System.Collections.Concurrent;
using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using Loom.Raft.Diagnostics;
using Loom.Simulation.Engine;

namespace Loom.Simulation;

/// <summary>A line of mutations.txt: the seed at which a mutation is caught and by which checker, or the test that holds a rule which no seed can show.</summary>
internal sealed record MutationLine(string Name, ulong? Seed, string By);

/// <summary>
/// The mutations in the sources, each a switch that breaks exactly one rule of docs/protocol.md, and the committed table of how each is caught.
/// A mutation that survives is a hole in a checker.
/// </summary>
internal static partial class MutationTable
{
    public const int SearchedSeeds = 200;

    public static string Root { get; } = FindRoot();

    private static string TablePath => Path.Combine(Root, "tests", "Loom.Simulation", "mutations.txt");

    /// <summary>Names of all mutations in the sources, sorted.</summary>
    public static IReadOnlyList<string> InSources()
    {
        SortedSet<string> names = new(StringComparer.Ordinal);
        foreach (string folder in (string[])["src/Loom.Raft", "src/Loom.Store", "tests/Loom.Simulation/Cluster"])
        {
            foreach (string file in Directory.EnumerateFiles(Path.Combine(Root, folder), "*.cs", SearchOption.AllDirectories))
            {
                foreach (Match match in Use().Matches(File.ReadAllText(file)))
                {
                    names.Add(match.Groups[1].Value);
                }
            }
        }

        return [.. names];
    }

    public static IReadOnlyList<MutationLine> Read()
    {
        List<MutationLine> lines = [];
        foreach (string line in File.ReadAllLines(TablePath))
        {
            string[] parts = line.Split('|', StringSplitOptions.TrimEntries);
            if (parts.Length == 3 && !line.StartsWith('#'))
            {
                lines.Add(new(parts[0], parts[1] == "-" ? null : ulong.Parse(parts[1], CultureInfo.InvariantCulture), parts[2]));
            }
        }

        return lines;
    }

    /// <summary>Runs one seed with a mutation on.</summary>
    public static SeedReport Run(string mutation, ulong seed)
    {
        Mutations.Active = mutation;
        try
        {
            return Simulation.Run(seed);
        }
        finally
        {
            Mutations.Active = null;
        }
    }

    /// <summary>Searches the first catching seed of each mutation (all of them, or those whose name contains a text) and prints the table.</summary>
    public static int Search(string? only, int threads, ulong seeds)
    {
        string[] names = [.. InSources().Where(n => only is null || n.Contains(only, StringComparison.OrdinalIgnoreCase))];
        Dictionary<string, MutationLine> known = Read().Where(l => l.Seed is null).ToDictionary(l => l.Name);
        MutationLine?[] found = new MutationLine?[names.Length];
        Parallel.ForEach(Partitioner.Create(Enumerable.Range(0, names.Length), EnumerablePartitionerOptions.NoBuffering), new ParallelOptions { MaxDegreeOfParallelism = threads }, i =>
        {
            if (known.TryGetValue(names[i], out MutationLine? elsewhere))
            {
                found[i] = elsewhere;
                return;
            }

            for (ulong seed = 1; seed <= seeds && found[i] is null; seed++)
            {
                SeedReport report = Run(names[i], seed);
                if (report.Failure is { } failure)
                {
                    found[i] = new(names[i], seed, failure.Checker);
                }
            }

            Console.Error.WriteLine(found[i] is { } line ? $"{line.Name} | {line.Seed} | {line.By}" : $"{names[i]} SURVIVES {seeds} seeds");
        });

        Console.WriteLine("# mutation | first seed that catches it | checker, or (-) the test that holds the rule where no seed can show it");
        for (int i = 0; i < names.Length; i++)
        {
            Console.WriteLine(found[i] is { } line
                ? $"{line.Name} | {(line.Seed is { } seed ? seed.ToString(CultureInfo.InvariantCulture) : "-")} | {line.By}"
                : $"# {names[i]} SURVIVES {seeds} seeds");
        }

        return found.Any(f => f is null) ? 1 : 0;
    }

    private static string FindRoot([CallerFilePath] string here = "") => Path.GetFullPath(Path.Combine(Path.GetDirectoryName(here)!, "..", ".."));

    [GeneratedRegex("Mutations\\.On\\(\"([^\"]+)\"\\)")]
    private static partial Regex Use();
}
