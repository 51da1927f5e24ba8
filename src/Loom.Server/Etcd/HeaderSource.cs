using Grpc.Core;
using Loom.Raft;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
using Microsoft.Extensions.Primitives;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>
/// Makes response headers. Cluster and member never change and the term rarely does, so the status behind them is read at most every 10 ms, not per call;
/// the revision is always the answer's own.
/// </summary>
internal sealed class HeaderSource(ILoomStore store)
{
    private const long MaxAgeMilliseconds = 10;
    private Cached? cached;

    /// <summary>A leader is known, now: false as soon as an election begins.</summary>
    public bool HasLeader => Current().HasLeader;

    /// <summary>No leader was heard for three election timeouts (N5).</summary>
    public bool IsLeaderLost => Current().NoQuorum;

    /// <summary>etcd's clients may send <c>hasleader: true</c>: better an error at once than an answer from a member that knows no leader.</summary>
    public static bool AsksForLeader(ServerCallContext context) =>
        context.GetHttpContext().Request.Headers.TryGetValue("hasleader", out StringValues values) && values.Count > 0 && values[0] == "true";

    /// <exception cref="RpcException">Unavailable: it was asked for, and there is none.</exception>
    public void RequireLeaderIfAsked(ServerCallContext context)
    {
        if (AsksForLeader(context) && !HasLeader)
        {
            throw EtcdError.Refused(LoomErrorCode.NoQuorum);
        }
    }

    public Wire.ResponseHeader At(Revision revision) => At(revision.Number);

    public Wire.ResponseHeader WithoutRevision() => At(0);

    private Wire.ResponseHeader At(long revision)
    {
        Cached now = Current();
        return new Wire.ResponseHeader { ClusterId = now.ClusterId, MemberId = now.MemberId, RaftTerm = now.Term, Revision = revision };
    }

    private Cached Current()
    {
        long now = Environment.TickCount64;
        Cached? known = Volatile.Read(ref cached);
        if (known is not null && now - known.ReadAt <= MaxAgeMilliseconds)
        {
            return known;
        }

        RaftNodeStatus status = store.Status.Raft;
        var fresh = new Cached(now, status.ClusterId, status.MemberId.Value, (ulong)status.Term, status.Leader.Value != 0 && !status.NoQuorum, status.NoQuorum);
        Volatile.Write(ref cached, fresh);
        return fresh;
    }

    private sealed record Cached(long ReadAt, ulong ClusterId, ulong MemberId, ulong Term, bool HasLeader, bool NoQuorum);
}
