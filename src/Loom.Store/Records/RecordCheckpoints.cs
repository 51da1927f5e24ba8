using FASTER.core;
using Loom.Raft;
using Loom.Raft.Log;
using Loom.Store.Mvcc;
using RecordSession = FASTER.core.ClientSession<Loom.Store.Records.StoredKey, FASTER.core.SpanByte, long, Loom.Store.Records.FoundRecord, int, Loom.Store.Records.RecordFunctions>;

namespace Loom.Store.Records;

/// <summary>
/// Checkpoints of a store, one at a time: FASTER's log-only fold-over up to where the applier stands, everything of it flushed, then our checkpoint file, which alone makes it count.
/// </summary>
/// <remarks>
/// Order (H4, H15): fence → pages written → files flushed → directory flushed → checkpoint file → older checkpoint files and files of records deleted that only they needed.
/// FASTER's own commit is kept in memory (<see cref="FasterCommits"/>), and it deletes nothing (<see cref="RecordDevice.RemoveSegment"/>), so whatever fails here leaves the checkpoint before whole.
/// </remarks>
internal sealed class RecordCheckpoints
{
    private readonly FasterKV<StoredKey, SpanByte> store;
    private readonly RecordDevice device;
    private readonly FasterCommits commits;
    private readonly RecordFaults faults;
    private readonly CheckpointTarget target;
    private readonly int fenceMilliseconds;
    private readonly RecordThreads thread;
    private readonly RecordSession session;
    private int underWay;
    private long durableEnd;
    private volatile bool closed;

    /// <param name="store">Recovered, if it is to be.</param>
    /// <param name="device">Its log.</param>
    /// <param name="commits">What it commits to.</param>
    /// <param name="faults">The store's.</param>
    /// <param name="target">Where the checkpoint files go.</param>
    /// <param name="fenceMilliseconds">How long FASTER may take to begin one.</param>
    public RecordCheckpoints(FasterKV<StoredKey, SpanByte> store, RecordDevice device, FasterCommits commits, RecordFaults faults, CheckpointTarget target, int fenceMilliseconds)
    {
        this.fenceMilliseconds = fenceMilliseconds;
        this.store = store;
        this.device = device;
        this.commits = commits;
        this.faults = faults;
        this.target = target;
        thread = new("loom-records-checkpoint", 1, faults);
        session = store.For(new RecordFunctions()).NewSession<RecordFunctions>();
    }

    /// <summary>From the applier's <see cref="Begin"/> until it has succeeded or failed.</summary>
    public bool IsUnderWay => Volatile.Read(ref underWay) != 0;

    /// <summary>Everything in the log below this address is on the disk for good: the end of the newest checkpoint.</summary>
    public long DurableEnd
    {
        get => Volatile.Read(ref durableEnd);
        set => Volatile.Write(ref durableEnd, value);
    }

    /// <summary>Called after each, from its thread; must only signal.</summary>
    public Action? Ended { get; set; }

    /// <summary>The applier's thread, between two entries. False: one is under way.</summary>
    public bool Begin(RecordSession writer, StoredState state, Action<Exception?> completed)
    {
        if (Interlocked.Exchange(ref underWay, 1) != 0)
        {
            return false;
        }

        long version = store.SystemState.Version;
        if (!store.TryInitiateHybridLogCheckpoint(out Guid token, CheckpointType.FoldOver))
        {
            throw Fault(new InvalidOperationException("FASTER refuses to begin a checkpoint while none is under way"));
        }

#if LOOM_MUTATIONS
        if (!Raft.Diagnostics.Mutations.On("S-skip-fence"))
#endif
        Fence(writer, version);
        thread.Post(() => Finish(version, token, state, completed));
        return true;
    }

    /// <summary>Waits until none is under way. False: it takes longer.</summary>
    public bool Await(long untilTicks)
    {
        while (Volatile.Read(ref underWay) != 0)
        {
            if (Environment.TickCount64 >= untilTicks)
            {
                return false;
            }

            Thread.Sleep(1);
        }

        return true;
    }

    /// <summary>False: it hangs in the disk, and everything stays open that it may use.</summary>
    public bool Close(long untilTicks)
    {
        closed = true;
        if (!thread.Stop(untilTicks))
        {
            return false;
        }

        if (!faults.Any)
        {
            session.Dispose();
        }

        return true;
    }

    /// <summary>
    /// H8: TryInitiate returns while appends still belong to the checkpoint. It ends for good when FASTER has taken the address of its end; until then the applier appends nothing.
    /// </summary>
    private void Fence(RecordSession writer, long version)
    {
        long until = Environment.TickCount64 + fenceMilliseconds;
        while (!IsCut(store.SystemState, version))
        {
            writer.Refresh();
            if (Environment.TickCount64 > until)
            {
                throw Fault(new TimeoutException($"FASTER did not begin a checkpoint in {fenceMilliseconds} ms"));
            }

            Thread.Yield();
        }
    }

    private static bool IsCut(SystemState state, long version) => state.Version > version && state.Phase is Phase.WAIT_FLUSH or Phase.PERSISTENCE_CALLBACK or Phase.REST;

    private void Finish(long version, Guid token, StoredState state, Action<Exception?> completed)
    {
        Exception? failure = null;
        try
        {
            AwaitPages(version);
            byte[] log = commits.Take(token);
            device.Flush();

            // Whatever a write reported to FASTER, only now it is known that all of them reached the disk.
            faults.ThrowIfAny();
            target.Write(state, log, device);
            DurableEnd = LogExtent.Of(device.FileName, log).End;
        }
        catch (NoSpaceException e)
        {
            // Only the checkpoint file asks for space that was not taken before. The one before it is in force as it was, and so is the store.
            failure = new RaftException(RaftErrorCode.NoSpace, $"There is no space for a checkpoint: {e.Message}", inner: e);
        }
#pragma warning disable CA1031 // Whatever it was, there is no checkpoint, and the replica ends.
        catch (Exception e)
#pragma warning restore CA1031
        {
            failure = e;
            faults.Report(e);
        }

        Volatile.Write(ref underWay, 0);
        completed(failure);
        Ended?.Invoke();
    }

    /// <summary>Drives FASTER's phases: an idle store has nobody else who does. It has no limit of its own: who asked for the checkpoint knows how long a disk may take (N3).</summary>
    private void AwaitPages(long version)
    {
        while (store.SystemState is var state && !(state.Version > version && state.Phase == Phase.REST))
        {
            session.Refresh();
            faults.ThrowIfAny();
            if (closed)
            {
                throw Faults.Closed();
            }

            Thread.Sleep(1);
        }
    }

    private Exception Fault(Exception fault)
    {
        faults.Report(fault);
        return fault;
    }
}
