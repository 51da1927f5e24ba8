using Grpc.Core;
using Loom.Raft.Membership;
using Loom.Server.Etcd.Translation;
using Loom.Server.Hosting;
using Loom.Store;
using Wire = Loom.Server.Etcd.Protos;

namespace Loom.Server.Etcd;

/// <summary>etcd's Cluster: the member list. Members are changed at run time in a later version; those calls are Unimplemented.</summary>
internal sealed class ClusterService(Callers callers, HeaderSource headers, NodeAddresses addresses) : Wire.Cluster.ClusterBase
{
    public override async Task<Wire.MemberListResponse> MemberList(Wire.MemberListRequest request, ServerCallContext context)
    {
        ILoomStore store = callers.For(context);
        try
        {
            if (request.Linearizable)
            {
                await store.ReadBarrierAsync(CancellationToken.None).ConfigureAwait(false);
            }
        }
        catch (LoomException exception)
        {
            throw EtcdError.From(exception);
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
}
