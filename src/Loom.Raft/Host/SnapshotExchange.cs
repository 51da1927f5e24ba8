using Loom.Raft.Replica;
using Loom.Raft.Snapshots;
using Loom.Raft.Transport;
using Microsoft.Extensions.Logging;

namespace Loom.Raft.Host;

/// <summary>Joins a replica with its snapshots (S4): gives its state to whoever dials a bulk lane, on the connections' threads. What it wants of the loop goes through the inbox.</summary>
internal sealed class SnapshotExchange : ISnapshotOrigin
{
    private readonly Inbox inbox;
    private readonly StatusBoard board;
    private readonly SnapshotSource source;

    public SnapshotExchange(Inbox inbox, StatusBoard board, SnapshotPace pace, Func<long> now, ILogger log)
    {
        (this.inbox, this.board) = (inbox, board);
        source = new SnapshotSource(this, pace, new SourceLimits(), now, log);
    }

    /// <summary>A connection's own thread.</summary>
    public void Serve(BulkConnection connection) => source.Serve(connection);

    /// <summary>Nothing of the machine is in use any more by then; false: something is stuck in it.</summary>
    public bool Stop(long until) => source.Close(until);

    SnapshotRefusal? ISnapshotOrigin.Refuse(long minIndex)
    {
        RaftNodeStatus status = board.Status;
        if (status.Failure is { } failure) return new SnapshotRefusal(RefusalReason.Failed, 0, $"it has failed: {failure}");
        if (status.QuarantinedAt > 0) return new SnapshotRefusal(RefusalReason.Failed, 0, $"its own state differs from that of the majority at entry {status.QuarantinedAt}");
        return status.AppliedIndex >= minIndex ? null : new SnapshotRefusal(RefusalReason.TooOld, 0, $"it has applied entry {status.AppliedIndex}, entry {minIndex} or later is needed");
    }

    void ISnapshotOrigin.Capture(Action<CapturedSnapshot?> captured) => inbox.Post(new CaptureRequested(captured));
}
