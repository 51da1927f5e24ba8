using Google.Protobuf;
using Loom.Store;

namespace Loom.Server.Etcd;

/// <summary>The limits that shape etcd's API, with its defaults.</summary>
internal sealed record EtcdLimits
{
    /// <summary>How far beyond <see cref="MaxRequestBytes"/> gRPC itself still takes a message: etcd answers with two codes, one per limit.</summary>
    public const int GrpcOverheadBytes = 512 * 1024;

    /// <summary>The log holds a write in its own encoding, which may be a little longer than etcd's: the wire's limit should be the one that decides.</summary>
    private const int EncodingBytes = 64 * 1024;

    /// <summary>The largest <see cref="MaxRequestBytes"/> with which a store opens.</summary>
    public const int MaxRequestBytesLimit = LoomOptions.MaxRequestBytesLimit - EncodingBytes;

    /// <summary>etcd measures not the request but the raft entry around it: a header with a random id of up to 64 bits (tags and lengths 4 bytes, the id up to 10), and the tag of the request.</summary>
    private const int EntryHeaderBytes = 4 + 10 + 1;

    public int MaxTxnOperations { get; init; } = 128;

    public int MaxRequestBytes { get; init; } = 1536 * 1024;

    /// <summary>How long a snapshot waits for its reader to take the next blob. etcd waits for ever.</summary>
    public TimeSpan SnapshotPatience { get; init; } = TimeSpan.FromSeconds(60);

    /// <summary>How long the JSON gateway waits for a request that has begun to arrive.</summary>
    public TimeSpan BodyPatience { get; init; } = TimeSpan.FromSeconds(30);

    public int MaxMessageBytes => MaxRequestBytes + GrpcOverheadBytes;

    /// <summary>What the store must accept for a request of <see cref="MaxRequestBytes"/>.</summary>
    public int MaxEncodedBytes => MaxRequestBytes + EncodingBytes;

    /// <summary>True when etcd would call a write too large. Its id is a byte shorter in half of its members, so one size is refused here that some of them take.</summary>
    public bool IsTooLarge(IMessage request)
    {
        int size = request.CalculateSize();
        return EntryHeaderBytes + CodedOutputStream.ComputeLengthSize(size) + size > MaxRequestBytes;
    }
}

/// <summary>What the node says it speaks. Digits and dots only: Patroni and Kubernetes parse it.</summary>
internal static class EtcdVersion
{
    public const string Server = "3.5.21";
    public const string Cluster = "3.5.0";
}
