namespace Loom.Bench.Cluster;

/// <summary>One cell of the table: an operation under a closed loop of clients.</summary>
/// <param name="Operation">put, get, sget (serializable / local), range (from a key on, limit 100), page (the 100 keys of a range) or cas.</param>
/// <param name="Clients">Calls in flight; each client sends its next when the last was answered, so queueing is hidden: compare, do not extrapolate.</param>
/// <param name="Seconds">Measured time.</param>
/// <param name="WarmupSeconds">Time before it that is not counted.</param>
/// <param name="ValueSize">Bytes of a value.</param>
/// <param name="Keys">Number of distinct keys.</param>
internal sealed record LoadSpec(string Operation, int Clients, double Seconds, double WarmupSeconds, int ValueSize, int Keys);

/// <summary>What one cell measured.</summary>
internal sealed record LoadResult
{
    public required string Peer { get; init; }
    public required string Operation { get; init; }
    public required int Clients { get; init; }
    public double OpsPerSecond { get; init; }
    public double P50Milliseconds { get; init; }
    public double P99Milliseconds { get; init; }
    public double P999Milliseconds { get; init; }

    /// <summary>CPU of all servers per operation (for a library peer: clients included, they live in the same processes).</summary>
    public double ServerMicrosPerOp { get; init; }

    public double ClientMicrosPerOp { get; init; }
    public long Errors { get; init; }
}

/// <summary>A system under test: a running cluster that a load can be put on.</summary>
internal interface IPeer : IAsyncDisposable
{
    string Name { get; }

    /// <summary>What an acknowledgement of this peer means, for the table's legend.</summary>
    string Meaning { get; }

    bool Supports(string operation);

    Task StartAsync(CancellationToken cancellationToken);

    Task<LoadResult> RunAsync(LoadSpec spec, CancellationToken cancellationToken);
}
