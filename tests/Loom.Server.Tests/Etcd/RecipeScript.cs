using Google.Protobuf;
using Loom.Server.Etcd.Protos;
using Locks = Loom.Server.Etcd.Protos.Locks;

namespace Loom.Server.Tests.Etcd;

/// <summary>The calls of the recorded transcript of locks and elections. None of them waits: <see cref="RecipeTests"/> has those that do.</summary>
internal static class RecipeScript
{
    public static IEnumerable<(string Title, IMessage Request)> Calls() => [.. LocksOfOne(), .. Elections(), .. Ends()];

    private static IEnumerable<(string, IMessage)> LocksOfOne() =>
    [
        ("a lease", new LeaseGrantRequest { ID = 11, TTL = 100 }),
        ("a negative one", new LeaseGrantRequest { ID = -31, TTL = 100 }),
        ("and another", new LeaseGrantRequest { ID = 12, TTL = 100 }),
        ("lock", Lock("a", 11)),
        ("its key", All("a/")),
        ("locked again by the same lease: it has it", Lock("a", 11)),
        ("with a lease that is not there", Lock("b", 999)),
        ("no key of it", All("b/")),
        ("the negative lease", Lock("b", -31)),
        ("its key", All("b/")),
        ("unlock", Unlock("a/b")),
        ("unlock what is not there", Unlock("a/b")),
        ("unlock nothing", Unlock("")),
        ("lock without a name", Lock("", 11)),
        ("its key", All("/")),
        ("unlock", Unlock("/b")),
        ("lock what was unlocked", Lock("a", 11)),
        ("a key by hand that comes later is behind it", new PutRequest { Key = B("a/hand"), Value = B("x") }),
        ("it has it still", Lock("a", 11)),
        ("unlock", Unlock("a/b")),
        ("the key by hand is before it: unlock that", Unlock("a/hand")),
    ];

    private static IEnumerable<(string, IMessage)> Elections() =>
    [
        ("nobody leads", Leader("e")),
        ("campaign", Campaign("e", 11, "one")),
        ("who leads", Leader("e")),
        ("campaign again with the same words", Campaign("e", 11, "one")),
        ("and with others: they are proclaimed", Campaign("e", 11, "two")),
        ("who leads", Leader("e")),
        ("proclaim", Proclaim(Key("e", "e/b", 11, 11), "three")),
        ("who leads", Leader("e")),
        ("proclaim with another revision", Proclaim(Key("e", "e/b", 10, 11), "four")),
        ("proclaim with another key", Proclaim(Key("e", "e/c", 11, 11), "four")),
        ("proclaim without a key", Proclaim(Key("e", "", 11, 11), "four")),
        ("proclaim without anything", new ProclaimRequest { Value = B("four") }),
        ("proclaim with another lease moves the key", Proclaim(Key("e", "e/b", 11, 12), "four")),
        ("its lease", new LeaseTimeToLiveRequest { ID = 12, Keys = true }),
        ("and with one that is not there", Proclaim(Key("e", "e/b", 11, 999), "five")),
        ("resign with another revision: nothing", new ResignRequest { Leader = Key("e", "e/b", 10, 11) }),
        ("resign without a key", new ResignRequest { Leader = Key("e", "", 10, 11) }),
        ("resign without anything", new ResignRequest()),
        ("it leads still", Leader("e")),
        ("resign", new ResignRequest { Leader = Key("e", "e/b", 11, 11) }),
        ("nobody leads", Leader("e")),
        ("resign again", new ResignRequest { Leader = Key("e", "e/b", 11, 11) }),
        ("proclaim after that", Proclaim(Key("e", "e/b", 11, 11), "late")),
        ("campaign with a lease that is not there", Campaign("e", 999, "six")),
        ("campaign without a name", Campaign("", 11, "seven")),
        ("who leads there", Leader("")),
        ("campaign without words", Campaign("f", -31, "")),
        ("who leads there", Leader("f")),
    ];

    private static IEnumerable<(string, IMessage)> Ends() =>
    [
        ("everything", new RangeRequest { Key = B("\0"), RangeEnd = B("\0") }),
        ("the lease of the leaders ends", new LeaseRevokeRequest { ID = 11 }),
        ("nobody leads", Leader("")),
        ("and the other one", new LeaseRevokeRequest { ID = -31 }),
        ("nothing is left", new RangeRequest { Key = B("\0"), RangeEnd = B("\0") }),
        ("the hash of it all", new HashKVRequest()),
    ];

    private static ByteString B(string text) => ByteString.CopyFromUtf8(text);

    private static Locks.LockRequest Lock(string name, long lease) => new() { Name = B(name), Lease = lease };

    private static Locks.UnlockRequest Unlock(string key) => new() { Key = B(key) };

    private static CampaignRequest Campaign(string name, long lease, string value) => new() { Name = B(name), Lease = lease, Value = B(value) };

    private static ProclaimRequest Proclaim(LeaderKey leader, string value) => new() { Leader = leader, Value = B(value) };

    private static LeaderRequest Leader(string name) => new() { Name = B(name) };

    private static LeaderKey Key(string name, string key, long rev, long lease) => new() { Name = B(name), Key = B(key), Rev = rev, Lease = lease };

    private static RangeRequest All(string prefix) => new() { Key = B(prefix), RangeEnd = ByteString.CopyFrom([.. B(prefix).Span[..^1], (byte)(B(prefix)[^1] + 1)]) };
}
