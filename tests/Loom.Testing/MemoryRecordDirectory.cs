using Loom.Raft;
using Loom.Raft.Replica;
using Loom.Store.Mvcc;

namespace Loom.Testing;

/// <summary>
/// The twin of the records directory for the simulator and for tests: what a member's disk keeps of its records, with the two newest checkpoints.
/// A process opens it, and everything that is not in a completed checkpoint is gone with the process. When a checkpoint completes is the driver's to say (<see cref="Later"/>).
/// </summary>
internal sealed class MemoryRecordDirectory : IRecordDirectory
{
    private readonly List<Kept> checkpoints = [];
    private Kept? installed;
    private bool underWay;
    private bool condemned;

    /// <summary>Runs what the disk has to do, later, or never if the process does not live that long. By default at once.</summary>
    public Action<Action> Later { get; set; } = static act => act();

    /// <summary>The newest checkpoint is damaged on the disk: the next open finds out. Nothing happens without one.</summary>
    public void SpoilNewest()
    {
        if (checkpoints.Count > 0)
        {
            checkpoints[^1] = checkpoints[^1] with { IsDamaged = true };
        }
    }

    /// <summary>No checkpoint can be used any more.</summary>
    public void SpoilAll()
    {
        for (int i = 0; i < checkpoints.Count; i++)
        {
            checkpoints[i] = checkpoints[i] with { IsDamaged = true };
        }
    }

    /// <summary>Log indexes of the checkpoints that are whole, oldest first.</summary>
    public IReadOnlyList<long> Whole => [.. checkpoints.Where(kept => !kept.IsDamaged).Select(kept => kept.State.At.Index)];

    public OpenedRecords Open(StateOrigin origin, Func<StoredState, IRecordRebuild> rebuild)
    {
        underWay = false;
        if (installed is { } whole && whole.State.At.Index == origin.LogBase && (condemned || checkpoints.Count == 0 || checkpoints[^1].State.At.Index < origin.LogBase))
        {
            Adopt(whole);
        }

        installed = null;
        checkpoints.RemoveAll(kept => condemned || kept.IsDamaged || kept.State.At.Index < origin.LogBase || origin.StartOver);
        if (checkpoints.Count > 0)
        {
            return Open(checkpoints[^1], rebuild(checkpoints[^1].State));
        }

        return origin.LogBase == 0 || origin.StartOver
            ? new OpenedRecords(new MemoryRecordStore(this), null, 0)
            : throw new SnapshotNeededException(origin.LogBase, "no checkpoint is whole");
    }

    public void Condemn() => condemned = true;

    public IRecordInstallation BeginInstall() => new Installation(this);

    /// <summary>The applier's: the records as they are now; what is appended while the disk is at work is not in it.</summary>
    internal bool Begin(MemoryRecordStore records, StoredState state, Action<Exception?> completed)
    {
        if (underWay)
        {
            return false;
        }

        underWay = true;
        Kept taken = new(state, records.All());
        Later(() =>
        {
            underWay = false;
            if (checkpoints.Count > 0 && checkpoints[^1].State.At.Index > state.At.Index)
            {
                // An installed state took the place of the one that this checkpoint is of.
                completed(null);
                return;
            }
#if LOOM_MUTATIONS
            taken = Loom.Raft.Diagnostics.Mutations.On("S-skip-fence") ? new(state, records.All()) : taken;
#endif
            checkpoints.RemoveAll(kept => kept.State.At.Index == state.At.Index);
            checkpoints.Add(taken);
            if (checkpoints.Count > 2)
            {
                checkpoints.RemoveAt(0);
            }

            completed(null);
        });
        return true;
    }

    private OpenedRecords Open(Kept kept, IRecordRebuild rebuild)
    {
        MemoryRecordStore records = new(this);
        foreach ((RecordKey key, byte[] record) in kept.Records)
        {
            records.Append(key, record, kept.State.At.Index);
            rebuild.Add(key, record);
        }

        rebuild.Finish();
        return new OpenedRecords(records, kept.State, checkpoints.Count > 1 ? checkpoints[^2].State.At.Index : 0);
    }

    private void Adopt(Kept whole)
    {
        checkpoints.Clear();
        checkpoints.Add(whole);
        installed = null;
        condemned = false;
    }

    private sealed record Kept(StoredState State, KeyValuePair<RecordKey, byte[]>[] Records, bool IsDamaged = false);

    private sealed class Installation(MemoryRecordDirectory directory) : IRecordInstallation
    {
        private readonly MemoryRecordStore records = new(directory);
        private Kept? whole;
        private bool adopted;

        public IRecordStore Records => records;

        public void Complete(StoredState state)
        {
            whole = new Kept(state, records.All());
            directory.installed = whole;
        }

        public void Adopt()
        {
            directory.Adopt(whole!);
            adopted = true;
        }

        public void DeleteReplaced()
        {
        }

        public void Dispose()
        {
            if (!adopted)
            {
                records.Dispose();
            }
        }
    }
}
