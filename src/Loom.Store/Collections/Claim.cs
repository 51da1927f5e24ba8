using Loom.Store.Model;

namespace Loom.Store.Collections;

/// <summary>A place in a line: a key with a lease, whose create revision is the place.</summary>
/// <param name="Key">The name, <c>/</c>, and the lease in lowercase hexadecimal digits, as etcd's recipes write it.</param>
/// <param name="CreateRevision">The place: whoever has the lowest one comes first.</param>
/// <param name="Lease">The claim ends with it.</param>
/// <param name="Value">What the key holds.</param>
/// <param name="Revision">The store's revision at which the claim was known to be there.</param>
/// <param name="Entered">False: it was there before, by the same lease.</param>
public sealed record Claim(ReadOnlyMemory<byte> Key, long CreateRevision, long Lease, ReadOnlyMemory<byte> Value, Revision Revision, bool Entered);

/// <summary>Who came first in a line when it was looked at.</summary>
/// <param name="Leader">The first claim's pair.</param>
/// <param name="Revision">The store's revision at that moment.</param>
public sealed record LeaderSeen(KeyValue Leader, Revision Revision);
