using System.Diagnostics;
using Loom.Raft.Consensus;
using Loom.Raft.Replica;
using Loom.Store.Alarms;
using Loom.Store.Auth;
using Loom.Store.Commands;
using Loom.Store.Leases;
using Loom.Store.Machine;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Store.Snapshots;
using Loom.Store.Watch;

namespace Loom.Store.Applying;

/// <summary>
/// The store's side of the port between consensus and meaning: decode, decide, install, publish, for each batch of entries.
/// The only writer of index and records. Order inside a batch of entries: records and index of every entry first, then the index is published, then the revision;
/// a reader that sees revision R therefore finds all of R and nothing above it (R3).
/// </summary>
internal sealed class LoomStateMachine : IReplicatedStateMachine, ILeaseKeys, IDisposable
{
    // Keys that one batch of entries may trim on the way, so that compaction advances under load without a driver of its own.
    private const int TrimPerBatch = 256;

    // Taken per batch by the applier, per step by whoever drives compaction, and to open and close a capture; nobody holds it for more than one of these.
    private readonly Lock writer = new();
    private readonly IRecordDirectory directory;
    private readonly OpenCaptures captures = new();
    private readonly BatchHash hash = new();
    private StateGeneration current;
    private StagedView staged;
    private Compaction compaction;
    private GenerationOwner owner;
    private StateContent content = new();
    private byte[] scratch = new byte[4096];
    private long appliedRevision = 1;
    private long appliedCompact = -1;
    private AlarmTable appliedAlarms = AlarmTable.Empty;
    private PublishedAuth appliedAuth = new(AuthState.Initial, 1);
    private LeaseTable leases = new();
    private int publishedLeases;
    private long publishedNextExpiry = long.MaxValue;
    private long epoch;
    private long clusterTime;
    private Func<bool>? hasState;
    private int installing;
    private int closed;

    /// <summary>A machine whose records are opened with it: only then the directory is known to be this node's alone.</summary>
    public LoomStateMachine(IKeyIndex index, IRecordDirectory directory, WatchLimits? watchLimits = null)
    {
        this.directory = directory;
        current = new StateGeneration(index, NoRecords.Instance, MachineState.Initial, default);
        staged = new StagedView(index, NoRecords.Instance, leases);
        compaction = new Compaction(index, NoRecords.Instance);
        owner = new GenerationOwner(writer, current, compaction);
        Watches = new WatchHub(current, watchLimits ?? new WatchLimits());
    }

    /// <summary>A machine over a store that starts empty and keeps nothing. <paramref name="newRecords"/>: a store for a state that is installed.</summary>
    public LoomStateMachine(IKeyIndex index, Func<IRecordStore> openRecords, Func<IRecordStore>? newRecords = null)
        : this(index, new EmptyRecords(openRecords, newRecords ?? openRecords))
    {
    }

    public LoomStateMachine(IKeyIndex index, IRecordStore records)
        : this(index, () => records)
    {
    }

    /// <summary>Index, records and what is published of them. A reader takes it once and stays in it: a snapshot may replace it at any time, and then its records close.</summary>
    public StateGeneration Current => Volatile.Read(ref current);

    /// <summary>What readers take: <see cref="Current"/>, unless its state is known to be wrong (S5), or it is none yet (S4).</summary>
    public StateGeneration Serving => Current switch
    {
        { IsCondemned: true } => throw Faults.Condemned(),
        StateGeneration state => IsAwaitedIn(state) ? throw Faults.StateAwaited() : state,
    };

    /// <summary>This member has no state yet (S4): what is here is only the place of one that is to come, or nobody's.</summary>
    public bool IsAwaited => IsAwaitedIn(Current);

    /// <summary>Asked until it says yes: whether this member has ever had a state. One whose cluster has not formed, or that has not found its cluster again, has an empty one that is nobody's (S4).</summary>
    public Func<bool>? HasState
    {
        set => Volatile.Write(ref hasState, value);
    }

    public IKeyIndex Index => Current.Index;

