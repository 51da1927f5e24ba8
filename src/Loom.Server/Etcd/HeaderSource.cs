using Grpc.Core;
using Loom.Raft;
using Loom.Server.Etcd.Translation;
using Loom.Store;
using Loom.Store.Model;
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

    public bool HasLeader => Current().HasLeader;

    /// <summary>etcd's clients may send <c>hasleader: true</c>: better an error at once than an answer from a member that knows no leader. True: it was asked for.</summary>
    public bool RequireLeaderIfAsked(ServerCallContext context)
    {
        bool asked = context.GetHttpContext().Request.Headers.ContainsKey("hasleader");
        return !asked || HasLeader ? asked : throw EtcdError.Refused(LoomErrorCode.NoQuorum);
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
        var fresh = new Cached(now, status.ClusterId, status.MemberId.Value, (ulong)status.Term, status.Leader.Value != 0 && !status.NoQuorum);
        Volatile.Write(ref cached, fresh);
        return fresh;
    }

    private sealed record Cached(long ReadAt, ulong ClusterId, ulong MemberId, ulong Term, bool HasLeader);
}
