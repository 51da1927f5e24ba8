using Loom.Server.Hosting.Protos;

namespace Loom.Server.Demo;

/// <summary>One replica as the picture shows it.</summary>
internal sealed record NodePicture(string Name, string Datacenter, bool IsStandby, bool IsRunning, ClusterStatusResponse? Status);

/// <summary>Everything that a view shows at one moment.</summary>
internal sealed record DemoPicture
{
    public required TimeSpan Elapsed { get; init; }
    public required string Phase { get; init; }
    public required IReadOnlyList<NodePicture> Nodes { get; init; }

    /// <summary>Datacenter → the node that its application talks to.</summary>
    public required IReadOnlyDictionary<string, string> Applications { get; init; }

    public long Acknowledged { get; init; }
    public long Unknown { get; init; }
    public double WritesPerSecond { get; init; }
    public double ReadsPerSecond { get; init; }
    public double LongestPauseMilliseconds { get; init; }

    /// <summary>Null until the audit has counted.</summary>
    public long? Lost { get; init; }

    public bool Paused { get; init; }

    public long MaxApplied => Nodes.Max(n => n.Status?.AppliedIndex ?? 0);
}

/// <summary>Where the demo shows what happens.</summary>
internal interface IDemoView
{
    void Event(string text);

    void Show(DemoPicture picture);
}
