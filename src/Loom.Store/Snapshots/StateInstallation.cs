using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Store.Leases;
using Loom.Store.Mvcc;

namespace Loom.Store.Snapshots;

/// <summary>A state that was collected whole: what the machine switches to.</summary>
internal sealed record InstalledState(StateHeader Header, IKeyIndex Index, IRecordStore Records, StateContent Content, LeaseTable Leases);

/// <summary>
/// Collects a state beside the present one (S3): records into a store of their own, keys into an index that is built from the order in which they come. What comes in is verified by <see cref="StateIntake"/>.
/// </summary>
internal sealed class StateInstallation : IStateInstallation, IStateSink
{
    private readonly StateHeader header;
    private readonly IRecordInstallation records;
    private readonly Action close;
    private readonly StateIntake intake;
    private readonly KeyIndex.Loader index = new();
    private readonly ContentLoader content = new();
    private readonly List<(ReadOnlyMemory<byte> Key, long Lease)> attached = [];
    private InstalledState? completed;
    private long lease;
    private bool failed;
    private bool disposed;

    public StateInstallation(StatePosition at, StateHeader header, IRecordInstallation records, Action close)
    {
        At = at;
        this.header = header;
        this.records = records;
        this.close = close;
        intake = new StateIntake(header, this);
    }

    /// <inheritdoc/>
    public StatePosition At { get; }

    /// <inheritdoc/>
    public void Write(StateChunk chunk)
    {
        ArgumentNullException.ThrowIfNull(chunk);
        if (completed is not null || failed || disposed)
        {
            throw new InvalidOperationException("a chunk came after the end of an installation");
        }

        // What the store puts around the smallest record is three times as much.
        if (!records.Records.TryReserve(4L * chunk.Bytes.Length, chunk.Bytes.Length, out string? obstacle))
        {
            throw new RaftException(RaftErrorCode.NoSpace, $"There is no space for the state that is being collected: {obstacle}");
        }

        try
        {
            intake.Take(chunk);
        }
        catch (LoomException fault)
        {
            // A part of the chunk may be in.
            failed = true;
            throw SnapshotFaults.Translate(fault);
        }
    }

    /// <inheritdoc/>
    public void Complete()
    {
        if (completed is not null)
        {
            return;
        }

        intake.Complete();
#if LOOM_MUTATIONS
        if (Loom.Raft.Diagnostics.Mutations.On("S2-forget-lease-keys"))
        {
            attached.Clear();
        }
#endif
        LeaseTable leases = LeaseTable.Load(header.State.Leases, attached);
        records.Complete(new StoredState(At, header.Encode()));
        completed = new InstalledState(header, index.Complete(), records.Records, content.Complete(), leases);
    }

    /// <summary>The applier's thread: puts the whole in force, on the disk too, and gives it over. From here on it belongs to the machine.</summary>
    public InstalledState Take()
    {
        InstalledState state = completed ?? throw new InvalidOperationException("an installation that is not complete cannot be switched to");
        records.Adopt();
        return state;
    }

    /// <summary>The state that it replaced is closed.</summary>
    public void DeleteReplaced() => records.DeleteReplaced();

    /// <inheritdoc/>
    public void Dispose()
    {
        if (disposed)
        {
            return;
        }

        disposed = true;
        records.Dispose();
        close();
    }

    void IStateSink.Take(in StateRecord record)
    {
        records.Records.Append(record.At, record.Bytes.Span, At.Index);

        // The newest comes last, and a tombstone has none.
        lease = RecordCodec.ReadHeader(record.At, record.Bytes.Span).Lease;
    }

    void IStateSink.EndKey(ReadOnlySpan<byte> key, ReadOnlySpan<KeyVersion> versions)
    {
        index.Add(key, versions);
        content.Add(versions);
        if (lease != 0)
        {
            attached.Add((key.ToArray(), lease));
        }
    }
}