    public IRecordStore Records => Current.Records;

    public RevisionWaiters Waiters { get; } = new();

    /// <summary>Whoever watches.</summary>
    public WatchHub Watches { get; }

    /// <summary>Called when a compaction begins, on the applier's thread, or may go on, on any thread; must only signal.</summary>
    public Action? CompactionBegan { get; set; }

    public long Revision => Current.Revision;

    public long CompactRevision => Current.CompactRevision;

    /// <summary>The alarms that are active, as published. Any thread.</summary>
    public AlarmTable Alarms => Current.Alarms;

    /// <summary>The tokens that this member knows.</summary>
    public AuthTokens Tokens { get; } = new();

    /// <summary>What a checkpoint or snapshot must hold beside the records. Between two batches, on the applier's thread.</summary>
    public MachineState State => new(appliedRevision, appliedCompact, appliedAlarms, leases.Terms(), appliedAuth.State, epoch);

    /// <summary>Reads the leases as they are applied and published, under the applier's lock: any thread, and not for long. The delegate must not keep the table.</summary>
    public T ReadLeases<T>(Func<LeaseTable, long, T> read)
    {
        lock (writer)
        {
            return read(leases, appliedRevision);
        }
    }

    /// <inheritdoc/>
    bool ILeaseKeys.MayWriteKeys(long lease, PermissionRanges ranges) => ReadLeases((leases, _) => leases.MayWriteKeys(lease, ranges));

    /// <inheritdoc/>
    bool ILeaseKeys.MayReadKeys(long lease, PermissionRanges ranges) => ReadLeases((leases, _) => leases.MayReadKeys(lease, ranges));

    /// <summary>How many leases there are, as published. Any thread.</summary>
    public int Leases => Volatile.Read(ref publishedLeases);

    /// <summary>When the next one is due, in cluster time; long.MaxValue: there is none. Any thread.</summary>
    public long NextLeaseExpiry => Volatile.Read(ref publishedNextExpiry);

    /// <summary>What readers see now.</summary>
    public ReadView View => Current.View;

    /// <summary>Sums over the state (S5). The applier's thread, between two batches.</summary>
    public ContentSums Content => content.Sums;

    /// <inheritdoc/>
    public StateCheckpoint? Open(StateOrigin origin)
    {
        StateHeader? kept = null;
        IndexRebuild? rebuilt = null;
        OpenedRecords opened = directory.Open(origin, stored =>
        {
            kept = StateHeader.Decode(stored.State.Span);
            return rebuilt = new IndexRebuild(kept.State.Revision, kept.State.CompactRevision, kept.Content, kept.State.Leases);
        });
        if (opened.State is not { } found)
        {
            Hold(new(new(0, default, MachineState.Initial), Index, opened.Records, new(), new()), isAwaited: origin.LogBase > 0);
            return null;
        }

        Hold(new(kept!, rebuilt!.Index, opened.Records, rebuilt.Content.Complete(), rebuilt.Leases));

        // What the process that ended had not given back yet. Nobody else asks for it: where nothing is written, nothing is applied either.
        opened.Records.Reclaim(owner);
        return new StateCheckpoint(found.At, opened.PreviousIndex);
    }

