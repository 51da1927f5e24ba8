using Loom.Raft.Consensus;
using Loom.Raft.Membership;

namespace Loom.Raft.Topology;

/// <summary>What may still be lost once some members are: the second question of the placement proof, with today's dead members.</summary>
public static class FurtherLosses
{
    /// <summary>Whether the members that are left elect and commit, by the quorum that the cluster itself counts with (E5).</summary>
    /// <param name="configuration">The configuration in force.</param>
    /// <param name="lost">Members that are lost now, or cannot be counted on, of any role.</param>
    public static bool CanCommit(Configuration configuration, IReadOnlyCollection<MemberId> lost)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(lost);
        var losses = new LossSearch(configuration);
        return losses.Survives(losses.SetOf(lost));
    }

    /// <summary>
    /// Any so many further voters may be lost while the rest elects and commits, by the quorum that the cluster itself counts with (E5). Zero also when too many are lost already.
    /// </summary>
    /// <param name="configuration">The configuration in force.</param>
    /// <param name="lost">Members that are lost now, of any role.</param>
    public static int OfVoters(Configuration configuration, IReadOnlyCollection<MemberId> lost)
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(lost);
        var losses = new LossSearch(configuration);
        return Math.Max(0, losses.AnyMembers(losses.SetOf(lost)).Any);
    }
}
