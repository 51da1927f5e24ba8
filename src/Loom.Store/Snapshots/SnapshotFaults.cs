using Loom.Raft;

namespace Loom.Store.Snapshots;

/// <summary>Failures of the store's own parts → the exceptions that the port to Raft promises.</summary>
internal static class SnapshotFaults
{
    public static RaftException Translate(LoomException fault) => new(
        fault.Code switch
        {
            LoomErrorCode.Corruption => RaftErrorCode.Corruption,
            LoomErrorCode.Stopped => RaftErrorCode.Stopped,
            _ => RaftErrorCode.Failed,
        },
        fault.Message,
        inner: fault);
}
