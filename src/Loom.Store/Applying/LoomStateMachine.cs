using System.Diagnostics;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Alarms;
using Loom.Store.Commands;
using Loom.Store.Machine;
using Loom.Store.Mvcc;
using Loom.Store.Reads;

namespace Loom.Store.Applying;

/// <summary>
/// The store's side of the port between consensus and meaning: decode, decide, install, publish, for each batch of entries.
/// The only writer of index and records. Order inside a batch of entries: records and index of every entry first, then the index is published, then the revision;
/// a reader that sees revision R therefore finds all of R and nothing above it (R3).
/// </summary>
internal sealed class LoomStateMachine : IReplicatedStateMachine, IDisposable
{
    // Keys that one batch of entries may trim on the way, so that compaction advances under load without a driver of its own.
    private const int TrimPerBatch = 256;

    // Taken per batch by the applier and per step by whoever drives compaction; nobody holds it for more than one of these.
    private readonly Lock writer = new();
    private readonly Func<IRecordStore> openRecords;
    private readonly BatchHash hash = new();
    private StagedView staged;
    private Compaction compaction;
    private IRecordStore records = NoRecords.Instance;
    private byte[] scratch = new byte[4096];
    private long appliedRevision = 1;
    private long appliedCompact = -1;
    private AlarmTable appliedAlarms = AlarmTable.Empty;
    private long publishedRevision = 1;
    private long publishedCompact = -1;
    private AlarmTable publishedAlarms = AlarmTable.Empty;
    private long appendedRecords;
    private int closed;

    /// <summary>A machine whose records are opened with it: only then the directory is known to be this node's alone.</summary>
    public LoomStateMachine(IKeyIndex index, Func<IRecordStore> openRecords)
    {
        Index = index;
        this.openRecords = openRecords;
        staged = new StagedView(index, records.WriterReads);
        compaction = new Compaction(index, records);
    }

    public LoomStateMachine(IKeyIndex index, IRecordStore records)
        : this(index, () => records)
    {
    }

    public IKeyIndex Index { get; }

    public IRecordStore Records => Volatile.Read(ref records);

    public RevisionWaiters Waiters { get; } = new();

    /// <summary>Called on the applier's thread when a compaction begins; must only signal.</summary>
    public Action? CompactionBegan { get; set; }

    public long Revision => Volatile.Read(ref publishedRevision);

    public long CompactRevision => Volatile.Read(ref publishedCompact);

    /// <summary>The alarms that are active, as published. Any thread.</summary>
    public AlarmTable Alarms => Volatile.Read(ref publishedAlarms);

