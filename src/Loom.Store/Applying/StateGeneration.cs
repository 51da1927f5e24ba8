using Loom.Store.Alarms;
using Loom.Store.Auth;
using Loom.Store.Mvcc;

namespace Loom.Store.Applying;

/// <summary>
/// Index and records that belong together, and what of them is published. An installed snapshot replaces it as a whole (S3): readers take one and stay in it,
/// so none of them ever looks up a key of one state in the records of another.
/// </summary>
internal sealed class StateGeneration(IKeyIndex index, IRecordStore records, MachineState state, ContentSums content)
{
    private long publishedRevision = state.Revision;
    private long publishedCompact = state.CompactRevision;
    private AlarmTable publishedAlarms = state.Alarms;
    private PublishedAuth publishedAuth = new(state.Auth, state.Revision);
    private long recordsHeld = content.Records;
    private long bytesHeld = content.Bytes;
    private volatile bool condemned;

    public IKeyIndex Index => index;

    public IRecordStore Records => records;

    public long Revision => Volatile.Read(ref publishedRevision);

    public long CompactRevision => Volatile.Read(ref publishedCompact);

    /// <summary>Of the state; only another state has another.</summary>
    public long Epoch { get; } = state.Epoch;

    /// <summary>The alarms that are active.</summary>
    public AlarmTable Alarms => Volatile.Read(ref publishedAlarms);

    /// <summary>Users and roles, and from which revision on they are what they are.</summary>
    public PublishedAuth Auth => Volatile.Read(ref publishedAuth);

    /// <summary>
    /// What readers see now, at a revision that was not compacted when it was complete. A compaction that is published between the two reads may stand above the revision;
    /// such a view would refuse a read of the newest revision, and a reader that asks "was anything compacted since?" would take its trimmed answer for whole. It is taken again:
    /// the revision is published before a compaction of it, so the second try sees it.
    /// </summary>
    public ReadView View
    {
        get
        {
            while (true)
            {
                long seen = Revision;
                long compacted = CompactRevision;
                if (compacted <= seen)
                {
                    return new ReadView(index, records, seen, compacted);
                }
            }
        }
    }

    /// <summary>Sizes for status: what is in use is what the state holds, whatever of the rest was trimmed and given back so far.</summary>
    public StoreSizes Sizes => new(records.SizeBytes, Volatile.Read(ref bytesHeld) + (Volatile.Read(ref recordsHeld) * records.RecordOverheadBytes));

    /// <summary>Known to be wrong (S5): neither read nor given to anybody.</summary>
    public bool IsCondemned => condemned;

    /// <summary>Empty because it is only the place of a snapshot that is to come (S4): the log begins after it, so nothing is ever applied to it.</summary>
    public bool IsAwaited { get; init; }

    /// <summary>Any thread.</summary>
    public void Condemn() => condemned = true;

    /// <summary>The writer, after the index was published.</summary>
    public void Publish(long revision, AlarmTable alarms, PublishedAuth auth, in ContentSums sums)
    {
        // Before the revision: who sees what was written after a permission was taken away must not find it still there (LocalReads has no lock).
        Volatile.Write(ref publishedAuth, auth);
        Volatile.Write(ref publishedRevision, revision);
        Volatile.Write(ref publishedAlarms, alarms);
        Volatile.Write(ref recordsHeld, sums.Records);
        Volatile.Write(ref bytesHeld, sums.Bytes);
    }

    /// <summary>The writer, after the revision and before the first key is trimmed: a reader that misses something asks for this afterwards (Reads/LocalReads).</summary>
    public void PublishCompaction(long to) => Volatile.Write(ref publishedCompact, to);
}

/// <summary>Users and roles as they are published.</summary>
/// <param name="State">They.</param>
/// <param name="Since">The revision at which they became so: a read by them must not be of an older state, in which what they permit now may not have been.</param>
internal sealed record PublishedAuth(AuthState State, long Since);

/// <summary>Bytes of all records, and of those that are still needed.</summary>
internal readonly record struct StoreSizes(long TotalBytes, long InUseBytes);
