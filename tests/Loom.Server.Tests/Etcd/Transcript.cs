using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Core.Interceptors;
using Loom.Server.Etcd.Protos;
using Locks = Loom.Server.Etcd.Protos.Locks;

namespace Loom.Server.Tests.Etcd;

/// <summary>Runs a list of requests against a server and writes down what it answered, with everything masked that may differ between two new, empty stores.</summary>
internal static partial class Transcript
{
    private static readonly JsonFormatter Json = new(JsonFormatter.Settings.Default.WithPreserveProtoFieldNames(true).WithIndentation("  "));

    public static async Task<string> RecordAsync(CallInvoker invoker, IEnumerable<(string Title, IMessage Request)> script)
    {
        var text = new StringBuilder();
        string token = "";
        CallInvoker asCaller = invoker.Intercept(metadata =>
        {
            if (token.Length > 0)
            {
                metadata.Add("token", token);
            }

            return metadata;
        });
        foreach ((string title, IMessage request) in script)
        {
            text.Append("## ").Append(title).Append('\n');
            text.Append(await AnswerAsync(asCaller, request, found => token = found)).Append("\n\n");
        }

        return text.ToString();
    }

    internal static async Task<string> AnswerAsync(CallInvoker invoker, IMessage request, Action<string> show)
    {
        try
        {
            IMessage answer = request as AuthenticateResponse ?? await CallAsync(invoker, request);
            if (answer is AuthenticateResponse login)
            {
                show(login.Token);
            }

            return Mask(Json.Format(answer));
        }
        catch (RpcException exception)
        {
            return string.Create(CultureInfo.InvariantCulture, $"error {exception.StatusCode}: {exception.Status.Detail}");
        }
    }

    internal static async Task<IMessage> CallAsync(CallInvoker invoker, IMessage request)
    {
        var options = new CallOptions(deadline: DateTime.UtcNow.AddSeconds(20));
        var kv = new KV.KVClient(invoker);
        var maintenance = new Maintenance.MaintenanceClient(invoker);
        var lease = new Lease.LeaseClient(invoker);
        var auth = new Auth.AuthClient(invoker);
        return request switch
        {
            RangeRequest range => await kv.RangeAsync(range, options),
            PutRequest put => await kv.PutAsync(put, options),
            DeleteRangeRequest delete => await kv.DeleteRangeAsync(delete, options),
            TxnRequest txn => await kv.TxnAsync(txn, options),
            CompactionRequest compaction => await kv.CompactAsync(compaction, options),
            HashKVRequest hash => await maintenance.HashKVAsync(hash, options),
            MoveLeaderRequest move => await maintenance.MoveLeaderAsync(move, options),
            LeaseGrantRequest grant => await lease.LeaseGrantAsync(grant, options),
            LeaseRevokeRequest revoke => await lease.LeaseRevokeAsync(revoke, options),
            LeaseTimeToLiveRequest look => WithoutRemaining(await lease.LeaseTimeToLiveAsync(look, options)),
            LeaseLeasesRequest list => await lease.LeaseLeasesAsync(list, options),
            LeaseKeepAliveRequest renewal => await RenewAsync(lease, renewal, options),
            AlarmRequest alarm => WithoutHeader(await maintenance.AlarmAsync(alarm, options)),
            HashRequest hash => await maintenance.HashAsync(hash, options),
            DefragmentRequest one => await maintenance.DefragmentAsync(one, options),
            SnapshotRequest snapshot => await FirstAsync(maintenance.Snapshot(snapshot, options)),
            MemberListRequest list => await new Cluster.ClusterClient(invoker).MemberListAsync(list, options),
            AuthStatusRequest one => await auth.AuthStatusAsync(one, options),
            StatusRequest status => OnlyErrors(await maintenance.StatusAsync(status, options)),
            Locks.LockRequest one => await new Locks.Lock.LockClient(invoker).LockAsync(one, options),
            Locks.UnlockRequest one => await new Locks.Lock.LockClient(invoker).UnlockAsync(one, options),
            CampaignRequest one => await new Election.ElectionClient(invoker).CampaignAsync(one, options),
            ProclaimRequest one => await new Election.ElectionClient(invoker).ProclaimAsync(one, options),
            LeaderRequest one => await new Election.ElectionClient(invoker).LeaderAsync(one, options),
            ResignRequest one => await new Election.ElectionClient(invoker).ResignAsync(one, options),
            AuthenticateRequest login => await auth.AuthenticateAsync(login, options),
            AuthEnableRequest one => await auth.AuthEnableAsync(one, options),
            AuthDisableRequest one => await auth.AuthDisableAsync(one, options),
            AuthUserAddRequest one => await auth.UserAddAsync(one, options),
            AuthUserGetRequest one => await auth.UserGetAsync(one, options),
            AuthUserListRequest one => await auth.UserListAsync(one, options),
            AuthUserDeleteRequest one => await auth.UserDeleteAsync(one, options),
            AuthUserChangePasswordRequest one => await auth.UserChangePasswordAsync(one, options),
            AuthUserGrantRoleRequest one => await auth.UserGrantRoleAsync(one, options),
            AuthUserRevokeRoleRequest one => await auth.UserRevokeRoleAsync(one, options),
            AuthRoleAddRequest one => await auth.RoleAddAsync(one, options),
            AuthRoleGetRequest one => await auth.RoleGetAsync(one, options),
            AuthRoleListRequest one => await auth.RoleListAsync(one, options),
            AuthRoleDeleteRequest one => await auth.RoleDeleteAsync(one, options),
            AuthRoleGrantPermissionRequest one => await auth.RoleGrantPermissionAsync(one, options),
            AuthRoleRevokePermissionRequest one => await auth.RoleRevokePermissionAsync(one, options),
            _ => throw new ArgumentException($"no call takes {request.Descriptor.Name}"),
        };
    }

