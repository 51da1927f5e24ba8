using System.Collections.Frozen;
using Google.Protobuf.Reflection;
using ServiceDescriptor = Google.Protobuf.Reflection.ServiceDescriptor;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd.Gateway;

/// <summary>etcd's JSON paths, all POST, below /v3/ (or its older name /v3beta/), and the gRPC method behind each. A method that this node does not serve answers Unimplemented.</summary>
internal static class GatewayRoutes
{
    public static FrozenDictionary<string, MethodDescriptor> All { get; } = Table().ToFrozenDictionary(row => row.Path, row => row.Method, StringComparer.Ordinal);

    /// <summary>The path of the method on gRPC.</summary>
    public static string GrpcPath(MethodDescriptor method) => $"/{method.Service.FullName}/{method.Name}";

    private static IEnumerable<(string Path, MethodDescriptor Method)> Table() =>
    [
        .. Of(Wire.KV.Descriptor, ("kv/range", "Range"), ("kv/put", "Put"), ("kv/deleterange", "DeleteRange"), ("kv/txn", "Txn"), ("kv/compaction", "Compact")),
        .. Of(Wire.Watch.Descriptor, ("watch", "Watch")),
        .. Of(
            Wire.Lease.Descriptor, ("lease/grant", "LeaseGrant"), ("lease/revoke", "LeaseRevoke"), ("kv/lease/revoke", "LeaseRevoke"), ("lease/keepalive", "LeaseKeepAlive"),
            ("lease/timetolive", "LeaseTimeToLive"), ("kv/lease/timetolive", "LeaseTimeToLive"), ("lease/leases", "LeaseLeases"), ("kv/lease/leases", "LeaseLeases")),
        .. Of(
            Wire.Cluster.Descriptor, ("cluster/member/add", "MemberAdd"), ("cluster/member/remove", "MemberRemove"), ("cluster/member/update", "MemberUpdate"),
            ("cluster/member/list", "MemberList"), ("cluster/member/promote", "MemberPromote")),
        .. Of(
            Wire.Maintenance.Descriptor, ("maintenance/alarm", "Alarm"), ("maintenance/status", "Status"), ("maintenance/defragment", "Defragment"), ("maintenance/hash", "Hash"),
            ("maintenance/hashkv", "HashKV"), ("maintenance/snapshot", "Snapshot"), ("maintenance/transfer-leadership", "MoveLeader"), ("maintenance/downgrade", "Downgrade")),
        .. Of(
            Wire.Auth.Descriptor, ("auth/enable", "AuthEnable"), ("auth/disable", "AuthDisable"), ("auth/status", "AuthStatus"), ("auth/authenticate", "Authenticate"), ("auth/user/add", "UserAdd"),
            ("auth/user/get", "UserGet"), ("auth/user/list", "UserList"), ("auth/user/delete", "UserDelete"), ("auth/user/changepw", "UserChangePassword"), ("auth/user/grant", "UserGrantRole"),
            ("auth/user/revoke", "UserRevokeRole"), ("auth/role/add", "RoleAdd"), ("auth/role/get", "RoleGet"), ("auth/role/list", "RoleList"), ("auth/role/delete", "RoleDelete"),
            ("auth/role/grant", "RoleGrantPermission"), ("auth/role/revoke", "RoleRevokePermission")),
        .. Of(Wire.Locks.Lock.Descriptor, ("lock/lock", "Lock"), ("lock/unlock", "Unlock")),
        .. Of(
            Wire.Election.Descriptor, ("election/campaign", "Campaign"), ("election/proclaim", "Proclaim"), ("election/leader", "Leader"), ("election/observe", "Observe"),
            ("election/resign", "Resign")),
    ];

    private static IEnumerable<(string, MethodDescriptor)> Of(ServiceDescriptor service, params (string Path, string Method)[] rows) => rows.Select(row => (row.Path,
        service.FindMethodByName(row.Method) ?? throw new InvalidOperationException($"{service.FullName} has no method {row.Method}")));
}
