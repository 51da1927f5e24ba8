using System.Globalization;
using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Maintenance: each method is one translation and one call.</summary>
internal sealed class MaintenanceService(Callers callers, HeaderSource headers, EtcdLimits limits) : Wire.Maintenance.MaintenanceBase
{
    /// <summary>As etcd's.</summary>
    private const int SnapshotBlobBytes = 32 * 1024;

    /// <summary>Local, like etcd's: a member without a quorum answers it too, and says so among the errors.</summary>
    public override async Task<Wire.StatusResponse> Status(Wire.StatusRequest request, ServerCallContext context)
    {
        LoomStatus status = (await callers.RequireUserAsync(context).ConfigureAwait(false)).Status;
        var response = new Wire.StatusResponse
        {
            Header = headers.At(status.Revision),
            Version = EtcdVersion.Server,
            DbSize = status.SizeBytes,
            DbSizeInUse = status.SizeInUseBytes,
            Leader = status.Raft.Leader.Value,
            RaftIndex = (ulong)status.Raft.CommitIndex,
            RaftTerm = (ulong)status.Raft.Term,
            RaftAppliedIndex = (ulong)status.Raft.AppliedIndex,
            IsLearner = status.Raft.Role == "learner",
        };
        if (status.Raft.Leader.IsNone || status.Raft.NoQuorum)
        {
            response.Errors.Add(EtcdError.NoLeader);
        }

        if (status.Raft.Failure is { } failure)
        {
            response.Errors.Add(failure);
        }

        // Go's text of the message, as etcd puts it there.
        response.Errors.Add(AlarmTranslation.All(status.Alarms).Select(alarm => string.Create(CultureInfo.InvariantCulture, $"memberID:{alarm.MemberID} alarm:{AlarmTranslation.Name(alarm.Alarm)} ")));

        return response;
    }

    public override async Task<Wire.HashKVResponse> HashKV(Wire.HashKVRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        HashResult result = await store.HashAsync(new Revision(request.Revision), context.CancellationToken).ConfigureAwait(false);
        return new Wire.HashKVResponse { Header = headers.At(result.Revision), Hash = result.Hash, CompactRevision = result.CompactRevision };
    }

    /// <summary>etcd hashes its database file, which no other member has byte by byte; here it is the hash of the history, equal on all members at one revision.</summary>
    public override async Task<Wire.HashResponse> Hash(Wire.HashRequest request, ServerCallContext context)
    {
        HashResult result = await callers.For(context).HashAsync(default, context.CancellationToken).ConfigureAwait(false);
        return new Wire.HashResponse { Header = headers.At(result.Revision), Hash = result.Hash };
    }

    /// <summary>Nothing is to be done: space that compaction freed is given back as the node runs. etcd's answer has no header either.</summary>
    public override async Task<Wire.DefragmentResponse> Defragment(Wire.DefragmentRequest request, ServerCallContext context)
    {
        await callers.For(context).Auth.RequireRootAsync(CancellationToken.None).ConfigureAwait(false);
        return new Wire.DefragmentResponse();
    }

    public override Task<Wire.DowngradeResponse> Downgrade(Wire.DowngradeRequest request, ServerCallContext context) => throw new RpcException(new Status(
        StatusCode.Unimplemented, "loom: there is no older version that a cluster could be taken back to; backup and restore lead from one version to another"));

    /// <summary>Asks through the quorum as etcd does, so that what was raised before the call is in the answer.</summary>
    public override async Task<Wire.AlarmResponse> Alarm(Wire.AlarmRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        if (request.Action is not (Wire.AlarmRequest.Types.AlarmAction.Activate or Wire.AlarmRequest.Types.AlarmAction.Deactivate))
        {
            Revision revision = await store.ReadBarrierAsync(CancellationToken.None).ConfigureAwait(false);
            return new Wire.AlarmResponse { Header = headers.At(revision), Alarms = { AlarmTranslation.Only(request.Alarm, store.Status.Alarms) } };
        }

        var response = new Wire.AlarmResponse { Header = headers.WithoutRevision() };
        bool raises = request.Action == Wire.AlarmRequest.Types.AlarmAction.Activate;
        foreach (AlarmKind kind in AlarmTranslation.Kinds(request.Alarm, raises))
        {
            AlarmResult result = raises
                ? await store.RaiseAlarmAsync(kind, request.MemberID, CancellationToken.None).ConfigureAwait(false)
                : await store.DisarmAlarmAsync(kind, request.MemberID, CancellationToken.None).ConfigureAwait(false);
            response.Header = headers.At(result.Revision);
            if (result.Alarm is { } alarm && response.Alarms.Count == 0)
            {
                response.Alarms.Add(AlarmTranslation.Of(alarm));
            }
        }

        return response;
    }

    /// <summary>
    /// This member's state as one archive (docs/data-files.md), made while it is sent; one blob is in memory at a time, and who reads slowly slows only this call down. Like etcd's it is not
    /// linearizable, and a member without a quorum gives what it has. Two at a time.
    /// </summary>
    public override async Task Snapshot(Wire.SnapshotRequest request, IServerStreamWriter<Wire.SnapshotResponse> responseStream, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        await using LoomBackupStream backup = await store.OpenBackupAsync(context.CancellationToken).ConfigureAwait(false);
        byte[] blob = new byte[SnapshotBlobBytes], next = new byte[SnapshotBlobBytes];
        int length = await backup.ReadAtLeastAsync(blob, blob.Length, throwOnEndOfStream: false, context.CancellationToken).ConfigureAwait(false);
        while (length > 0)
        {
            // The last one must say so: whoever reads by remaining bytes would end too early, or never.
            int following = await backup.ReadAtLeastAsync(next, next.Length, throwOnEndOfStream: false, context.CancellationToken).ConfigureAwait(false);
            long remaining = following == 0 ? 0 : Math.Max(following, backup.EstimatedBytes - backup.Position + following);
            await SendAsync(responseStream, new Wire.SnapshotResponse { Blob = ByteString.CopyFrom(blob, 0, length), RemainingBytes = (ulong)remaining }, context.CancellationToken).ConfigureAwait(false);
            (blob, next, length) = (next, blob, following);
        }
    }

    /// <summary>A reader that has stopped would hold one of two places, and history that compaction should free. Ending the write resets its stream: it finds the call cancelled.</summary>
    private async Task SendAsync(IServerStreamWriter<Wire.SnapshotResponse> stream, Wire.SnapshotResponse message, CancellationToken cancellationToken)
    {
        using var patience = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        patience.CancelAfter(limits.SnapshotPatience);
        try
        {
            await stream.WriteAsync(message, patience.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!cancellationToken.IsCancellationRequested)
        {
            throw new RpcException(new Status(StatusCode.DeadlineExceeded, $"the snapshot was not read on for {limits.SnapshotPatience.TotalSeconds} s"));
        }
    }

    /// <summary>Only the leader hands over, as etcd's; its answer has no header.</summary>
    public override async Task<Wire.MoveLeaderResponse> MoveLeader(Wire.MoveLeaderRequest request, ServerCallContext context)
    {
        ILoomStore store = await callers.RequireRootAsync(context).ConfigureAwait(false);
        LoomStatus status = store.Status;
        if (status.Raft.Leader != status.Raft.MemberId)
        {
            throw EtcdError.Refused(LoomErrorCode.NotLeader);
        }

        if (request.TargetID == 0)
        {
            throw EtcdError.Refused(LoomErrorCode.BadMember);
        }

        await store.TransferLeadershipAsync(request.TargetID, CancellationToken.None).ConfigureAwait(false);
        return new Wire.MoveLeaderResponse();
    }
}
