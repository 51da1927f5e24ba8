using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Replica;

/// <summary>Puts the parts of a replica's status together.</summary>
internal static class StatusPicture
{
    /// <param name="options">Who it is.</param>
    /// <param name="core">Role, term, leader, peers.</param>
    /// <param name="log">Last index, bytes.</param>
    /// <param name="handOver">What is applied.</param>
    /// <param name="noQuorum">N5.</param>
    /// <param name="stopped">It takes no new calls.</param>
    /// <param name="failure">Why it failed, or null.</param>
    /// <param name="peers">Scratch.</param>
    public static RaftNodeStatus Of(
        ReplicaOptions options, RaftCore core, IReplicaLog log, HandOver handOver, bool noQuorum, bool stopped, Exception? failure, List<PeerView> peers)
    {
        core.Peers(peers);
        var rows = new PeerStatus[peers.Count];
        for (var i = 0; i < rows.Length; i++)
        {
            var rtt = peers[i].RoundTripNanoseconds;
            rows[i] = new PeerStatus(peers[i].Id, false, peers[i].Match, rtt == 0 ? double.NaN : rtt / 1e6, 0);
        }

        return new RaftNodeStatus
        {
            ClusterId = options.ClusterId,
            MemberId = options.Id,
            Role = failure is not null ? "failed" : stopped && core.Role != RaftRole.Leader ? "stopped" : RoleName(core, options.Id),
            Term = core.Term,
            Leader = core.Leader,
            LastIndex = log.LastIndex,
            CommitIndex = core.Commit,
            AppliedIndex = handOver.Applied,
            ClusterTime = handOver.ClusterTime,
            LogTime = core.ClusterTime,
            ApplyHash = handOver.ApplyHash,
            NoQuorum = noQuorum,
            Failure = failure?.Message,
            LogBytes = log.SizeBytes,
            Peers = rows,
        };
    }

    private static string RoleName(RaftCore core, MemberId self) => core.Role switch
    {
        RaftRole.Leader => "leader",
        RaftRole.Candidate or RaftRole.PreCandidate => "candidate",
        _ => core.Configuration.Find(self)?.Role switch
        {
            MemberRole.Standby => "standby",
            MemberRole.Voter => "follower",
            // A newcomer is a learner that the leader has not taken in yet (E1).
            _ => "learner",
        },
    };
}
