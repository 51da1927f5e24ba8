using Grpc.Core;
using Loom.Store;

namespace Loom.Server.Etcd.Translation;

/// <summary>
/// Errors of v3lock and v3election. In etcd these services are clients of their own server and hand its errors on as plain text, so everything is Unknown with etcd's text; clients compare it. Only what says that this
/// member cannot answer now stays Unavailable: a client that hears that goes to another one, which etcd's cannot.
/// </summary>
internal static class ClaimError
{
    public const string NoLeader = "election: no leader";
    public const string NotLeaderText = "election: not leader";
    public const string MissingLeader = "\"leader\" field must be provided";
    public const string SessionExpired = "mutex: session is expired";

    public static RpcException NotLeader() => Unknown(NotLeaderText, []);

    public static RpcException From(LoomException exception, string claimLost)
    {
        RpcException known = EtcdError.From(exception);
        return exception.Code == LoomErrorCode.ClaimLost ? Unknown(claimLost, known.Trailers)
            : known.StatusCode == StatusCode.Unavailable ? known
            : Unknown(known.Status.Detail, known.Trailers);
    }

    public static RpcException Unknown(string text) => Unknown(text, []);

    private static RpcException Unknown(string text, Metadata trailers) => new(new Status(StatusCode.Unknown, text), trailers);
}
