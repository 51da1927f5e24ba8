using Loom.Store.Alarms;
using Loom.Store.Auth;
using Loom.Store.Leases;
using Loom.Store.Model;

namespace Loom.Store.Mvcc;

/// <summary>One new version of one key.</summary>
internal readonly record struct Change(
    RecordKey At, bool IsTombstone, ReadOnlyMemory<byte> Key, ReadOnlyMemory<byte> Value, long Create, long Version, long Lease)
{
    public KeyValue ToPair() => new(Key, Value, Create, At.Main, Version, Lease);
}

/// <summary>What becomes of one lease.</summary>
/// <param name="Term">As it is from now on; of one that ends, as it was.</param>
/// <param name="Ends">It is no more.</param>
internal readonly record struct LeaseChange(LeaseTerm Term, bool Ends);

/// <summary>
/// What one entry changes: staged by the machine, installed by the applier afterwards. Nothing of it is visible before.
/// Invariant: all changes have main = <see cref="BeginRevision"/> + 1 and subs 0, 1, 2 …; a batch adds exactly one revision, or none when it changes nothing.
/// </summary>
internal sealed class WriteBatch
{
    private readonly List<Change> changes = [];
    private readonly List<LeaseChange> leases = [];

    // Newest change per key, in key order. Made at the first look-up only: most entries never look.
    private SortedDictionary<ReadOnlyMemory<byte>, int>? newest;

    /// <summary>The store's revision before the entry.</summary>
    public long BeginRevision { get; private set; }

    /// <summary>A new compacted revision, or null.</summary>
    public long? CompactTo { get; private set; }

    /// <summary>The alarms from now on, or null when they stay as they are.</summary>
    public AlarmTable? Alarms { get; private set; }

    /// <summary>Users and roles from now on, or null when they stay as they are.</summary>
    public AuthState? Auth { get; private set; }

    /// <summary>A token that is given, by the digest of its text; null: none. It is no part of the state: each member keeps its own.</summary>
    public (ReadOnlyMemory<byte> Digest, KnownToken Token)? Token { get; private set; }

    /// <summary>Leases that are granted, renewed or ended. They add no revision.</summary>
    public ReadOnlySpan<LeaseChange> Leases => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(leases);

    public IReadOnlyList<Change> Changes => changes;

    public ReadOnlySpan<Change> Span => System.Runtime.InteropServices.CollectionsMarshal.AsSpan(changes);

    /// <summary>The revision after the changes so far.</summary>
    public long Revision => changes.Count > 0 ? BeginRevision + 1 : BeginRevision;

    /// <summary>Empties it for the next entry.</summary>
    public void Begin(long revision)
    {
        Discard();
        BeginRevision = revision;
    }

    /// <summary>Drops everything staged: the entry was refused.</summary>
    public void Discard()
    {
        changes.Clear();
        leases.Clear();
        newest = null;
        CompactTo = null;
        Alarms = null;
        Auth = null;
        Token = null;

        // One huge delete must not pin its memory for ever.
        if (changes.Capacity > 65_536)
        {
            changes.Capacity = 0;
        }
    }

    public void Put(ReadOnlyMemory<byte> key, ReadOnlyMemory<byte> value, long create, long version, long lease) =>
        Add(new Change(NextKey(), false, key, value, create, version, lease));

    public void Delete(ReadOnlyMemory<byte> key) => Add(new Change(NextKey(), true, key, default, 0, 0, 0));

    public void Compact(long revision) => CompactTo = revision;

    public void SetLease(in LeaseTerm term) => leases.Add(new LeaseChange(term, Ends: false));

    public void EndLease(in LeaseTerm term) => leases.Add(new LeaseChange(term, Ends: true));

    public void SetAlarms(AlarmTable alarms) => Alarms = alarms;

    public void SetAuth(AuthState auth) => Auth = auth;

    public void GiveToken(ReadOnlyMemory<byte> digest, KnownToken token) => Token = (digest, token);

    /// <summary>Newest staged change of a key.</summary>
    public bool TryFind(ReadOnlyMemory<byte> key, out Change change)
    {
        if (changes.Count > 0 && Newest().TryGetValue(key, out int at))
        {
            change = changes[at];
            return true;
        }

        change = default;
        return false;
    }

    /// <summary>Newest staged change of each key in a range, in key order.</summary>
    public List<Change> Find(KeyRange range)
    {
        List<Change> found = [];
        if (changes.Count > 0)
        {
            foreach ((ReadOnlyMemory<byte> key, int at) in Newest())
            {
                if (range.Contains(key.Span))
                {
                    found.Add(changes[at]);
                }
            }
        }

        return found;
    }

    private RecordKey NextKey() => new(BeginRevision + 1, changes.Count);

    private void Add(in Change change)
    {
        changes.Add(change);
        newest?[change.Key] = changes.Count - 1;
    }

    private SortedDictionary<ReadOnlyMemory<byte>, int> Newest()
    {
        if (newest is null)
        {
            newest = new(ByteOrder.Instance);
            for (int i = 0; i < changes.Count; i++)
            {
                newest[changes[i].Key] = i;
            }
        }

        return newest;
    }
}