    private static async Task<SnapshotResponse> FirstAsync(AsyncServerStreamingCall<SnapshotResponse> call)
    {
        using (call)
        {
            await call.ResponseStream.MoveNext(CancellationToken.None);
            return call.ResponseStream.Current;
        }
    }

    /// <summary>One renewal on a stream of its own, which a half-close ends.</summary>
    private static async Task<LeaseKeepAliveResponse> RenewAsync(Lease.LeaseClient client, LeaseKeepAliveRequest request, CallOptions options)
    {
        using AsyncDuplexStreamingCall<LeaseKeepAliveRequest, LeaseKeepAliveResponse> call = client.LeaseKeepAlive(options);
        await call.RequestStream.WriteAsync(request);
        await call.ResponseStream.MoveNext(CancellationToken.None);
        LeaseKeepAliveResponse answer = call.ResponseStream.Current;
        await call.RequestStream.CompleteAsync();
        return await call.ResponseStream.MoveNext(CancellationToken.None) ? throw new InvalidOperationException("a second answer") : answer;
    }

    /// <summary>What is left differs by the moment at which it is asked; and etcd's keys come in any order.</summary>
    private static LeaseTimeToLiveResponse WithoutRemaining(LeaseTimeToLiveResponse response) => new()
    {
        Header = response.Header,
        ID = response.ID,
        TTL = Math.Sign(response.TTL),
        GrantedTTL = response.GrantedTTL,
        Keys = { response.Keys.OrderBy(key => key.ToStringUtf8(), StringComparer.Ordinal) },
    };

    /// <summary>3.4, which the record is from, sends none; 3.5 does, and so do we. Alarms have no order in etcd.</summary>
    private static AlarmResponse WithoutHeader(AlarmResponse response) => new() { Alarms = { response.Alarms.OrderBy(alarm => (alarm.Alarm, alarm.MemberID)) } };

    /// <summary>Everything else in it is each server's own.</summary>
    private static StatusResponse OnlyErrors(StatusResponse response) => new() { Errors = { response.Errors.Order(StringComparer.Ordinal) } };

    /// <summary>Ids and terms are each server's own. That they are there, and not zero, is kept.</summary>
    private static string Mask(string json) => Tokens().Replace(Ids().Replace(json, "\"$1\": *"), "\"token\": *");

    [GeneratedRegex("\"token\": \"[a-zA-Z]{16}\\.[1-9][0-9]*\"")]
    private static partial Regex Tokens();

    [GeneratedRegex("\"(cluster_id|member_id|raft_term)\": \"[1-9][0-9]*\"")]
    private static partial Regex Ids();
}
