namespace Loom.Raft.Snapshots;

/// <summary>How much replication has to do beside a transfer.</summary>
internal enum ReplicationStrain : byte
{
    /// <summary>Nothing, or the odd write.</summary>
    None,

    /// <summary>Writes flow.</summary>
    Busy,

    /// <summary>Writes wait for the disk.</summary>
    Queued,
}
