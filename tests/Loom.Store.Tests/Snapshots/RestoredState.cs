using Loom.Raft.Replica;
using Loom.Store.Applying;
using Loom.Store.Mvcc;
using Loom.Store.Snapshots;
using Loom.Testing;

namespace Loom.Store.Tests.Snapshots;

/// <summary>A backup's state in a machine in memory, to be asked.</summary>
internal static class RestoredState
{
    /// <summary>etcd's hash of the history at a revision.</summary>
    public static uint HashOf(string path, long revision)
    {
        using LoomStateMachine machine = Open(path);
        return HistoryHash.Compute(machine.Index, machine.Records, revision, machine.CompactRevision, default);
    }

    public static LoomStateMachine Open(string path)
    {
        using FileStream file = File.OpenRead(path);
        using BackupReader reader = new(file);
        LoomStateMachine machine = new(new KeyIndex(), () => new MemoryRecordStore());
        machine.Open(default);
        using IStateInstallation installation = machine.BeginInstall(reader.Description.At, reader.Description.Header);
        while (reader.Next() is { } chunk)
        {
            installation.Write(chunk);
        }

        installation.Complete();
        machine.Switch(installation);
        return machine;
    }
}
