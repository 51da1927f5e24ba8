using Loom.Simulation.Cluster;

namespace Loom.Simulation.Engine;

/// <summary>What one seed came to.</summary>
internal sealed record SeedReport
{
    public required ulong Seed { get; init; }

    public SimulationFailure? Failure { get; init; }

    public ulong TraceHash { get; init; }

    public double SimulatedSeconds { get; init; }

    public long Steps { get; init; }

    /// <summary>Real time that the seed took; not part of what a seed determines.</summary>
    public double Seconds { get; init; }

    public int Operations { get; init; }

    public int Acknowledged { get; init; }

    public int Unknown { get; init; }

    public int NotApplied { get; init; }

    public int Elections { get; init; }

    public long Conflicts { get; init; }

    public int SearchDecided { get; init; }

    public int SearchUndecided { get; init; }

    public Coverage Coverage { get; init; } = new();

    public IReadOnlyList<string> LastLines { get; init; } = [];
}
