namespace Loom.Server.Etcd;

/// <summary>The limits that shape etcd's API, with its defaults.</summary>
internal sealed record EtcdLimits
{
    /// <summary>How far beyond <see cref="MaxRequestBytes"/> gRPC itself still takes a message: etcd answers with two codes, one per limit.</summary>
    public const int GrpcOverheadBytes = 512 * 1024;

    public int MaxTxnOperations { get; init; } = 128;

    public int MaxRequestBytes { get; init; } = 1536 * 1024;

    public int MaxMessageBytes => MaxRequestBytes + GrpcOverheadBytes;
}

/// <summary>What the node says it speaks. Digits and dots only: Patroni and Kubernetes parse it.</summary>
internal static class EtcdVersion
{
    public const string Server = "3.5.21";
    public const string Cluster = "3.5.0";
}
