using Loom.Raft.Replica;

namespace Loom.Store.Mvcc;

/// <summary>Records that last as long as the process: every life starts with an empty store, and the log is replayed from its start.</summary>
internal sealed class EmptyRecords(Func<IRecordStore> open, Func<IRecordStore> openBeside) : IRecordDirectory
{
    public OpenedRecords Open(StateOrigin origin, Func<StoredState, IRecordRebuild> rebuild) => new(open(), null, 0);

    public IRecordInstallation BeginInstall() => new Installation(openBeside());

    public void Condemn()
    {
        // Nothing outlives the process anyway.
    }

    private sealed class Installation(IRecordStore records) : IRecordInstallation
    {
        private bool adopted;

        public IRecordStore Records => records;

        public void Complete(StoredState state)
        {
        }

        public void Adopt() => adopted = true;

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
