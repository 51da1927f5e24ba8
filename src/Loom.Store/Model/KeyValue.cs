namespace Loom.Store.Model;

/// <summary>One version of a key (etcd's mvccpb.KeyValue).</summary>
/// <param name="Key">The key.</param>
/// <param name="Value">The value. Do not change it: it may be shared.</param>
/// <param name="CreateRevision">Revision at which the key was created (since its last deletion).</param>
/// <param name="ModRevision">Revision of this version.</param>
/// <param name="Version">1 at creation, plus one per put.</param>
/// <param name="Lease">Lease id, 0 = none.</param>
public sealed record KeyValue(ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, long CreateRevision, long ModRevision, long Version, long Lease);
