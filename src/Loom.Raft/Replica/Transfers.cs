using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Replica;

/// <summary>Runs hand-overs of leadership (E6): picks a target where none is named, and tells the callers how it ended. At most one is under way; who asks meanwhile joins it.</summary>
internal sealed class Transfers(MemberId self, List<TransferCompletion> completions)
{
    private readonly List<TransferRequest> running = [];
    private readonly List<PeerView> peers = [];

    /// <summary>Earliest deadline of a caller.</summary>
    public long NextDeadline { get; private set; } = long.MaxValue;

    /// <summary>Admits a request. Returns the target to tell the core, or None.</summary>
    public MemberId Begin(long now, TransferRequest request, RaftCore core, long electionTimeout)
    {
        if (core.Role != RaftRole.Leader)
        {
            End(request, RaftErrorCode.NotLeader);
            return MemberId.None;
        }

        if (request.Target == self)
        {
            End(request, 0);
            return MemberId.None;
        }

        var target = request.Target.IsNone ? Best(now, core, electionTimeout) : request.Target;
        if (target.IsNone || core.Configuration.Find(target)?.Role != MemberRole.Voter)
        {
            End(request, RaftErrorCode.BadTransferTarget);
            return MemberId.None;
        }

        running.Add(request);
        NextDeadline = Math.Min(NextDeadline, request.Deadline);
        return core.Transferring ? MemberId.None : target;
    }

    /// <summary>The voter that was heard lately and holds most of the log; of equals the nearest. None: there is none.</summary>
    public MemberId Best(long now, RaftCore core, long electionTimeout)
    {
        core.Peers(peers);
        PeerView best = default;
        foreach (var peer in peers)
        {
            if (core.Configuration.Find(peer.Id)?.Role != MemberRole.Voter || now - peer.LastHeard > electionTimeout)
            {
                continue;
            }

            if (best.Id.IsNone || peer.Match > best.Match || (peer.Match == best.Match && peer.RoundTripNanoseconds < best.RoundTripNanoseconds))
            {
                best = peer;
            }
        }

        return best.Id;
    }

    /// <summary>After every step: done when another member leads, over when the core gave up, or at the deadline.</summary>
    public void Check(long now, RaftCore core)
    {
        if (running.Count == 0)
        {
            return;
        }

        NextDeadline = long.MaxValue;
        for (var i = running.Count - 1; i >= 0; i--)
        {
            var request = running[i];
            var done = !core.Leader.IsNone && core.Leader != self;
            var over = request.Deadline <= now || (core.Role == RaftRole.Leader && !core.Transferring);
            if (done || over)
            {
                running.RemoveAt(i);
                End(request, done ? 0 : RaftErrorCode.DeadlineExceeded);
            }
            else
            {
                NextDeadline = Math.Min(NextDeadline, request.Deadline);
            }
        }
    }

    public void FailAll(RaftErrorCode code)
    {
        running.ForEach(request => End(request, code));
        running.Clear();
        NextDeadline = long.MaxValue;
    }

    private void End(TransferRequest request, RaftErrorCode error) => completions.Add(new TransferCompletion(request, error));
}