    /// <summary>What a checkpoint or snapshot must hold beside the records. Between two batches, on the applier's thread.</summary>
    public MachineState State => new(appliedRevision, appliedCompact, appliedAlarms);

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
                long revision = Revision;
                long compacted = CompactRevision;
                if (compacted <= revision)
                {
                    return new ReadView(Index, Records, revision, compacted);
                }
            }
        }
    }

    /// <summary>Sizes for status: what is in use is the share of records that compaction has not removed.</summary>
    public StoreSizes Sizes
    {
        get
        {
            long appended = Volatile.Read(ref appendedRecords);
            long total = Records.SizeBytes;
            return new StoreSizes(total, appended == 0 ? 0 : (long)(total * ((double)(appended - compaction.RemovedRecords) / appended)));
        }
    }

    /// <summary>State is rebuilt by replaying the log: records start empty.</summary>
    public StateCheckpoint? Open(StateOrigin origin)
    {
        IRecordStore opened = openRecords();
        staged = new StagedView(Index, opened.WriterReads);
        compaction = new Compaction(Index, opened);
        Volatile.Write(ref records, opened);
        return null;
    }

    public void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results)
    {
        lock (writer)
        {
#if LOOM_MUTATIONS
            if (Raft.Diagnostics.Mutations.On("R3-torn-publish"))
            {
                Index.Publish();
            }
#endif
            for (int i = 0; i < entries.Length; i++)
            {
                results[i] = Apply(entries[i]);
            }

            Publish();
            compaction.Step(TrimPerBatch);
        }
    }

    public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed) => throw new NotSupportedException("Comes with checkpoints.");

    public IStateSnapshot CaptureSnapshot(StatePosition at) => throw new NotSupportedException("Comes with checkpoints.");

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => throw new NotSupportedException("Comes with checkpoints.");

    public void Switch(IStateInstallation installation) => throw new NotSupportedException("Comes with checkpoints.");

    /// <summary>
    /// The only place where the records go: whoever calls this knows that the applier has ended. A node whose applier hangs never calls it, and the records stay,
    /// in use, until the process ends.
    /// </summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref closed, 1) == 0)
        {
            Waiters.Close();
            Records.Dispose();
        }
    }

    /// <summary>For who drives a machine without a node.</summary>
    public void Dispose() => Close();

    /// <summary>Trims up to <paramref name="budget"/> keys of the newest compaction. False: nothing is left to do.</summary>
    public bool TrimStep(int budget)
    {
        lock (writer)
        {
            return compaction.Step(budget);
        }
    }

    /// <summary>The last compaction whose records are gone.</summary>
    public long TrimmedRevision => compaction.Done;

    private ApplyResult Apply(in CommittedEntry entry)
    {
        if (entry.Kind != EntryKind.Command)
        {
            throw new InvalidOperationException($"Entry {entry.Index} has kind {entry.Kind}: it is none of the store's.");
        }

        staged.Begin(appliedRevision, appliedCompact, appliedAlarms);
        Decision decision = Decide(entry);
        hash.Begin();
        Install(entry.Index);
        return new ApplyResult
        {
            Outcome = decision.Outcome,
            Hash = hash.End(staged.Batch, decision.Outcome),
            Result = decision.Result,
        };
    }

    private Decision Decide(in CommittedEntry entry)
    {
        Command command;
        try
        {
            command = CommandReader.Decode(entry.Payload);
        }
        catch (CommandFormatException exception) when (!exception.IsUnknownVersion)
        {
            // Every replica refuses the same bytes alike. An unknown version is another matter: a newer member may understand it, so this one must stop (D9).
            return Decision.Refuse(LoomErrorCode.InvalidRequest, appliedRevision);
        }

        return StoreMachine.Decide(command, staged, entry.WantsResult);
    }

    private void Install(long index)
    {
        WriteBatch batch = staged.Batch;
        foreach (ref readonly Change change in batch.Span)
        {
            int size = RecordCodec.Size(change);
            if (size > scratch.Length)
            {
                scratch = new byte[Math.Max(size, scratch.Length * 2)];
            }

            Span<byte> record = scratch.AsSpan(0, size);
            RecordCodec.Write(change, record);
            records.Append(change.At, record, index);
            hash.Add(change.At, record);
            if (change.IsTombstone)
            {
                Index.Delete(change.Key.Span, change.At);
            }
            else
            {
                Index.Put(change.Key.Span, change.At, change.Create, change.Version);
            }
        }

        Volatile.Write(ref appendedRecords, appendedRecords + batch.Changes.Count);
        appliedRevision = batch.Revision;
        if (batch.CompactTo is { } revision)
        {
            appliedCompact = revision;
        }

        appliedAlarms = batch.Alarms ?? appliedAlarms;
    }

    private void Publish()
    {
        Debug.Assert(appliedCompact <= appliedRevision, "compacted ≤ current (L9)");
#if LOOM_MUTATIONS
        if (!Raft.Diagnostics.Mutations.On("R3-torn-publish"))
#endif
        Index.Publish();
        Volatile.Write(ref publishedRevision, appliedRevision);
        Volatile.Write(ref publishedAlarms, appliedAlarms);
        if (appliedCompact != publishedCompact)
        {
            // Before the first key is trimmed: a reader that misses something asks for this afterwards (Reads/LocalReads).
            Volatile.Write(ref publishedCompact, appliedCompact);
            compaction.Begin(appliedCompact);
            CompactionBegan?.Invoke();
        }

        Waiters.Release(appliedRevision);
    }
}

/// <summary>Bytes of all records, and of those that are still needed (an estimate).</summary>
internal readonly record struct StoreSizes(long TotalBytes, long InUseBytes);
