using System.Buffers.Binary;
using Google.Protobuf;
using Grpc.Core;
using Loom.Raft;
using Loom.Raft.Membership;
using Loom.Server.Etcd;
using Loom.Server.Hosting.Protos;
using Loom.Store;

namespace Loom.Server.Hosting;

/// <summary>loom.v1.Cluster: what <c>loom status</c> shows and etcd's API has no field for. Local; needs no quorum.</summary>
internal sealed class ClusterStatusService(Callers callers, NodeAddresses addresses) : Cluster.ClusterBase
{
    public override async Task<ClusterStatusResponse> Status(ClusterStatusRequest request, ServerCallContext context) =>
        Describe((await callers.RequireUserAsync(context).ConfigureAwait(false)).Status, addresses);

    internal static ClusterStatusResponse Describe(LoomStatus status, NodeAddresses addresses)
    {
        RaftNodeStatus raft = status.Raft;
        var response = new ClusterStatusResponse
        {
            ClusterId = raft.ClusterId,
            MemberId = raft.MemberId.Value,
            Name = status.Configuration.Find(raft.MemberId)?.Name ?? "",
            Role = raft.Role,
            Term = raft.Term,
            LeaderId = raft.Leader.Value,
            LastIndex = raft.LastIndex,
            CommitIndex = raft.CommitIndex,
            AppliedIndex = raft.AppliedIndex,
            Revision = status.Revision.Number,
            CompactRevision = status.CompactRevision,
            Epoch = status.Epoch,
            Keys = status.Keys,
            SizeBytes = status.SizeBytes,
            LogBytes = raft.LogBytes,
            ApplyHash = Bytes(raft.ApplyHash),
            NoQuorum = raft.NoQuorum,
            Failure = raft.Failure ?? "",
            Placement = status.Placement,
            PlacementGoal = status.Configuration.Goal == PlacementGoal.TwoDatacenters ? "two-datacenters" : "majority",
            Version = NodeVersion.Text,
            SizeInUseBytes = status.SizeInUseBytes,
            QuotaBytes = status.QuotaBytes,
            DiskFreeBytes = status.DiskFreeBytes,
            SpaceRefusal = status.SpaceRefusal ?? "",
        };
        response.Alarms.AddRange(status.Alarms.Select(alarm => new ClusterAlarm { MemberId = alarm.Member, Kind = alarm.Kind.ToString().ToUpperInvariant() }));
        foreach (Member member in status.Configuration.Members)
        {
            response.Members.Add(Describe(member, raft, addresses));
        }

        return response;
    }

    private static ClusterMember Describe(Member member, RaftNodeStatus raft, NodeAddresses addresses)
    {
        bool self = member.Id == raft.MemberId;
        PeerStatus? peer = raft.Peers.FirstOrDefault(p => p.Id == member.Id);
        var described = new ClusterMember
        {
            Id = member.Id.Value,
            Name = member.Name,
            Datacenter = member.Datacenter,
            Role = RoleName(member.Role),
            Connected = self || peer is { Connected: true },
            MatchIndex = peer?.Match ?? 0,
            RttMilliseconds = peer is { Connected: true } known && double.IsFinite(known.RttMilliseconds) ? known.RttMilliseconds : 0,
            Suspicion = peer?.Suspicion ?? 0,
            Trouble = peer?.Trouble ?? "",
        };
        described.PeerUrls.AddRange(member.PeerUrls);
        described.ClientUrls.AddRange(self ? addresses.Client(member.ClientUrls) : member.ClientUrls);
        return described;
    }

    private static string RoleName(MemberRole role) => role switch
    {
        MemberRole.Voter => "voter",
        MemberRole.Standby => "standby",
        MemberRole.Learner => "learner",
        _ => "witness",
    };

    private static ByteString Bytes(UInt128 hash)
    {
        byte[] bytes = new byte[16];
        BinaryPrimitives.WriteUInt128BigEndian(bytes, hash);
        return UnsafeByteOperations.UnsafeWrap(bytes);
    }
}
