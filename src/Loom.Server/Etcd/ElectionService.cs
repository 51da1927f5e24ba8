using Google.Protobuf;
using Grpc.Core;
using Loom.Server.Etcd.Translation;
using Loom.Server.Hosting;
using Loom.Store.Collections;
using Loom.Store.Model;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's v3election: elections for clients without its recipes. <c>LoomElection</c>, <c>etcdctl elect</c> and this wait in one line.</summary>
internal sealed class ElectionService(Callers callers, HeaderSource headers, OpenStreams streams, SharedClaims shared) : Wire.Election.ElectionBase
{
    public override Task<Wire.CampaignResponse> Campaign(Wire.CampaignRequest request, ServerCallContext context) => streams.RunAsync(context, async ending =>
    {
        (Claim claim, _) = await ClaimCalls.WinAsync(callers.For(context), shared, request.Name.Memory, request.Lease, request.Value.Memory, ending.Token).ConfigureAwait(false);

        // As etcd's: the header is that of the claim, however long it waited.
        return new Wire.CampaignResponse { Header = headers.At(claim.Revision), Leader = Key(request.Name, claim) };
    });

    public override async Task<Wire.ProclaimResponse> Proclaim(Wire.ProclaimRequest request, ServerCallContext context)
    {
        Claim claim = Claimed(request.Leader);
        Claim kept = claim with { Lease = await ClaimCalls.LeaseAsync(callers.For(context), claim.Lease).ConfigureAwait(false) };
        (bool holds, Revision revision) = await new ClaimLine(callers.For(context), request.Leader.Name.Memory).ProclaimAsync(kept, request.Value.Memory, CancellationToken.None).ConfigureAwait(false);
        return holds ? new Wire.ProclaimResponse { Header = headers.At(revision) } : throw ClaimError.NotLeader();
    }

    public override async Task<Wire.ResignResponse> Resign(Wire.ResignRequest request, ServerCallContext context)
    {
        // Who does not lead any more has nothing to resign from, and that is no error.
        Claim claim = Claimed(request.Leader);
        (_, Revision revision) = await new ClaimLine(callers.For(context), claim.Key).LeaveAsync(claim, CancellationToken.None).ConfigureAwait(false);
        return new Wire.ResignResponse { Header = headers.At(revision) };
    }

    public override async Task<Wire.LeaderResponse> Leader(Wire.LeaderRequest request, ServerCallContext context)
    {
        LeaderSeen? seen = await new ClaimLine(callers.For(context), request.Name.Memory).FirstAsync(null, CancellationToken.None).ConfigureAwait(false);
        return Answer(seen ?? throw ClaimError.Unknown(ClaimError.NoLeader));
    }

    /// <summary>Each leader, and each of its values, until the client goes or the node stops.</summary>
    public override Task Observe(Wire.LeaderRequest request, IServerStreamWriter<Wire.LeaderResponse> responseStream, ServerCallContext context) => streams.RunAsync(context, async ending =>
    {
        await foreach (LeaderSeen seen in new ClaimLine(callers.For(context), request.Name.Memory).ObserveAsync(ending.Token).ConfigureAwait(false))
        {
            await responseStream.WriteAsync(Answer(seen), ending.Token).ConfigureAwait(false);
        }
    });

    private static Wire.LeaderKey Key(ByteString name, Claim claim) => new()
    {
        Name = name,
        Key = UnsafeByteOperations.UnsafeWrap(claim.Key),
        Rev = claim.CreateRevision,
        Lease = claim.Lease,
    };

    private static Claim Claimed(Wire.LeaderKey? leader) => leader is null
        ? throw ClaimError.Unknown(ClaimError.MissingLeader)
        : new Claim(leader.Key.Memory, leader.Rev, leader.Lease, default, default, Entered: false);

    private Wire.LeaderResponse Answer(LeaderSeen seen) => new() { Header = headers.At(seen.Revision), Kv = ResponseTranslation.Pair(seen.Leader) };
}
