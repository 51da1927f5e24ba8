using Grpc.Core;
using Loom.Store;

namespace Loom.Server.Etcd.Translation;

/// <summary>The store's error in the words of the method that was called: most have etcd's usual ones.</summary>
internal static class CallError
{
    public static RpcException From(string method, LoomException exception) => method switch
    {
        "/etcdserverpb.Maintenance/Hash" or "/etcdserverpb.Maintenance/HashKV" or "/etcdserverpb.Maintenance/Defragment" or "/etcdserverpb.Maintenance/Snapshot" => EtcdError.FromUnmapped(exception),
        _ when method.StartsWith("/v3electionpb.Election/", StringComparison.Ordinal) => ClaimError.From(exception, ClaimError.NotLeaderText),
        _ when method.StartsWith("/v3lockpb.Lock/", StringComparison.Ordinal) => ClaimError.From(exception, ClaimError.SessionExpired),
        _ => EtcdError.From(exception),
    };
}