    public void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results)
    {
        lock (writer)
        {
#if LOOM_MUTATIONS
            if (Raft.Diagnostics.Mutations.On("R3-torn-publish"))
            {
                current.Index.Publish();
            }
#endif
            for (int i = 0; i < entries.Length; i++)
            {
                results[i] = Apply(entries[i]);
            }

            Publish();
            clusterTime = entries[^1].ClusterTime;
            if (captures.Expire(clusterTime))
            {
                CompactionBegan?.Invoke();
            }

            Trim(TrimPerBatch);
        }
    }

    /// <inheritdoc/>
    /// <remarks>
    /// What a delete writes is not known from its payload: it is small, and comes out of what the record store has in reserve; one that is larger than that waits inside of it.
    /// </remarks>
    public bool TryReserve(ReadOnlySpan<ReadOnlyMemory<byte>> payloads, out string? obstacle)
    {
        long bytes = 0, largest = 0;
        foreach (ReadOnlyMemory<byte> payload in payloads)
        {
            long most = RecordSpace.Of(payload.Span);
            bytes += most;
            largest = Math.Max(largest, Math.Min(most, payload.Length + RecordSpace.PerRecord));
        }

        return current.Records.TryReserve(bytes, largest, out obstacle);
    }

    /// <inheritdoc/>
    public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed)
    {
        lock (writer)
        {
            return current.Records.BeginCheckpoint(new StoredState(at, new StateHeader(Index.LiveKeys, content.Sums, State).Encode()), completed);
        }
    }

    /// <inheritdoc/>
    public bool WantsCheckpoint => current.Records.WantsCheckpoint;

    public IStateSnapshot CaptureSnapshot(StatePosition at)
    {
        lock (writer)
        {
            StateSnapshot snapshot = new(at, current, new(Index.LiveKeys, content.Sums, State), CloseCapture);
            captures.Add(snapshot, clusterTime);
            return snapshot;
        }
    }

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header)
    {
        StateHeader described = StateHeader.Decode(header.Span);
        if (Interlocked.Exchange(ref installing, 1) != 0)
        {
            throw new InvalidOperationException("a state is being installed already");
        }

        try
        {
            return new StateInstallation(at, described, directory.BeginInstall(), () => Volatile.Write(ref installing, 0));
        }
        catch
        {
            Volatile.Write(ref installing, 0);
            throw;
        }
    }

    public void Switch(IStateInstallation installation)
    {
        StateInstallation collected = (StateInstallation)installation;
        StateGeneration old = current;
        InstalledState next = collected.Take();
#if LOOM_MUTATIONS
        if (Raft.Diagnostics.Mutations.On("S2-newest-only"))
        {
            byte[]? cursor = null;
            while (!next.Index.Compact(next.Header.State.Revision, ref cursor, 1000, []))
            {
            }
        }
#endif
        lock (writer)
        {
            captures.EndAll("the state that it captured was replaced by a newer one");
            Hold(next);
        }

        // Whoever still reads there finds it closed, and reads again in the new one.
        old.Records.Dispose();
        collected.DeleteReplaced();
    }

    /// <inheritdoc/>
    public void Condemn()
    {
        Current.Condemn();
        Watches.Condemn();
        directory.Condemn();
    }

    /// <summary>
    /// The only place where the records go: whoever calls this knows that the applier has ended. A node whose applier hangs never calls it, and the records stay,
    /// in use, until the process ends.
    /// </summary>
    public void Close()
    {
        if (Interlocked.Exchange(ref closed, 1) == 0)
        {
            Waiters.Close();
            Watches.Close();
            lock (writer)
            {
                captures.EndAll("this member closes");
            }

            if (!Records.Close())
            {
                throw new IOException("a thread of the record store hangs in the disk and may still write in its directory");
            }
        }
    }

    /// <summary>For who drives a machine without a node.</summary>
    public void Dispose() => Close();

    /// <summary>Trims up to <paramref name="budget"/> keys of the newest compaction. False: nothing is left to do, or a capture holds it up; <see cref="CompactionBegan"/> says when to come back.</summary>
    public bool TrimStep(int budget)
    {
        lock (writer)
        {
            return Trim(budget);
        }
    }

    /// <summary>The last compaction whose records are gone.</summary>
    public long TrimmedRevision => compaction.Done;

    /// <summary>Takes a whole state. It is as S2 says: there is nothing to trim.</summary>
    private void Hold(InstalledState state, bool isAwaited = false)
    {
        (appliedRevision, appliedCompact, appliedAlarms, _, AuthState auth, epoch) = state.Header.State;
        appliedAuth = new PublishedAuth(auth, appliedRevision);
        content = state.Content;
        leases = state.Leases;
        staged = new StagedView(state.Index, state.Records.WriterReads, leases);
        compaction = new Compaction(state.Index, state.Records, appliedCompact);
        StateGeneration next = new(state.Index, state.Records, state.Header.State, content.Sums) { IsAwaited = isAwaited };
        owner = new GenerationOwner(writer, next, compaction);
        Volatile.Write(ref current, next);
        PublishLeases();
        Waiters.Release(appliedRevision);
        Watches.Replace(next);
    }

    private bool MayTrim =>
