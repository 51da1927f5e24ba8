using Loom.Raft.Membership;
using Loom.Raft.Quorums;

namespace Loom.Raft.Consensus;

/// <summary>
/// How the voters change (E4, thesis 4.3). With the same voters a configuration is appended as it is. Otherwise the joint one comes first: two majorities, of the voters before and of those after,
/// decide until it is committed; then the leader leaves it by itself. Directly, {a, b, c} to {d, b, c}, the old majority {a, b} and the new one {d, c} would decide without each other.
/// </summary>
internal static class ConfigurationChange
{
    /// <summary>What to append in order to come from one configuration to another, or null: this change is none that can be made.</summary>
    public static Configuration? Towards(Configuration current, Configuration wanted)
    {
        if (current.IsJoint || wanted.IsJoint || wanted.Goal != current.Goal || !CanCommit(wanted))
        {
            return null;
        }
#if LOOM_MUTATIONS
        if (Diagnostics.Mutations.On("E4-skip-joint"))
        {
            return wanted;
        }
#endif
        return wanted.Voters.SequenceEqual(current.Voters) ? wanted : wanted with { OutgoingVoters = [.. current.Voters] };
    }

    /// <summary>The configuration that a joint one leads to: voters that leave are not among its members any more.</summary>
    public static Configuration Left(Configuration joint) => joint with { OutgoingVoters = [] };

    /// <summary>With all of its members alive. A cluster without voters, or one whose goal its voters cannot meet, would never decide anything again, not even to go back.</summary>
    private static bool CanCommit(Configuration configuration)
    {
        var quorum = new CommitQuorum(configuration);
        var alive = new long[quorum.Count];
        Array.Fill(alive, 1);
        return quorum.Reached(alive) >= 1;
    }
}
