using Loom.Raft.Replica;
using Loom.Simulation.Checkers;
using Loom.Simulation.Engine;
using Loom.Store;
using Loom.Store.Applying;
using Loom.Store.Model;
using Loom.Store.Mvcc;
using Loom.Store.Reads;
using Loom.Store.Watch;

namespace Loom.Simulation.Cluster;

/// <summary>The store's own machine over the in-memory twin of the record store, with the checker between it and the applier.</summary>
internal sealed class SimMachine : IReplicatedStateMachine, IDisposable
{
    private readonly LoomStateMachine machine;
    private readonly LocalReads reads;
    private readonly ApplyLog log;
    private readonly int member;
    private readonly SimFollower[] followers;
    private int turns;

    public SimMachine(ApplyLog log, WatchChecker watches, int member, MemoryRecordDirectory records)
    {
        // So little that watches fall behind all the time.
        machine = new LoomStateMachine(new KeyIndex(), records, new WatchLimits(RecentRevisions: 8, RecentBytes: 4096, Queued: 2));
        followers = [new(machine, watches, member, 0), new(machine, watches, member, 1)];
        this.log = log;
        this.member = member;
        reads = new LocalReads(machine);
    }

    public StateCheckpoint? Open(StateOrigin origin) => machine.Open(origin);

    public void ApplyBatch(ReadOnlySpan<CommittedEntry> entries, Span<ApplyResult> results)
    {
        machine.ApplyBatch(entries, results);
        for (int i = 0; i < entries.Length; i++)
        {
            log.Applied(member, entries[i], results[i]);
        }

        // The dispatcher is late now and then.
        if (++turns % 4 > 0)
        {
            machine.Watches.Dispatch(turns % 7 + 1);
        }

        foreach (SimFollower follower in followers)
        {
            follower.Turn();
        }
    }

    /// <summary>Watches read everything that there is.</summary>
    public void FinishWatches()
    {
        while (machine.Watches.Dispatch(1000))
        {
        }

        foreach (SimFollower follower in followers)
        {
            follower.Finish();
        }
    }

    /// <summary>A full disk (S6).</summary>
    public Func<bool> HasSpace { get; init; } = () => true;

    public bool TryReserve(ReadOnlySpan<ReadOnlyMemory<byte>> payloads, out string? obstacle)
    {
        obstacle = HasSpace() ? null : "the disk is full";
        return obstacle is null;
    }

    public bool BeginCheckpoint(StatePosition at, Action<Exception?> completed) => machine.BeginCheckpoint(at, completed);

    public IStateSnapshot CaptureSnapshot(StatePosition at) => machine.CaptureSnapshot(at);

    public IStateInstallation BeginInstall(StatePosition at, ReadOnlyMemory<byte> header) => machine.BeginInstall(at, header);

    public void Switch(IStateInstallation installation) => machine.Switch(installation);

    public void Condemn() => machine.Condemn();

    public void Close() => machine.Close();

    public void Dispose() => machine.Dispose();

    public RangeResult Range(RangeQuery query)
    {
        LoomErrorCode refusal = reads.Range(query, out RangeResult? result);
        return refusal == 0 ? result! : throw new SimulationFailure("answer", $"n{member} refuses {query} with {refusal}");
    }
}