#if LOOM_MUTATIONS
        Raft.Diagnostics.Mutations.On("S2-trim-under-capture") ||
#endif
        !captures.Any;

    private bool Trim(int budget)
    {
        bool isMore = MayTrim && compaction.Step(budget);
        current.Records.Reclaim(owner);
        return isMore;
    }

    private void CloseCapture(StateSnapshot snapshot)
    {
        bool last;
        lock (writer)
        {
            last = captures.Remove(snapshot);
        }

        if (last)
        {
            CompactionBegan?.Invoke();
        }
    }

    private ApplyResult Apply(in CommittedEntry entry)
    {
        if (entry.Kind != EntryKind.Command)
        {
            throw new InvalidOperationException($"Entry {entry.Index} has kind {entry.Kind}: it is none of the store's.");
        }

        staged.Begin(appliedRevision, appliedCompact, appliedAlarms, appliedAuth.State, entry.ClusterTime, entry.Term, entry.Index);
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
            current.Records.Append(change.At, record, index);
            hash.Add(change.At, record);
            Install(change, RecordMark.Of(change.At, record));
            leases.Write(change.Key, change.Lease);
        }

        foreach (ref readonly LeaseChange change in batch.Leases)
        {
            if (change.Ends)
            {
                leases.End(change.Term.Id);
            }
            else
            {
                leases.Set(change.Term);
            }
        }

        Watches.Stage(batch.Span);
        appliedRevision = batch.Revision;
        if (batch.CompactTo is { } revision)
        {
            appliedCompact = revision;
            content.Compact(revision);
        }

        appliedAlarms = batch.Alarms ?? appliedAlarms;
        if (batch.Auth is { } auth)
        {
            appliedAuth = new PublishedAuth(auth, appliedRevision);
        }

        if (batch.Token is { } given)
        {
            Tokens.Add(given.Digest, given.Token);
        }
    }

    private void Install(in Change change, in RecordMark mark)
    {
        IKeyIndex index = current.Index;
        content.Add(change.At, change.IsTombstone, mark, index.TryGetNewest(change.Key.Span, out KeyHead old) ? old : null);
        if (change.IsTombstone)
        {
            index.Delete(change.Key.Span, change.At, mark);
        }
        else
        {
            index.Put(change.Key.Span, change.At, change.Create, change.Version, mark);
        }
    }

    private void Publish()
    {
        Debug.Assert(appliedCompact <= appliedRevision, "compacted ≤ current (L9)");
#if LOOM_MUTATIONS
        if (!Raft.Diagnostics.Mutations.On("R3-torn-publish"))
#endif
        current.Index.Publish();
        current.Publish(appliedRevision, appliedAlarms, appliedAuth, content.Sums);
        PublishLeases();
        if (appliedCompact != current.CompactRevision)
        {
            current.PublishCompaction(appliedCompact);
            compaction.Begin(appliedCompact);
            CompactionBegan?.Invoke();
        }

        Waiters.Release(appliedRevision);
        Watches.Publish(appliedRevision);
    }

    private void PublishLeases()
    {
        Volatile.Write(ref publishedLeases, leases.Count);
        Volatile.Write(ref publishedNextExpiry, leases.NextExpiry);
    }

    private bool IsAwaitedIn(StateGeneration state)
    {
        if (state.IsAwaited || Volatile.Read(ref hasState) is not { } has)
        {
            return state.IsAwaited;
        }

        if (!has())
        {
            return true;
        }

        Volatile.Write(ref hasState, null);
        return false;
    }
}
