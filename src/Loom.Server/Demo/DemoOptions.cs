namespace Loom.Server.Demo;

/// <summary>Settings of <c>loom demo</c>.</summary>
internal sealed record DemoOptions
{
    /// <summary>How long traffic runs. Default 30 s; at least 10, or a datacenter could not die and come back.</summary>
    public double Seconds { get; init; } = 30;

    /// <summary>Round trips in ms east-west, west-south, east-south; empty: loopback as it is.</summary>
    public IReadOnlyList<int> Wan { get; init; } = [];

    /// <summary>Leave the cluster running after the audit.</summary>
    public bool Keep { get; init; }

    /// <summary>One JSON object on stdout at the end and nothing else there.</summary>
    public bool Json { get; init; }

    /// <summary>First of twelve consecutive ports; 0: the default, or free ones when that block is taken.</summary>
    public int BasePort { get; init; }
}
