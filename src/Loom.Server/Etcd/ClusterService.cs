using Grpc.Core;
using Loom.Raft.Membership;
using Loom.Server.Hosting;
using Loom.Store;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Cluster: the member list. Members are changed at run time in a later version; those calls are Unimplemented.</summary>
internal sealed class ClusterService(ILoomStore store, HeaderSource headers, NodeAddresses addresses) : Wire.Cluster.ClusterBase
{
    /// <summary>For everybody, as in 3.4: Patroni asks for the members before it logs in, and late 3.5, which wants a token for it, is no store for Patroni 3.0. What it tells are addresses, which whoever calls has one of.</summary>
    public override async Task<Wire.MemberListResponse> MemberList(Wire.MemberListRequest request, ServerCallContext context)
    {
        if (request.Linearizable)
        {
            await store.ReadBarrierAsync(CancellationToken.None).ConfigureAwait(false);
        }

        LoomStatus status = store.Status;
        var response = new Wire.MemberListResponse { Header = headers.WithoutRevision() };
        foreach (Member member in status.Configuration.Members)
        {
            var translated = new Wire.Member
            {
                ID = member.Id.Value,
                Name = member.Name,

                // A standby serves everything a voter serves. Shown as a learner, Go's clients would refuse to use it.
                IsLearner = member.Role == MemberRole.Learner,
            };
            translated.PeerURLs.AddRange(member.PeerUrls);
            translated.ClientURLs.AddRange(member.Id == status.Raft.MemberId ? addresses.Client(member.ClientUrls) : member.ClientUrls);
            response.Members.Add(translated);
        }

        return response;
    }

    public override Task<Wire.MemberAddResponse> MemberAdd(Wire.MemberAddRequest request, ServerCallContext context) => throw Unchangeable();

    public override Task<Wire.MemberRemoveResponse> MemberRemove(Wire.MemberRemoveRequest request, ServerCallContext context) => throw Unchangeable();

    public override Task<Wire.MemberUpdateResponse> MemberUpdate(Wire.MemberUpdateRequest request, ServerCallContext context) => throw Unchangeable();

    public override Task<Wire.MemberPromoteResponse> MemberPromote(Wire.MemberPromoteRequest request, ServerCallContext context) => throw Unchangeable();

    private static RpcException Unchangeable() => new(new Status(
        StatusCode.Unimplemented,
        "loom: members are not changed at run time in this version: --initial-cluster says who they are; a member that lost its data joins again under its name with an empty directory"));
}
