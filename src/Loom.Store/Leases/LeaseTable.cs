using Loom.Raft;
using Loom.Raft.Diagnostics;
using Loom.Store.Auth;
using Loom.Store.Mvcc;

namespace Loom.Store.Leases;

/// <summary>
/// The leases and the keys that are attached to them: a value of the replicated state, changed by entries alone (T4). The applier's; others read it under its lock.
/// Invariant: a key is attached to a lease exactly when its newest version is alive and names that lease; so a lease that ends takes its keys along, and a table can be built again from
/// terms and records.
/// </summary>
internal sealed class LeaseTable : ILeaseKeys
{
    /// <summary>A snapshot's manifest holds all terms, and is read only up to 32 MiB; this is 12 MB of it.</summary>
    public const int MaxLeases = 500_000;

    private readonly Dictionary<long, Lease> leases = [];
    private readonly SortedSet<Lease> byExpiry = new(ByExpiry);
    private readonly Dictionary<ReadOnlyMemory<byte>, Lease> byKey = new(KeyEquality.Instance);

    public int Count => leases.Count;

    /// <summary>How many keys are attached to any lease.</summary>
    public int Keys => byKey.Count;

    /// <summary>When the next one is due, in cluster time; long.MaxValue: there is none.</summary>
    public long NextExpiry => byExpiry.Min?.Term.Expiry ?? long.MaxValue;

    /// <summary>A state that was loaded: its terms, and the lease of each live key that has one.</summary>
    /// <exception cref="RaftException">Corruption: they do not belong together.</exception>
    public static LeaseTable Load(LeaseTerms terms, List<(ReadOnlyMemory<byte> Key, long Lease)> attached)
    {
        var table = new LeaseTable();
        foreach (LeaseTerm term in terms.All)
        {
            if (table.leases.ContainsKey(term.Id))
            {
                throw LeaseTerms.Damaged($"lease {term.Id:x} is in it twice");
            }

            table.Set(term);
        }

        foreach ((ReadOnlyMemory<byte> key, long lease) in attached)
        {
            if (!table.leases.ContainsKey(lease))
            {
                throw LeaseTerms.Damaged($"a key of {key.Length} bytes has lease {lease:x}, which is not in it");
            }

            table.Attach(key, lease);
        }

        return table;
    }

    public bool TryFind(long id, out LeaseTerm term)
    {
        bool found = leases.TryGetValue(id, out Lease? lease);
        term = found ? lease!.Term : default;
        return found;
    }

    /// <summary>The keys of a lease, in key order.</summary>
    public IReadOnlyCollection<ReadOnlyMemory<byte>> KeysOf(long id) =>
        KeysIn(id) is { } keys ? keys : [];

    /// <inheritdoc/>
    public bool MayWriteKeys(long lease, PermissionRanges ranges) => KeysIn(lease) is not { } keys || ranges.MayWriteAll(keys);

    /// <inheritdoc/>
    public bool MayReadKeys(long lease, PermissionRanges ranges) => KeysIn(lease) is not { } keys || ranges.MayReadAll(keys);

    /// <summary>The lease of a key, or 0.</summary>
    public long LeaseOf(ReadOnlyMemory<byte> key) => byKey.TryGetValue(key, out Lease? lease) ? lease.Term.Id : 0;

    /// <summary>A lease is granted, or renewed.</summary>
    public void Set(in LeaseTerm term)
    {
        if (!leases.TryGetValue(term.Id, out Lease? lease))
        {
            leases.Add(term.Id, lease = new Lease());
        }
        else
        {
            byExpiry.Remove(lease);
        }

        lease.Term = term;
        byExpiry.Add(lease);
    }

    /// <summary>A lease ends. Its keys were deleted before, by the same entry.</summary>
    public void End(long id)
    {
        if (leases.Remove(id, out Lease? lease))
        {
            byExpiry.Remove(lease);
            if (lease.Keys is { Count: > 0 })
            {
                throw new InvalidOperationException($"lease {id:x} ends with {lease.Keys.Count} keys that live on");
            }
        }
    }

    /// <summary>A version of a key is written that names this lease; 0: none, or the key is deleted.</summary>
    public void Write(ReadOnlyMemory<byte> key, long id)
    {
        // Most states have no lease, and pay this much for them.
        if (id == 0 && byKey.Count == 0)
        {
            return;
        }

        if (byKey.TryGetValue(key, out Lease? old))
        {
            if (old.Term.Id == id)
            {
                return;
            }

            byKey.Remove(key);
            old.Keys!.Remove(key);
        }

        if (id != 0)
        {
            // A copy: the key is a part of an entry, which it would keep in memory as a whole.
            Attach(key.ToArray(), id);
        }
    }

    /// <summary>Leases whose time is over, the one due longest first: no more than so many, and with no more keys than so many together; at least one.</summary>
    public List<long> Due(long clusterTime, int maxLeases, int maxKeys)
    {
        List<long> due = [];
        long keys = 0;
        foreach (Lease lease in byExpiry)
        {
            keys += lease.Keys?.Count ?? 0;
            if (!lease.Term.IsDue(clusterTime) || due.Count == maxLeases || (keys > maxKeys && due.Count > 0))
            {
                break;
            }

            due.Add(lease.Term.Id);
        }

        return due;
    }

    /// <summary>All terms as they are now, in order.</summary>
    public LeaseTerms Terms()
    {
        if (leases.Count == 0)
        {
            return LeaseTerms.Empty;
        }

        var terms = new LeaseTerm[leases.Count];
        int count = 0;
        foreach (Lease lease in byExpiry)
        {
            terms[count++] = lease.Term;
        }

        return new LeaseTerms(terms);
    }

    private SortedSet<ReadOnlyMemory<byte>>? KeysIn(long id) => leases.TryGetValue(id, out Lease? lease) ? lease.Keys : null;

    private void Attach(ReadOnlyMemory<byte> key, long id)
    {
        Lease lease = leases[id];
        (lease.Keys ??= new SortedSet<ReadOnlyMemory<byte>>(ByteOrder.Instance)).Add(key);
        byKey.Add(key, lease);
    }

    private static readonly Comparer<Lease> ByExpiry = Comparer<Lease>.Create(static (x, y) => LeaseTerms.Compare(x.Term, y.Term));

    private sealed class Lease
    {
        public LeaseTerm Term { get; set; }

        public SortedSet<ReadOnlyMemory<byte>>? Keys { get; set; }
    }

    /// <summary>Only for look-ups: nothing is ever enumerated in its order (T4).</summary>
    private sealed class KeyEquality : IEqualityComparer<ReadOnlyMemory<byte>>
    {
        public static readonly KeyEquality Instance = new();

        public bool Equals(ReadOnlyMemory<byte> x, ReadOnlyMemory<byte> y) => x.Span.SequenceEqual(y.Span);

        public int GetHashCode(ReadOnlyMemory<byte> key) => (int)Crc32C.Append(Crc32C.Start, key.Span);
    }
}
