using System.Globalization;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Maintenance: what this node answers now; the rest is Unimplemented.</summary>
internal sealed class MaintenanceService(ILoomStore store, HeaderSource headers) : Wire.Maintenance.MaintenanceBase
{
    /// <summary>Local, like etcd's: a member without a quorum answers it too, and says so among the errors.</summary>
    public override Task<Wire.StatusResponse> Status(Wire.StatusRequest request, ServerCallContext context)
    {
        LoomStatus status = store.Status;
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

        return Task.FromResult(response);
    }

    public override async Task<Wire.HashKVResponse> HashKV(Wire.HashKVRequest request, ServerCallContext context)
    {
        try
        {
            HashResult result = await store.HashAsync(new Revision(request.Revision), context.CancellationToken).ConfigureAwait(false);
            return new Wire.HashKVResponse { Header = headers.At(result.Revision), Hash = result.Hash, CompactRevision = result.CompactRevision };
        }
        catch (LoomException exception)
        {
            throw EtcdError.From(exception);
        }
    }

    /// <summary>Asks through the quorum as etcd does, so that what was raised before the call is in the answer.</summary>
    public override async Task<Wire.AlarmResponse> Alarm(Wire.AlarmRequest request, ServerCallContext context)
    {
        try
        {
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
        catch (LoomException exception)
        {
            throw EtcdError.From(exception);
        }
    }

    /// <summary>Only the leader hands over, as etcd's; its answer has no header.</summary>
    public override async Task<Wire.MoveLeaderResponse> MoveLeader(Wire.MoveLeaderRequest request, ServerCallContext context)
    {
        LoomStatus status = store.Status;
        if (status.Raft.Leader != status.Raft.MemberId)
        {
            throw EtcdError.Refused(LoomErrorCode.NotLeader);
        }

        if (request.TargetID == 0)
        {
            throw EtcdError.Refused(LoomErrorCode.BadMember);
        }

        try
        {
            await store.TransferLeadershipAsync(request.TargetID, CancellationToken.None).ConfigureAwait(false);
            return new Wire.MoveLeaderResponse();
        }
        catch (LoomException exception)
        {
            throw EtcdError.From(exception);
        }
    }
}
